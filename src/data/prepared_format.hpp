// Names and numbers of the prepared file that writing and reading must agree on. The format is
// described in data/README.md, "The prepared file".
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <evengrad/tokenizer.hpp>

namespace evengrad::prepared {

inline constexpr const char* schema = "evengrad-data";
inline constexpr const char* schema_version = "1.1";
inline constexpr int major_version = 1;
/// Files of this version have no digest of their Description.
inline constexpr const char* version_without_description = "1.0";

/// Tokens and weights have a checksum for each so many tokens; the last piece may be short.
inline constexpr std::int64_t piece_tokens = 65536;

/// With more tokens in the vocabulary than this, tokens are i32 instead of u16.
inline constexpr std::int32_t most_u16_tokens = 65536;

/// What a file has in all, for people. The sum of weights is exact up to 2^29.
struct Totals {
    std::int64_t documents = 0, tokens = 0, loss_tokens = 0;
    double weight = 0.0;
    std::int64_t text_bytes = 0;  ///< of what the tokens stand for; of ids, 0
};

/// All that a file says beside the tokens and weights themselves, which have checksums by piece.
struct Description {
    std::span<const std::int64_t> offsets, lines, first_documents;
    std::span<const std::string> sources;
    const TokenizerSpec& tokenizer;
    const Totals& totals;
    const std::string& digest_of_data;

    /// What `checksums/description` holds: XXH3-128, 32 hexadecimal digits.
    std::string digest() const;
};

}  // namespace evengrad::prepared
