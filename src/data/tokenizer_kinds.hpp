// One maker a kind of tokenizer; make_tokenizer picks.
#pragma once

#include <evengrad/tokenizer.hpp>

namespace evengrad {

/// The largest vocabulary that is read: its texts are kept in memory, and a file that merely says
/// how many there are must not fill it. (XLM-V's, large among those published, has 901,629 tokens.)
inline constexpr std::int32_t largest_vocabulary = std::int32_t{1} << 20;

std::shared_ptr<const Tokenizer> make_ids_tokenizer(const TokenizerSpec& spec);
std::shared_ptr<const Tokenizer> make_sentencepiece_tokenizer(const TokenizerSpec& spec);

/// The specification of a SentencePiece model, from the bytes of its file. @throws Error for bytes
/// that are no such model, and for a model without a piece that can end a document.
TokenizerSpec sentencepiece_spec(std::string model);

}  // namespace evengrad
