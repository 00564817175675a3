// Small multilayer perceptrons and rows of numbers: for tests of the model.
#pragma once

#include "model/mlp.hpp"
#include "model/model_fixture.hpp"

namespace evengrad::test {

/// A micro-batch of rows that owns its arrays: random features, classes and values; weights are
/// 0, 1 and fractions.
struct RowBatch {
    std::vector<std::int32_t> lengths, keys, tokens, targets;
    std::vector<std::int64_t> ids;
    std::vector<float> weights, features, values;
    std::size_t inputs = 1, outputs = 1;

    RowBatch(const MlpConfig& config, std::int32_t rows, std::uint32_t stream = 0)
        : inputs(static_cast<std::size_t>(config.features())),
          outputs(static_cast<std::size_t>(config.outputs())) {
        const Philox philox(13, RandomPurpose::test);
        std::uint32_t draw = 0;
        const auto normals = [&](std::size_t count, std::vector<float>& out) {
            for (std::size_t i = 0; i < count; ++i) {
                const auto words = philox(draw++, stream);
                out.push_back(static_cast<float>(normal_pair(words[0], words[1])[0]));
            }
        };
        for (std::int32_t r = 0; r < rows; ++r) {
            const auto words = philox(draw++, stream);
            lengths.push_back(1);
            keys.push_back(r);
            ids.push_back(r);
            tokens.push_back(0);
            targets.push_back(static_cast<std::int32_t>(words[0] % outputs));
            weights.push_back(static_cast<float>((words[1] + 1) % 5) * 0.25f);
            normals(inputs, features);
            normals(outputs, values);
        }
    }

    MicroBatch view() const { return part(0, lengths.size()); }
    /// Rows [first, last) as a micro-batch.
    MicroBatch part(std::size_t first, std::size_t last) const {
        const auto cut = [&](const auto& all, std::size_t width) {
            return std::span(all).subspan(first * width, (last - first) * width);
        };
        return {cut(lengths, 1), cut(keys, 1),    cut(ids, 1),           cut(tokens, 1),
                cut(targets, 1), cut(weights, 1), cut(features, inputs), cut(values, outputs)};
    }
};

/// The second hidden layer is as wide as the first, the others aren't.
inline MlpConfig small_mlp() {
    MlpConfig config;
    config.layer_widths = {4, 7, 7, 5, 3};
    config.negative_slope = 0.3;
    return config;
}

}  // namespace evengrad::test
