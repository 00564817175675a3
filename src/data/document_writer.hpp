// From text to a sink's tokens, in pieces of bounded size.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/document_sink.hpp"
#include <evengrad/tokenizer.hpp>

namespace evengrad {

/// Puts documents into a sink. Text of one weight is encoded in the same pieces however it comes
/// in: cut behind each newline, and where a line is longer than 64 KiB before its last space in
/// them, or else between two characters. So a text has the same tokens in every format.
class DocumentWriter {
  public:
    static constexpr std::size_t max_piece_bytes = std::size_t{64} << 10;

    /// `name`: the file, for messages. `lines_in_text`: the text's newlines are those of the file,
    /// and count.
    DocumentWriter(const Tokenizer& tokenizer, DocumentSink& sink, std::string name,
                   bool lines_in_text);

    /// Adds end_of_text.
    void begin(std::int64_t line);
    /// Valid UTF-8. @throws Error, with the line, when the tokenizer can't encode it.
    void text(std::string_view text, float weight);
    /// Tokens of the vocabulary.
    void tokens(std::span<const std::int32_t> tokens, float weight);
    /// Adds end_of_text.
    void end(float weight);

    bool in_document() const noexcept { return in_document_; }
    std::int64_t documents() const noexcept { return documents_; }
    const Tokenizer& tokenizer() const noexcept { return tokenizer_; }

  private:
    void encode(std::string_view piece);
    void encode_piece();
    void cut_piece();
    void flush_tokens();
    void flush();

    const Tokenizer& tokenizer_;
    DocumentSink& sink_;
    std::string name_;
    bool lines_in_text_;
    std::int64_t line_ = 0;
    std::int64_t documents_ = 0;
    bool in_document_ = false;
    float weight_ = 0.0f;               // of piece_ and tokens_
    std::string piece_;                 // no newline, not encoded yet
    std::vector<std::int32_t> tokens_;  // not given to the sink yet
};

}  // namespace evengrad
