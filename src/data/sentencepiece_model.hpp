// What is in a SentencePiece model, read with suspicion.
//
// The library trusts a model: tables in it are walked without bounds, and some inconsistencies end
// the process. So the bytes are first read here (they are a protocol buffer, see SentencePiece's
// sentencepiece_model.proto), and what the library relies on is checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace evengrad {

/// The largest model file that is read. Multilingual models of 250,000 pieces have about 5 MB.
inline constexpr std::size_t largest_sentencepiece_model = std::size_t{32} << 20;

/// The numbers are those of the file format.
enum class PieceType : std::uint8_t {
    normal = 1,
    unknown = 2,
    control = 3,
    user_defined = 4,
    unused = 5,
    byte = 6,
};

struct SentencePiece {
    std::string_view text;
    float score = 0.0F;
    PieceType type = PieceType::normal;
};

struct SentencePieceModel {
    std::vector<SentencePiece> pieces;  ///< at least one; texts are UTF-8, not empty, without NUL
    std::string_view begin_piece = "<s>";
    std::string_view end_piece = "</s>";
    bool byte_fallback = false;
    bool add_dummy_prefix = true;
    bool remove_extra_whitespaces = true;
    bool escape_whitespaces = true;
    bool whitespace_as_suffix = false;
    std::string_view characters_map;  ///< of the normalization; empty: text stays as it is
    std::string_view reverse_characters_map;

    /// The id of the control piece of this name, or -1.
    std::int32_t control(std::string_view name) const;
};

/// Views into `bytes`, which must stay. @throws Error for what is no model, or is damaged.
SentencePieceModel read_sentencepiece_model(std::string_view bytes);

}  // namespace evengrad
