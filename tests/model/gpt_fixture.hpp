// A small GPT and packed micro-batches: for tests of the model.
#pragma once

#include <algorithm>
#include <numeric>

#include "model/gpt.hpp"
#include "model/model_fixture.hpp"

namespace evengrad::test {

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

}  // namespace evengrad::test
