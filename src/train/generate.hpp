// Text from a trained model, one token at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <evengrad/model.hpp>

namespace evengrad {

struct GenerateConfig {
    std::int64_t max_new_tokens = 200;
    double temperature = 1.0;  ///< 0: always the likeliest token
    std::int64_t top_k = 0;    ///< choose among this many likeliest tokens; 0: among all
    std::uint64_t seed = 1234;

    std::vector<std::string> validate() const;  ///< all problems at once
};

/// The token that follows, from logits [vocabulary]. Draw `position` of `seed`: the same numbers
/// give the same token. Ties go to the smaller token.
std::int32_t sample(const GenerateConfig& config, std::vector<float> logits, std::int64_t position);

/// Continues `tokens` until end_of_text or max_new_tokens; the model sees the last seq_length of
/// them. `emit` gets each new token. Returns all tokens. @local
std::vector<std::int32_t> generate(const GptConfig& model, const ParameterTable& table,
                                   const std::vector<float>& weights, const GenerateConfig& config,
                                   std::vector<std::int32_t> tokens,
                                   const std::function<void(std::int32_t)>& emit);

}  // namespace evengrad
