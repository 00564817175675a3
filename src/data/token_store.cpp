#include "data/token_store.hpp"

#include <cmath>

#include "data/document_sink.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

float round_weight(double value) {
    EVENGRAD_CHECK(value >= 0.0 && value <= largest_weight, "a token weight of {}", value);
    // Above 1 a float's spacing is coarser than the quantum, and still a multiple of it.
    return static_cast<float>(std::nearbyint(value / weight_quantum) * weight_quantum);
}

void TokenDigest::add(std::span<const std::int32_t> tokens, std::span<const float> weights) {
    EVENGRAD_CHECK(tokens.size() == weights.size(), "{} tokens with {} weights", tokens.size(),
                   weights.size());
    tokens_.add(tokens);
    weights_.add(weights);
    count_ += static_cast<std::int64_t>(tokens.size());
}

void TokenDigest::end_document() {
    offsets_.add(count_);
}

std::string TokenDigest::hex() const {
    Digest all;
    for (const Digest* part : {&tokens_, &weights_, &offsets_}) all.add(part->hex());
    return all.hex();
}

}  // namespace evengrad
