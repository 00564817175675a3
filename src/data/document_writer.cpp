#include "data/document_writer.hpp"

#include <algorithm>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr std::size_t flush_tokens_at = std::size_t{1} << 14;

bool continues_character(char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

}  // namespace

DocumentWriter::DocumentWriter(const Tokenizer& tokenizer, DocumentSink& sink, std::string name,
                               bool lines_in_text)
    : tokenizer_(tokenizer), sink_(sink), name_(std::move(name)), lines_in_text_(lines_in_text) {}

void DocumentWriter::begin(std::int64_t line) {
    EVENGRAD_CHECK(!in_document_, "a document inside a document");
    in_document_ = true;
    line_ = line;
    sink_.begin_document(line);
    const std::int32_t end_of_text = tokenizer_.end_of_text();
    sink_.add({&end_of_text, 1}, 0.0f);
}

void DocumentWriter::text(std::string_view text, float weight) {
    EVENGRAD_CHECK(in_document_, "text outside a document");
    if (weight != weight_) {
        flush();
        weight_ = weight;
    }
    while (!text.empty()) {
        const std::size_t line = std::min(text.find('\n'), text.size() - 1) + 1;
        if (piece_.empty() && line <= max_piece_bytes && text[line - 1] == '\n') {
            encode(text.substr(0, line));  // the common case, without a copy
            text.remove_prefix(line);
            continue;
        }
        const std::size_t count = std::min(line, max_piece_bytes + 1 - piece_.size());
        piece_ += text.substr(0, count);
        text.remove_prefix(count);
        if (piece_.size() > max_piece_bytes)
            cut_piece();
        else if (piece_.back() == '\n')
            encode_piece();
    }
}

void DocumentWriter::cut_piece() {
    std::size_t cut = piece_.rfind(' ', max_piece_bytes);
    if (cut == std::string::npos || cut == 0) {
        cut = max_piece_bytes;
        while (continues_character(piece_[cut])) --cut;
    }
    encode(std::string_view(piece_).substr(0, cut));
    piece_.erase(0, cut);
    if (piece_.back() == '\n') encode_piece();
}

void DocumentWriter::encode(std::string_view piece) {
    try {
        tokenizer_.encode(piece, tokens_);
    } catch (const Error& error) {
        throw Error(fmt::format("{} line {}: {}", name_, line_, error.what()), error.hint());
    }
    if (lines_in_text_ && piece.back() == '\n') ++line_;
    if (tokens_.size() >= flush_tokens_at) flush_tokens();
}

void DocumentWriter::tokens(std::span<const std::int32_t> tokens, float weight) {
    EVENGRAD_CHECK(in_document_, "tokens outside a document");
    flush();
    sink_.add(tokens, weight);
}

void DocumentWriter::end(float weight) {
    const std::int32_t end_of_text = tokenizer_.end_of_text();
    tokens({&end_of_text, 1}, weight);
    sink_.end_document();
    in_document_ = false;
    ++documents_;
}

void DocumentWriter::encode_piece() {
    encode(piece_);
    piece_.clear();
}

void DocumentWriter::flush_tokens() {
    if (!tokens_.empty()) sink_.add(tokens_, weight_);
    tokens_.clear();
}

void DocumentWriter::flush() {
    if (!piece_.empty()) encode_piece();
    flush_tokens();
}

}  // namespace evengrad
