// Tokenizers: text to token ids and back.
//
// Everything here is @local; a tokenizer is immutable and may be used by several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evengrad {

/// What a tokenizer is: kept in prepared data and in checkpoints, so that a run never meets tokens
/// of another one unnoticed.
struct TokenizerSpec {
    std::string kind = "byte";           ///< one of make_tokenizer's
    std::int32_t vocabulary_size = 257;  ///< ids are 0 to vocabulary_size - 1
    std::int32_t end_of_text = 256;      ///< the id that begins and ends a document; -1 of rows
    std::string model;  ///< the SentencePiece model file's bytes; the names of classes, each with a
                        ///< newline behind it; else empty

    bool operator==(const TokenizerSpec&) const = default;

    /// Whether tokens stand for text, whose bytes can be counted.
    bool has_text() const { return kind == "byte" || kind == "sentencepiece"; }
    /// What --tokenizer means it by: "byte", "ids:50257:50256", "sentencepiece:FILE.model", where
    /// FILE is for the user to know.
    std::string option() const;
    /// For people: "byte, 257 tokens", "sentencepiece 1f3a..., 8000 tokens", "2 classes (no, yes)".
    std::string describe() const;
};

class Tokenizer {
  public:
    explicit Tokenizer(TokenizerSpec spec) : spec_(std::move(spec)) {}
    virtual ~Tokenizer() = default;
    Tokenizer(const Tokenizer&) = delete;
    Tokenizer& operator=(const Tokenizer&) = delete;

    const TokenizerSpec& spec() const noexcept { return spec_; }
    std::int32_t vocabulary_size() const noexcept { return spec_.vocabulary_size; }
    std::int32_t end_of_text() const noexcept { return spec_.end_of_text; }

    /// Appends the tokens of `text`, which is valid UTF-8; adds no end_of_text. A long text may be
    /// given in parts, cut after a newline: the tokens are the same (byte, ids, and models that
    /// prepare trains; another SentencePiece model may put a space at the beginning of each part).
    /// @throws Error when the tokenizer has no tokens for a text ("ids": numbers only).
    virtual void encode(std::string_view text, std::vector<std::int32_t>& tokens) const = 0;
    std::vector<std::int32_t> encode(std::string_view text) const;

    /// The bytes that one token stands for; "" for end_of_text and its like, "12 " of ids. A token
    /// need not be valid UTF-8 by itself. 0 <= token < vocabulary_size.
    virtual std::string_view text_of(std::int32_t token) const = 0;
    /// The text of all tokens, end to end; end_of_text is dropped. Need not be valid UTF-8: a model
    /// may put any bytes in a row. @throws Error for a token outside the vocabulary.
    std::string decode(std::span<const std::int32_t> tokens) const;
    /// Whether a text can be cut before `token`: not inside a character (bytes 10xxxxxx).
    bool may_cut_before(std::int32_t token) const;

  private:
    TokenizerSpec spec_;
};

/// The tokenizer of a specification.
///   byte           token b is the byte b; 256 is end_of_text
///   sentencepiece  Kudo and Richardson, "SentencePiece", EMNLP 2018 (demos)
///   ids            no text: "12 7 300" encodes to these ids; what other programs' tokens come as
///   classes        of rows: a token is a class, a class's name (or number) encodes to it
///   values         of rows that are to give numbers: one token, which means nothing
/// @throws Error for one that makes no sense (an unknown kind, a model that can't be read, an
/// end_of_text outside the vocabulary, two classes of one name or one with control characters).
std::shared_ptr<const Tokenizer> make_tokenizer(const TokenizerSpec& spec);

/// The tokenizer that an option means: "byte", "sentencepiece:FILE", or
/// "ids:VOCABULARY:END_OF_TEXT" (for example "ids:50257:50256", GPT-2's). @throws Error naming the
/// option's text.
std::shared_ptr<const Tokenizer> open_tokenizer(const std::string& option);

}  // namespace evengrad
