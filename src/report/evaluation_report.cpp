#include "report/evaluation_report.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "report/progress.hpp"
#include "report/work_bar.hpp"

namespace evengrad {

namespace {

constexpr std::size_t widest_name = 40;

const char* name_of(SequenceMode mode) {
    return mode == SequenceMode::stream ? "stream" : "documents";
}

std::string cells(const EvaluationSums& sums, bool rows) {
    if (rows)
        return fmt::format("{:>10}  {:>8}  {:>8}\n", sums.loss_tokens, format_optional(sums.loss()),
                           format_optional(sums.accuracy()));
    return fmt::format("{:>10}  {:>11}  {:>8}  {:>10}  {:>13}\n", sums.sequences, sums.loss_tokens,
                       format_optional(sums.loss()), format_optional(sums.perplexity()),
                       format_optional(sums.bits_per_byte()));
}

/// `rows`: of a multilayer perceptron, to which a row is a sequence of one token.
std::string headings(bool rows) {
    if (rows) return fmt::format("{:>10}  {:>8}  {:>8}\n", "rows", "loss", "accuracy");
    return fmt::format("{:>10}  {:>11}  {:>8}  {:>10}  {:>13}\n", "sequences", "loss tokens",
                       "loss", "perplexity", "bits per byte");
}

/// Lengths of completions in a bucket: [2^i, 2^(i+1) - 1].
std::pair<std::int64_t, std::int64_t> range_of(std::size_t i) {
    const std::int64_t first = std::int64_t{1} << i;
    return {first, 2 * first - 1};
}

/// The end of a name is what tells files apart.
std::string shortened(const std::string& name) {
    if (name.size() <= widest_name) return name;
    std::size_t begin = name.size() - (widest_name - 3);
    while (begin < name.size() && (static_cast<unsigned char>(name[begin]) & 0xC0) == 0x80) ++begin;
    return "..." + name.substr(begin);
}

nlohmann::ordered_json to_json(const EvaluationSums& sums) {
    const auto value = [](const std::optional<double>& number) {
        return number ? nlohmann::ordered_json(*number) : nlohmann::ordered_json(nullptr);
    };
    return {{"sequences", sums.sequences},
            {"loss_tokens", sums.loss_tokens},
            {"weight", sums.weight},
            {"nats", sums.nats},
            {"bytes", sums.bytes},
            {"loss", value(sums.loss())},
            {"accuracy", value(sums.accuracy())},
            {"perplexity", value(sums.perplexity())},
            {"bits_per_byte", value(sums.bits_per_byte())}};
}

}  // namespace

std::string evaluation_tables(const EvaluationReport& report) {
    const auto& parts = report.evaluation.parts;
    std::size_t width = 17;  // so that what the other table is by fits, too
    for (std::size_t p = 0; p < parts.size(); ++p)
        width = std::max(width, shortened(report.data.parts()[p].name()).size());
    const bool rows = report.checkpoint.model.is_mlp();
    const auto row = [&](const std::string& name, const std::string& documents) {
        return rows ? fmt::format("{:<{}}  ", name, width)
                    : fmt::format("{:<{}}  {:>9}  ", name, width, documents);
    };
    const std::string tokens = report.data.tokenizer()->spec().describe();
    std::string text = fmt::format("checkpoint {}, step {}\n", report.checkpoint.path.string(),
                                   report.checkpoint.state.step);
    text += rows ? fmt::format("data       {} rows, {}\n\n", report.data.documents(), tokens)
                 : fmt::format("data       {} tokens, {}; sequences: {}, of {} tokens at most\n\n",
                               report.data.tokens(), tokens, name_of(report.sequences),
                               report.checkpoint.model.seq_length());
    text += row("file", "documents") + headings(rows);
    for (std::size_t p = 0; p < parts.size(); ++p) {
        const DataPart& part = report.data.parts()[p];
        text +=
            row(shortened(part.name()), std::to_string(part.documents())) + cells(parts[p], rows);
    }
    text += row("total", std::to_string(report.data.documents())) +
            cells(report.evaluation.total, rows);
    if (rows) return text;
    text += fmt::format("\n{:<{}}", "by loss tokens of a sequence", width + 13) + headings(rows);
    for (std::size_t i = 0; i < report.evaluation.lengths.size(); ++i) {
        const EvaluationSums& sums = report.evaluation.lengths[i];
        if (sums.sequences == 0) continue;
        const auto [first, last] = range_of(i);
        const std::string range =
            first == last ? std::to_string(first) : fmt::format("{} to {}", first, last);
        text += fmt::format("{:<{}}", range, width + 13) + cells(sums, rows);
    }
    return text;
}

std::string evaluation_json(const EvaluationReport& report) {
    nlohmann::ordered_json json{
        {"checkpoint", report.checkpoint.path.string()},
        {"step", report.checkpoint.state.step},
        {"tokenizer", report.data.tokenizer()->spec().describe()},
        {"sequence_mode", name_of(report.sequences)},
        {"seq_length", report.checkpoint.model.seq_length()},
        {"documents", report.data.documents()},
        {"total", to_json(report.evaluation.total)},
    };
    auto& files = json["files"] = nlohmann::ordered_json::array();
    for (std::size_t p = 0; p < report.evaluation.parts.size(); ++p) {
        const DataPart& part = report.data.parts()[p];
        nlohmann::ordered_json file{{"file", part.name()}, {"documents", part.documents()}};
        file.update(to_json(report.evaluation.parts[p]));
        files.push_back(std::move(file));
    }
    auto& lengths = json["lengths"] = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < report.evaluation.lengths.size(); ++i) {
        const auto [first, last] = range_of(i);
        nlohmann::ordered_json length{{"from", first}, {"to", last}};
        length.update(to_json(report.evaluation.lengths[i]));
        lengths.push_back(std::move(length));
    }
    // A file's name need not be UTF-8.
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

std::string evaluation_line(std::int64_t done, std::int64_t all, std::int64_t positions,
                            double seconds) {
    const double share = static_cast<double>(done) / static_cast<double>(all);
    return fmt::format("{}  {}/{} sequences  {:.0f} tokens/s  left {}", progress_bar(share), done,
                       all, static_cast<double>(positions) / std::max(seconds, 1e-9),
                       format_duration(seconds * (1.0 / share - 1.0)));
}

}  // namespace evengrad
