#include "report/prepare_report.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/text.hpp"
#include "report/progress.hpp"
#include "report/work_bar.hpp"
#include "train/state.hpp"

namespace evengrad {

namespace {

constexpr double line_seconds = 10.0;
constexpr const char* loss_color = "\x1b[32m";
constexpr const char* normal_color = "\x1b[0m";

std::string with_share(std::int64_t part, std::int64_t whole) {
    return fmt::format("{} ({:.1f} %)", part,
                       100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

}  // namespace

std::string reading_line(const ReadingState& state) {
    const auto bytes = static_cast<double>(state.bytes);
    const auto total = static_cast<double>(state.total_bytes);
    const double rate = state.seconds > 0.0 ? bytes / state.seconds : 0.0;
    std::string line;
    if (state.total_bytes > 0) {
        const double share = std::min(1.0, bytes / total);
        line = fmt::format("{}  {} of {}", progress_bar(share), format_bytes(bytes),
                           format_bytes(total));
    } else {
        line = format_bytes(bytes);
    }
    line += fmt::format("  {}/s  {} documents", format_bytes(rate), state.documents);
    if (state.total_bytes > 0 && rate > 0.0)
        line += fmt::format("  left {}", format_duration(std::max(0.0, total - bytes) / rate));
    return line;
}

ReadingProgress::ReadingProgress(std::FILE* out, bool terminal) : out_(out) {
    if (terminal) moving_ = std::make_unique<MovingLine>(out);
}

void ReadingProgress::update(const ReadingState& state) {
    if (state.seconds - last_ < (moving_ ? redraw_seconds : line_seconds)) return;
    last_ = state.seconds;
    if (moving_) {
        moving_->draw(reading_line(state));
    } else {
        fmt::print(out_, "reading    {}: {}\n", state.file, reading_line(state));
        std::fflush(out_);
    }
}

void ReadingProgress::finish() {
    if (moving_) moving_->clear();
    moving_.reset();
}

std::string prepared_summary(const PreparedStore& store) {
    const prepared::Totals& totals = store.totals();
    const auto tokens = static_cast<double>(totals.tokens);
    std::string text = fmt::format(
        "prepared   {}, {}\n"
        "documents  {} from {}\n"
        "tokens     {}, {} with loss; sum of weights {}\n"
        "tokenizer  {}",
        store.name(), format_bytes(static_cast<double>(store.file_size())), totals.documents,
        counted(std::ssize(store.sources()), "file"), totals.tokens,
        with_share(totals.loss_tokens, totals.tokens), totals.weight,
        store.tokenizer()->spec().describe());
    if (totals.text_bytes > 0)
        text += fmt::format("; {:.3f} tokens per byte of text",
                            tokens / static_cast<double>(totals.text_bytes));
    text += fmt::format("\ndigest     {}\n", store.digest());
    return text;
}

std::string masked_text(const PreparedStore& store, std::int64_t document, bool color,
                        std::int64_t most_tokens) {
    const auto d = static_cast<std::size_t>(document);
    const std::int64_t begin = store.offsets()[d];
    const std::int64_t size = store.offsets()[d + 1] - begin;
    const auto shown = static_cast<std::size_t>(std::min(size, most_tokens));
    std::vector<std::int32_t> tokens(shown);
    std::vector<float> weights(shown);
    store.read(begin, tokens, weights);
    const Tokenizer& tokenizer = *store.tokenizer();
    std::string text;
    for (std::size_t i = 0; i < shown;) {
        const float weight = weights[i];
        if (weight > 0.0F) text += color ? loss_color : "[";
        std::string run;  // whole, since a character may be several tokens
        for (; i < shown && weights[i] == weight; ++i)
            run += tokens[i] == tokenizer.end_of_text() ? "<end>" : tokenizer.text_of(tokens[i]);
        text += printable(run);
        if (weight > 0.0F) text += color ? normal_color : "]";
        if (weight > 0.0F && weight != 1.0F) text += fmt::format("*{:g}", weight);
    }
    if (static_cast<std::int64_t>(shown) < size)
        text += fmt::format(" ... ({} more tokens)", size - static_cast<std::int64_t>(shown));
    return text;
}

}  // namespace evengrad
