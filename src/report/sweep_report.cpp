#include "report/sweep_report.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/narrow.hpp"
#include "base/text.hpp"
#include "report/progress.hpp"
#include "report/work_bar.hpp"

namespace evengrad {

namespace {

using SweepRow = std::vector<std::string>;

/// Columns as wide as their widest cell: the first ones flush left, the others right, and so is the
/// last, which is a remark.
std::string aligned(const std::vector<SweepRow>& rows, std::size_t left) {
    std::vector<std::size_t> widths(rows.front().size());
    for (const SweepRow& row : rows)
        for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
    std::string text;
    for (const SweepRow& row : rows) {
        std::string line;
        for (std::size_t c = 0; c < row.size(); ++c)
            line += c < left || c + 1 == row.size() ? fmt::format("{:<{}}  ", row[c], widths[c])
                                                    : fmt::format("{:>{}}  ", row[c], widths[c]);
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + '\n';
    }
    return text;
}

/// "12.5 +- 0.5": `digits` behind the point, or significant ones of a `ratio`.
std::string with_spread(const SeedSummary& summary, int digits, bool ratio = false) {
    if (summary.seeds == 0) return "-";
    const auto number = [&](double value) {
        if (std::abs(value) >= 1e6) return fmt::format("{:.3g}", value);  // about to diverge
        return ratio ? fmt::format("{:.{}g}", value, digits)
                     : fmt::format("{:.{}f}", value, digits);
    };
    std::string text = number(summary.mean);
    if (summary.seeds > 1) text += " +- " + number(summary.std);
    return text;
}

/// "", or "diverged at step 40 (2 of 5)".
std::string divergence(const SweepReport& report, std::int64_t point) {
    std::vector<std::int64_t> steps;
    for (std::int64_t s = 0; s < report.config.seeds; ++s)
        if (const auto step = report.sweep[at(point * report.config.seeds + s)].diverged_at;
            step > 0)
            steps.push_back(step);
    if (steps.empty()) return "";
    const auto [first, last] = std::minmax_element(steps.begin(), steps.end());
    std::string text = "diverged at step " + std::to_string(*first);
    if (*last > *first) text += fmt::format(" to {}", *last);
    if (report.config.seeds > 1)
        text += fmt::format(" ({} of {})", steps.size(), report.config.seeds);
    return text;
}

std::string steps_to_target(const SweepReport& report, std::int64_t point) {
    const SeedSummary steps = SeedSummary::of(report, point, [](const SweepCell& cell) {
        return cell.steps_to_target > 0 ? static_cast<double>(cell.steps_to_target)
                                        : SweepCell::none;
    });
    if (steps.seeds == 0) return "never";
    std::string text = with_spread(steps, 0);
    if (steps.seeds < report.config.seeds)
        text += fmt::format(" ({} of {})", steps.seeds, report.config.seeds);
    return text;
}

/// "300", or "100 to 300" where points differ.
std::string steps_of_cells(const SweepConfig& config) {
    const auto [least, most] = std::minmax_element(
        config.points.begin(), config.points.end(), [](const SweepPoint& a, const SweepPoint& b) {
            return a.train.schedule.train_iters < b.train.schedule.train_iters;
        });
    const std::int64_t first = least->train.schedule.train_iters,
                       last = most->train.schedule.train_iters;
    return first == last ? counted(first, "step") : fmt::format("{} to {} steps", first, last);
}

std::string legend(const SweepReport& report, bool accuracy, bool ratios) {
    const SweepConfig& config = report.config;
    std::string text = fmt::format(
        "{}, {} each{}", counted(config.cells(), "cell"), steps_of_cells(config),
        config.seeds > 1
            ? fmt::format("; mean +- standard deviation over seeds {} to {}, of those that have a "
                          "number",
                          config.first_seed,
                          config.first_seed + static_cast<std::uint64_t>(config.seeds) - 1)
            : fmt::format("; seed {}", config.first_seed));
    text += '\n';
    if (config.target_accuracy)
        text += fmt::format(
            "steps to {:g} %: up to the first evaluation with that accuracy, one every {}\n",
            100.0 * *config.target_accuracy, counted(config.eval_interval, "step"));
    if (report.evaluates)
        text += fmt::format("{}loss: on the held-out data, after the last step\n",
                            accuracy ? "accuracy, " : "");
    if (ratios)
        text +=
            "ratio: of the back-propagated signal's standard deviation at the first layer with an "
            "activation by that\nat the last one: below 1 it vanishes, above 1 it explodes\n";
    return text;
}

}  // namespace

SeedSummary SeedSummary::of(const SweepReport& report, std::int64_t point,
                            double (*quantity)(const SweepCell&)) {
    SeedSummary summary;
    double mean = 0.0, squares = 0.0;  // Welford
    for (std::int64_t s = 0; s < report.config.seeds; ++s) {
        const double value = quantity(report.sweep[at(point * report.config.seeds + s)]);
        if (!std::isfinite(value)) continue;
        const double from_mean = value - mean;
        mean += from_mean / static_cast<double>(++summary.seeds);
        squares += from_mean * (value - mean);
    }
    if (summary.seeds > 0) summary.mean = mean;
    if (summary.seeds > 1)
        summary.std = std::sqrt(squares / static_cast<double>(summary.seeds - 1));
    return summary;
}

std::vector<SweepQuantity> quantities_of(const SweepReport& report) {
    static constexpr SweepQuantity all[] = {
        {"valid_accuracy", "1", "held-out accuracy",
         [](const SweepCell& cell) { return cell.valid_accuracy; }},
        {"valid_loss", "nats", "held-out loss",
         [](const SweepCell& cell) { return cell.valid_loss; }},
        {"train_loss", "nats", "training loss of the last step",
         [](const SweepCell& cell) { return cell.loss; }},
        {"steps_to_target", "steps", "steps to the target accuracy",
         [](const SweepCell& cell) {
             return cell.steps_to_target > 0 ? static_cast<double>(cell.steps_to_target)
                                             : SweepCell::none;
         }},
        {"diverged_at", "step", "step at which it diverged",
         [](const SweepCell& cell) {
             return cell.diverged_at > 0 ? static_cast<double>(cell.diverged_at) : SweepCell::none;
         }},
        {"first_gradient_ratio", "1", "first by last layer's signal, first step",
         [](const SweepCell& cell) { return cell.first_gradient_ratio; }},
        {"last_gradient_ratio", "1", "first by last layer's signal, last statistics",
         [](const SweepCell& cell) { return cell.last_gradient_ratio; }}};
    std::vector<SweepQuantity> measured;
    for (const SweepQuantity& quantity : all)
        if (std::string(quantity.name) == "train_loss" ||
            std::any_of(report.sweep.begin(), report.sweep.end(),
                        [&](const SweepCell& cell) { return !std::isnan(quantity.of(cell)); }))
            measured.push_back(quantity);
    return measured;
}

std::string sweep_table(const SweepReport& report) {
    const SweepConfig& config = report.config;
    const auto quantities = quantities_of(report);
    const auto has = [&](const std::string& name) {
        return std::any_of(quantities.begin(), quantities.end(),
                           [&](const SweepQuantity& quantity) { return quantity.name == name; });
    };
    const bool accuracy = has("valid_accuracy"), ratios = has("first_gradient_ratio");
    SweepRow heading;
    for (const SweepDimension& dimension : config.grid) heading.push_back(dimension.name);
    if (config.target_accuracy)
        heading.push_back(fmt::format("steps to {:g} %", 100.0 * *config.target_accuracy));
    if (accuracy) heading.emplace_back("accuracy, %");
    if (report.evaluates) heading.emplace_back("loss");
    heading.emplace_back("training loss");
    if (ratios) heading.insert(heading.end(), {"ratio, first step", "ratio, end"});
    heading.emplace_back("");
    std::vector<SweepRow> rows{heading};
    for (std::int64_t p = 0; p < std::ssize(config.points); ++p) {
        const auto summary = [&](double (*quantity)(const SweepCell&)) {
            return SeedSummary::of(report, p, quantity);
        };
        SweepRow row = config.values_at(p);
        if (config.target_accuracy) row.push_back(steps_to_target(report, p));
        if (accuracy)
            row.push_back(with_spread(
                summary([](const SweepCell& cell) { return 100.0 * cell.valid_accuracy; }), 1));
        if (report.evaluates)
            row.push_back(
                with_spread(summary([](const SweepCell& cell) { return cell.valid_loss; }), 4));
        row.push_back(with_spread(summary([](const SweepCell& cell) { return cell.loss; }), 4));
        if (ratios) {
            row.push_back(with_spread(
                summary([](const SweepCell& cell) { return cell.first_gradient_ratio; }), 2, true));
            row.push_back(with_spread(
                summary([](const SweepCell& cell) { return cell.last_gradient_ratio; }), 2, true));
        }
        row.push_back(divergence(report, p));
        rows.push_back(std::move(row));
    }
    return aligned(rows, config.grid.size()) + '\n' + legend(report, accuracy, ratios);
}

std::string sweep_line(const std::string& what, double share, double seconds) {
    const std::string left =
        share > 0.0 ? format_duration(seconds * (1.0 / share - 1.0)) : std::string("?");
    return fmt::format("{}  {}  left {}", progress_bar(share), what, left);
}

}  // namespace evengrad
