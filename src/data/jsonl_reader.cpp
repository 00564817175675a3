// JSON Lines as documents: which segments an example has, what they weigh, where documents end.
#include "data/document_writer.hpp"
#include "data/formats.hpp"
#include "data/jsonl_line.hpp"
#include "data/lines.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr const char* format_hint =
    R"(each line is one object: {"text": "..."}, {"prompt": "...", "completion": "..."}, )"
    R"({"messages": [{"role": "user", "content": "..."}, ...]} or {"input_ids": [...]})";

/// Writes one line's document.
class LineWriter {
  public:
    LineWriter(const JsonlLine& line, MessageLoss loss, DocumentWriter& writer)
        : line_(line), loss_(loss), writer_(writer) {}

    void write() {
        if (line_.text)
            write_segments({}, *line_.text);
        else if (line_.prompt)
            write_segments(*line_.prompt, *line_.completion);
        else if (line_.messages)
            write_messages();
        else
            write_ids();
    }

  private:
    /// Of segment `index`, whose weight is `usual` unless the line says otherwise.
    float weight(std::size_t index, double usual) const {
        if (line_.weights) return (*line_.weights)[index];
        return round_weight(usual * line_.weight.value_or(1.0));
    }

    void write_segments(std::string_view prompt, std::string_view completion) {
        const float last = weight(line_.prompt ? 1 : 0, 1.0);
        if (line_.prompt) writer_.text(prompt, weight(0, 0.0));
        writer_.text(completion, last);
        writer_.end(last);
    }

    void write_messages() {
        float last = 0.0f;
        for (std::size_t i = 0; i < line_.messages->size(); ++i) {
            const Message& message = (*line_.messages)[i];
            const bool is_assistant = message.role == "assistant";
            const bool has_loss = is_assistant || loss_ == MessageLoss::all;
            const bool is_last = i + 1 == line_.messages->size();
            last = weight(i, message.weight.value_or(has_loss ? 1.0 : 0.0));
            writer_.text("<|", 0.0f);
            writer_.text(message.role, 0.0f);
            writer_.text("|>\n", 0.0f);
            writer_.text(message.content, last);
            if (!is_assistant)
                writer_.text("\n", last);
            else if (!is_last)
                writer_.tokens({&end_of_text_, 1}, last);
        }
        writer_.end(last);
    }

    void write_ids() {
        const std::vector<std::int32_t>& ids = *line_.input_ids;
        std::vector<float> weights(ids.size());
        for (std::size_t i = 0; i < ids.size(); ++i)
            weights[i] = line_.labels && (*line_.labels)[i] == no_label ? 0.0f : weight(i, 1.0);
        const float last = ids.empty() ? weight_of_nothing() : weights.back();
        // The document begins and ends with end_of_text anyway: not twice.
        std::size_t begin = 0, end = ids.size();
        if (begin < end && ids[begin] == end_of_text_) ++begin;
        if (begin < end && ids[end - 1] == end_of_text_) --end;
        while (begin < end) {
            std::size_t same = begin + 1;
            while (same < end && weights[same] == weights[begin]) ++same;
            writer_.tokens(std::span(ids).subspan(begin, same - begin), weights[begin]);
            begin = same;
        }
        writer_.end(last);
    }

    float weight_of_nothing() const { return round_weight(line_.weight.value_or(1.0)); }

    const JsonlLine& line_;
    MessageLoss loss_;
    DocumentWriter& writer_;
    const std::int32_t end_of_text_ = writer_.tokenizer().end_of_text();
};

}  // namespace

void read_jsonl(ByteStream& in, MessageLoss loss, const Tokenizer& tokenizer, DocumentSink& sink) {
    DocumentWriter writer(tokenizer, sink, in.name(), false);
    skip_byte_order_mark(in);
    const auto mark = static_cast<std::size_t>(in.offset());
    Lines lines(in);
    std::string line;
    while (lines.next(line)) {
        if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
        try {
            const JsonlLine parsed = parse_jsonl_line(line, tokenizer.vocabulary_size());
            writer.begin(lines.number());
            LineWriter(parsed, loss, writer).write();
        } catch (const JsonlProblem& problem) {
            const std::size_t skipped = lines.number() == 1 ? mark : 0;
            const std::string byte =
                problem.byte > 0 ? fmt::format(", byte {}", skipped + problem.byte) : "";
            throw Error(
                fmt::format("{} line {}{}: {}", in.name(), lines.number(), byte, problem.what),
                problem.hint.empty() ? format_hint : problem.hint);
        }
    }
    if (lines.number() == 0)
        throw Error(fmt::format("{}: the file is empty", in.name()), format_hint);
    if (writer.documents() == 0)
        throw Error(
            fmt::format("{}: no documents in its {} blank line(s)", in.name(), lines.number()),
            format_hint);
}

}  // namespace evengrad
