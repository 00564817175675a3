#include "report/metrics_check.hpp"

#include <cmath>
#include <fstream>
#include <map>
#include <optional>
#include <utility>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/log.hpp"
#include "base/output_file.hpp"
#include "base/text.hpp"

namespace evengrad {

namespace {

namespace fs = std::filesystem;

/// What a line is about: a step, or (true) the evaluation after it.
using Key = std::pair<std::int64_t, bool>;

std::optional<Key> key_of(const std::string& line) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) return std::nullopt;
    const auto step = json.find("step");
    if (step == json.end() || !step->is_number_integer() || step->get<std::int64_t>() < 1)
        return std::nullopt;
    return Key{step->get<std::int64_t>(), json.contains("valid_loss")};
}

std::string describe(const Key& key) {
    return fmt::format("{}step {}", key.second ? "the evaluation of " : "", key.first);
}

/// A metrics file up to the step where its run goes on.
struct Found {
    std::map<Key, std::uintmax_t> begins;  ///< where each first line about something begins
    std::uintmax_t sound_bytes = 0;        ///< lines up to here are as they should be
    std::int64_t begins_with = 1;          ///< the file's first step
    std::string problem;                   ///< the first one; empty: there is none
};

Found read(const fs::path& path, std::int64_t first_step) {
    Found found;
    if (!fs::exists(path)) found.problem = " is missing";
    std::ifstream in(path, std::ios::binary);
    std::uintmax_t begin = 0;
    std::int64_t number = 0;
    Key last{0, false};
    const auto wrong = [&](const std::string& what) {
        if (found.problem.empty()) found.problem = fmt::format(" line {}: {}", number, what);
    };
    for (std::string line; std::getline(in, line) && !in.eof(); begin += line.size() + 1) {
        ++number;
        const auto key = key_of(line);
        if (number == 1 && key) found.begins_with = key->first;
        if (!key && last.first < first_step)
            wrong("not a line of metrics");
        else if (key && key->first < first_step && !found.begins.emplace(*key, begin).second)
            wrong(describe(*key) + " comes twice");
        else if (key && key->first < first_step && *key < last)
            wrong(fmt::format("{} comes after {}", describe(*key), describe(last)));
        if (key) last = *key;
        if (found.problem.empty() && last.first < first_step)
            found.sound_bytes = begin + line.size() + 1;
    }
    return found;
}

/// What the history knows, as lines. Undefined losses are null, not 0 (R9).
std::map<Key, std::string> lines_of(const TrainingHistory& h, std::int64_t from,
                                    std::int64_t first_step) {
    const auto defined = [](double value) {
        return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
    };
    std::map<Key, std::string> lines;
    for (std::size_t i = 0; i < h.step.size(); ++i)
        if (h.step[i] >= from && h.step[i] < first_step)
            lines[{h.step[i], false}] = nlohmann::ordered_json{
                {"step", h.step[i]},
                {"loss", defined(h.loss[i])},
                {"loss_tokens", h.loss_tokens[i]},
                {"grad_norm", h.grad_norm[i]},
                {"clipped_grad_norm", h.clipped_grad_norm[i]},
                {"lr", h.lr[i]},
                {"skipped", h.skipped[i] != 0},
                {"gradient_signal", defined(h.gradient_signal[i])},
                {"gradient_noise", defined(h.gradient_noise[i])},
                {"noise_scale", defined(h.noise_scale[i])},
                {"noise_scale_error", defined(h.noise_scale_error[i])},
                {"tokens_per_second",
                 h.tokens_per_second[i]}}.dump();
    for (std::size_t i = 0; i < h.validation_step.size(); ++i)
        if (h.validation_step[i] >= from && h.validation_step[i] < first_step)
            lines[{h.validation_step[i], true}] = nlohmann::ordered_json{
                {"step", h.validation_step[i]},
                {"valid_loss",
                 defined(h.validation_loss[i])}}.dump();
    return lines;
}

/// "step 3", "steps 3, 5 to 9"
class Ranges {
  public:
    void add(std::int64_t first, std::int64_t last) {
        if (!ranges_.empty() && ranges_.back().second >= first - 1)
            ranges_.back().second = std::max(ranges_.back().second, last);
        else
            ranges_.emplace_back(first, last);
    }
    bool empty() const { return ranges_.empty(); }
    std::string text() const {
        constexpr std::size_t shown = 5;
        std::vector<std::string> parts;
        for (const auto& [first, last] : ranges_) {
            if (parts.size() == shown) {
                parts.emplace_back("...");
                break;
            }
            parts.push_back(first == last ? std::to_string(first)
                                          : fmt::format("{} to {}", first, last));
        }
        const bool one = ranges_.size() == 1 && ranges_[0].first == ranges_[0].second;
        return fmt::format("step{} {}", one ? "" : "s", fmt::join(parts, ", "));
    }

  private:
    std::vector<std::pair<std::int64_t, std::int64_t>> ranges_;
};

}  // namespace

void cut_back_metrics(const fs::path& path, std::int64_t first_step,
                      const TrainingHistory& history) {
    Found found = read(path, first_step);
    auto lines = lines_of(history, found.begins_with, first_step);
    Ranges made, unknown;
    std::int64_t before = found.begins_with - 1;
    for (const auto& [key, begin] : found.begins) lines[key].clear();  // its own line is better
    for (const auto& [key, line] : lines) {
        if (key.first > before + 1) unknown.add(before + 1, key.first - 1);
        if (!line.empty()) made.add(key.first, key.first);
        before = key.first;
    }
    if (before + 1 < first_step) unknown.add(before + 1, first_step - 1);
    if (found.problem.empty() && made.empty() && unknown.empty()) {
        // In place: a shorter copy would need room, of which there may be none.
        fs::resize_file(path, found.sound_bytes);
        return;
    }
    std::string what = path.string() + (found.problem.empty() ? " lacks lines" : found.problem);
    what += fmt::format("; it was written anew up to step {}", first_step - 1);
    if (!made.empty())
        what += fmt::format(
            "; what it lacked of {} was made from the checkpoint's curves, which have no times",
            made.text());
    if (!unknown.empty()) what += fmt::format("; of {} nothing is known", unknown.text());
    std::ifstream in(path, std::ios::binary);
    OutputFile out(path);
    for (const auto& [key, made_line] : lines) {
        std::string line = made_line;
        if (line.empty()) {
            in.seekg(static_cast<std::streamoff>(found.begins.at(key)));
            std::getline(in, line);
        }
        out.write(line + '\n');
    }
    out.publish();
    log_warning(what, "training isn't affected; nobody but one run should write there");
}

}  // namespace evengrad
