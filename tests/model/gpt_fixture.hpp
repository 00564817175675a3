// A small GPT, packed micro-batches, and gradients as plain arrays: for tests of the model.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "base/philox.hpp"
#include "model/gpt.hpp"

namespace evengrad::test {

/// Keeps the sum of all contributions, and what was said of its norm.
template <class T>
class PlainSink final : public GradientSink<T> {
  public:
    explicit PlainSink(const ParameterTable& table)
        : table_(table), sum(static_cast<std::size_t>(table.flat_size()), T(0)) {}

    void add(Index tensor, Index offset, std::span<const T> values) override {
        ++contributions;
        T* out = sum.data() + table_[tensor].offset + offset;
        for (std::size_t i = 0; i < values.size(); ++i) {
            out[i] += values[i];
            squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
        }
    }
    void add_cross_term(double twice_product) override { squares += twice_product; }

  private:
    const ParameterTable& table_;

  public:
    std::vector<T> sum;
    double squares = 0.0;
    int contributions = 0;
};

/// A micro-batch that owns its arrays.
struct OwnedBatch {
    std::vector<std::int32_t> lengths, keys, tokens, targets;
    std::vector<std::int64_t> ids;
    std::vector<float> weights;

    MicroBatch view() const { return {lengths, keys, ids, tokens, targets, weights}; }

    /// Sequences [first, last) of it as a batch of their own.
    OwnedBatch part(std::size_t first, std::size_t last) const {
        OwnedBatch out;
        std::size_t row = 0;
        for (std::size_t s = 0; s < last; ++s) {
            const auto n = static_cast<std::size_t>(lengths[s]);
            if (s >= first) {
                out.lengths.push_back(lengths[s]);
                out.keys.push_back(keys[s]);
                out.ids.push_back(ids[s]);
                for (std::size_t i = row; i < row + n; ++i) {
                    out.tokens.push_back(tokens[i]);
                    out.targets.push_back(targets[i]);
                    out.weights.push_back(weights[i]);
                }
            }
            row += n;
        }
        return out;
    }
};

/// Random tokens; weights are 0, 1 and fractions, as masks and weighted tokens give.
inline OwnedBatch random_batch(std::vector<std::int32_t> lengths, Index vocab_size,
                               std::uint32_t stream = 0) {
    OwnedBatch batch;
    batch.lengths = std::move(lengths);
    const Philox philox(7, RandomPurpose::test);
    std::uint32_t draw = 0;
    for (std::size_t s = 0; s < batch.lengths.size(); ++s) {
        batch.keys.push_back(static_cast<std::int32_t>(s));
        batch.ids.push_back(static_cast<std::int64_t>(s));
        for (std::int32_t i = 0; i < batch.lengths[s]; ++i) {
            const auto words = philox(draw++, stream);
            const auto v = static_cast<std::uint32_t>(vocab_size);
            batch.tokens.push_back(static_cast<std::int32_t>(words[0] % v));
            batch.targets.push_back(static_cast<std::int32_t>(words[1] % v));
            batch.weights.push_back(static_cast<float>(words[2] % 5) * 0.25f);
        }
    }
    return batch;
}

/// Parameters large enough that no part of the network is nearly linear.
template <class T>
AlignedBuffer<T> lively_weights(const ParameterTable& table, std::uint32_t stream = 0) {
    AlignedBuffer<T> weights(table.flat_size());
    const Philox philox(11, RandomPurpose::test);
    for (const Tensor& tensor : table.tensors()) {
        const bool gain = tensor.shape.size() == 1 && tensor.initializer.scale == 1.0;
        for (Index i = tensor.offset; i < tensor.offset + tensor.count; ++i) {
            const auto words = philox(static_cast<std::uint32_t>(i), stream);
            const double normal = normal_pair(words[0], words[1])[0];
            weights[i] = static_cast<T>((gain ? 1.0 : 0.0) + 0.25 * normal);
        }
    }
    return weights;
}

inline GptConfig small_config() {
    GptConfig config;
    config.num_layers = 2;
    config.hidden_size = 12;
    config.ffn_hidden_size = 20;
    config.num_attention_heads = 3;
    config.seq_length = 9;
    config.vocab_size = 17;
    return config;
}

/// |a - b| / max(|b|, 1e-6 |all|), for one tensor of flat arrays.
template <class A, class B>
double tensor_error(const Tensor& tensor, const A& a, const B& b, double norm_of_all) {
    double difference = 0.0, norm = 0.0;
    for (Index i = tensor.offset; i < tensor.offset + tensor.count; ++i) {
        const double x = static_cast<double>(a[static_cast<std::size_t>(i)]);
        const double y = static_cast<double>(b[static_cast<std::size_t>(i)]);
        difference += (x - y) * (x - y);
        norm += y * y;
    }
    return std::sqrt(difference) / std::max(std::sqrt(norm), 1e-6 * norm_of_all);
}

template <class A>
double norm_of(const A& values) {
    double sum = 0.0;
    for (const auto value : values) sum += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(sum);
}

}  // namespace evengrad::test
