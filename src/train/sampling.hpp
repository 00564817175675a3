// Which token comes next: a draw from a model's logits.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace evengrad {

/// Applied in this order: temperature, then top-k, then top-p of what top-k left.
struct SamplingConfig {
    double temperature = 1.0;  ///< 0: always the likeliest token
    std::int64_t top_k = 0;    ///< choose among this many likeliest tokens; 0: among all
    /// Choose among the fewest likeliest tokens that have this share of the probability together,
    /// the nucleus (Holtzman et al., "The curious case of neural text degeneration", 2020); 1: all.
    double top_p = 1.0;
    std::uint64_t seed = 1234;

    std::vector<std::string> validate() const;  ///< all problems at once
};

/// What a random number is for. The same seed, text, repetition and position: the same number.
struct Draw {
    std::uint32_t text = 0;        ///< tells prompts apart
    std::uint32_t repetition = 0;  ///< of the same prompt
    std::uint32_t position = 0;    ///< tokens drawn before
};

/// The token that follows, from logits [vocabulary]. Tokens are ranked by logit, of equal ones the
/// smaller token first; so ties don't depend on how they are sorted.
/// @throws Error when a logit is not a finite number.
std::int32_t sample(const SamplingConfig& config, std::span<const float> logits, const Draw& draw);

}  // namespace evengrad
