// One maker a kind of tokenizer; make_tokenizer picks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <evengrad/tokenizer.hpp>

namespace evengrad {

/// The largest vocabulary that is read: its texts are kept in memory, and a file that merely says
/// how many there are must not fill it. (XLM-V's, large among those published, has 901,629 tokens.)
inline constexpr std::int32_t largest_vocabulary = std::int32_t{1} << 20;

std::shared_ptr<const Tokenizer> make_ids_tokenizer(const TokenizerSpec& spec);
std::shared_ptr<const Tokenizer> make_sentencepiece_tokenizer(const TokenizerSpec& spec);

/// Of rows (end_of_text is -1: a row needs none).
inline constexpr std::int32_t most_classes = 65536;
std::shared_ptr<const Tokenizer> make_classes_tokenizer(const TokenizerSpec& spec);
std::shared_ptr<const Tokenizer> make_values_tokenizer(const TokenizerSpec& spec);
/// Of classes 0 to `count` - 1.
TokenizerSpec classes_spec(std::int32_t count);
/// Of named ones. Names are checked by make_tokenizer.
TokenizerSpec classes_spec(const std::vector<std::string>& names);
TokenizerSpec values_spec();
/// Why a text can't be a name of classes or columns; empty when it can. Names stand in messages, in
/// reports and in files that are UTF-8: a line feed in one must not look like two.
std::string name_problem(std::string_view name);
/// The class that a text is, when it is a whole number from 0 on, however written ("3", "3.0");
/// else -1. At most 2^31 - 1.
std::int32_t class_number(std::string_view text);

/// The specification of a SentencePiece model, from the bytes of its file. @throws Error for bytes
/// that are no such model, and for a model without a piece that can end a document.
TokenizerSpec sentencepiece_spec(std::string model);

}  // namespace evengrad
