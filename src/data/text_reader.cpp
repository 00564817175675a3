#include <algorithm>

#include <utf8.h>

#include "data/document_writer.hpp"
#include "data/formats.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// Cuts a text, coming in fragments, into documents, all with loss.
class TextSplitter {
  public:
    TextSplitter(DocumentRule rule, DocumentWriter& writer) : rule_(rule), writer_(writer) {}

    /// No fragment but the last ends between "\r" and "\n".
    void add(std::string_view text) {
        if (rule_ == DocumentRule::file) {
            if (!text.empty() && !writer_.in_document()) writer_.begin(1);
            if (!text.empty()) writer_.text(text, 1.0f);
            line_ += std::count(text.begin(), text.end(), '\n');
            return;
        }
        while (!text.empty()) {
            const std::size_t newline = text.find('\n');
            if (newline == std::string_view::npos) {
                add_to_line(text);
                return;
            }
            std::string_view line = text.substr(0, newline);
            if (line.ends_with('\r')) line.remove_suffix(1);
            add_to_line(line);
            end_line(text.substr(line.size(), newline + 1 - line.size()));
            text.remove_prefix(newline + 1);
        }
    }

    void finish() {
        if (rule_ != DocumentRule::file) end_line({});
        if (writer_.in_document()) writer_.end(1.0f);
    }

    /// Of what add() gets next; after finish(), one more than there are.
    std::int64_t line() const noexcept { return line_; }

  private:
    /// Part of a line, without its newline.
    void add_to_line(std::string_view text) {
        if (blank_) {
            // Spaces wait for what follows; so many (memory is bounded) count as text.
            const std::size_t spaces = std::min(text.find_first_not_of(" \t\r"), text.size());
            spaces_ += text.substr(0, spaces);
            text.remove_prefix(spaces);
            if (text.empty() && spaces_.size() <= DocumentWriter::max_piece_bytes) return;
            blank_ = false;
            if (writer_.in_document())
                writer_.text(newline_, 1.0f);
            else
                writer_.begin(line_);
            writer_.text(spaces_, 1.0f);
            spaces_.clear();
        }
        writer_.text(text, 1.0f);
    }

    void end_line(std::string_view newline) {
        if (!newline.empty() || !spaces_.empty()) ++line_;
        if (rule_ == DocumentRule::line ? !blank_ : blank_ && writer_.in_document())
            writer_.end(1.0f);
        newline_ = newline;
        spaces_.clear();
        blank_ = true;
    }

    DocumentRule rule_;
    DocumentWriter& writer_;
    std::int64_t line_ = 1;
    bool blank_ = true;    // the line so far
    std::string spaces_;   // the line so far, while blank
    std::string newline_;  // of the line before: the paragraph's, if the paragraph goes on
};

/// How much of `text` can be used before more is read: not half a character, nor "\r" of "\r\n".
std::size_t whole_characters(std::string_view text) {
    std::size_t size = text.size();
    for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
        const auto byte = static_cast<unsigned char>(text[text.size() - back]);
        if ((byte & 0xC0U) == 0x80U) continue;  // 10xxxxxx: inside a character
        const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
        if (length > back) size -= back;
        break;
    }
    if (size > 0 && text[size - 1] == '\r') --size;
    return size;
}

}  // namespace

void read_text(ByteStream& in, DocumentRule rule, const Tokenizer& tokenizer, DocumentSink& sink) {
    DocumentWriter writer(tokenizer, sink, in.name(), true);
    TextSplitter splitter(rule, writer);
    skip_byte_order_mark(in);
    const std::int64_t start = in.offset();
    for (bool end = false;; end = !in.more()) {
        std::string_view text = in.bytes();
        if (!end) text = text.substr(0, whole_characters(text));
        const std::size_t invalid = utf8::find_invalid(text);
        if (invalid != std::string_view::npos) {
            const std::int64_t line =
                splitter.line() + std::count(text.begin(), text.begin() + invalid, '\n');
            const bool gzip = in.offset() == 0 && text.starts_with("\x1F\x8B");
            throw Error(
                fmt::format("{} line {}: not valid UTF-8 at byte offset {} of the {}file",
                            in.name(), line, in.offset() + static_cast<std::int64_t>(invalid),
                            in.compressed() ? "decompressed " : ""),
                gzip ? "this looks like gzip: end the file's name in .gz, or pipe it through zcat"
                     : "convert it, for example: iconv -f ISO-8859-1 -t UTF-8 OLD.txt > NEW.txt");
        }
        splitter.add(text);
        in.consume(text.size());
        if (end) break;
    }
    splitter.finish();
    if (writer.documents() > 0) return;
    if (in.offset() == start)
        throw Error(fmt::format("{}: the file is empty", in.name()), "give a file with text");
    throw Error(
        fmt::format("{}: no documents in its {} blank line(s)", in.name(), splitter.line() - 1),
        "give a file with text");
}

}  // namespace evengrad
