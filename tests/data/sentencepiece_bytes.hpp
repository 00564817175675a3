// SentencePiece models written byte by byte, also such as no trainer would write.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "data/sentencepiece_trainer.hpp"
#include <evengrad/tokenizer.hpp>

namespace evengrad::test {

inline std::string varint(std::uint64_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80U);
    return bytes + static_cast<char>(value);
}
/// Fields of a protocol buffer: a number, bytes (or a message), a float.
inline std::string field(unsigned number, std::uint64_t value) {
    return varint(number << 3) + varint(value);
}
inline std::string field(unsigned number, const std::string& bytes) {
    return varint(number << 3 | 2U) + varint(bytes.size()) + bytes;
}
inline std::string field(unsigned number, float value) {
    std::string bytes(4, '\0');
    std::memcpy(bytes.data(), &value, 4);
    return varint(number << 3 | 5U) + bytes;
}

/// Types as in the format: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
inline std::string piece(const std::string& text, float score = 0.0F, unsigned type = 1) {
    return field(1, field(1, text) + field(2, score) + field(3, std::uint64_t{type}));
}

/// <unk>, <s>, </s> and these pieces; `trainer` and `normalizer` are fields of those messages.
inline std::string model_bytes(const std::string& pieces, const std::string& trainer = "",
                               const std::string& normalizer = "") {
    return piece("<unk>", 0.0F, 2) + piece("<s>", 0.0F, 3) + piece("</s>", 0.0F, 3) + pieces +
           field(2, field(3, std::uint64_t{2}) + trainer) + field(3, normalizer);
}

/// What text a tokenizer in training sees.
inline std::vector<std::string> sample_of(const std::string& text,
                                          std::size_t byte_limit = std::size_t{4} << 20) {
    TextSample sample(byte_limit);
    sample.begin_file("test");
    sample.begin_document(1);
    sample.add(make_tokenizer({})->encode(text), 1.0F);
    sample.end_document();
    return sample.take();
}

}  // namespace evengrad::test
