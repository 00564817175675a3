#include "report/diagnosis_report.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.hpp"

namespace evengrad {

namespace {

constexpr std::size_t bar_width = 12;

template <std::size_t Count>
const char* nth(const std::array<const char*, Count>& names, auto value) {
    return names[static_cast<std::size_t>(value)];
}

const std::string& layer_name(const Diagnosis& found, Index layer) {
    return found.layers[static_cast<std::size_t>(layer)].layer.name;
}

/// Bars on a log scale, from the smallest to the largest: at least a decade is their whole width.
std::vector<std::string> log_bars(const std::vector<double>& stds) {
    double least = std::numeric_limits<double>::infinity(), most = 0.0;
    for (const double std : stds)
        if (std > 0.0) {
            least = std::min(least, std);
            most = std::max(most, std);
        }
    const double decades = std::max(1.0, std::log10(most / least));
    std::vector<std::string> bars;
    for (const double std : stds) {
        std::size_t length = 0;
        if (std > 0.0)
            length = bar_width - static_cast<std::size_t>(std::lround(std::log10(most / std) /
                                                                      decades * (bar_width - 1.0)));
        bars.push_back(std::string(length, '#') + std::string(bar_width - length, '.'));
    }
    return bars;
}

/// Lines that end before a wide terminal does; `indent` begins all but the first, which begins in
/// column `column`.
std::string wrapped(const std::string& text, const std::string& indent, std::size_t column = 0) {
    constexpr std::size_t columns = 98;
    std::string out;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        const std::string word = text.substr(begin, end - begin);
        if (begin > 0 && column + 1 + word.size() > columns) {
            out += '\n' + indent;
            column = indent.size();
        } else if (begin > 0) {
            out += ' ';
            ++column;
        }
        out += word;
        column += word.size();
        begin = end + 1;
    }
    return out + '\n';
}

std::string number(double value) {
    return std::isnan(value) ? "-" : fmt::format("{:.3g}", value);
}

std::string factor_cells(const LayerFactor& factor) {
    return fmt::format("{:>8}  {:>8}  {:>10}  {:>8}", number(factor.all), number(factor.weights),
                       number(factor.activation), number(factor.rest));
}

std::size_t name_column(const Diagnosis& found) {
    std::size_t width = 5;
    for (const LayerFinding& layer : found.layers) width = std::max(width, layer.layer.name.size());
    return width;
}

std::string backward_table(const Diagnosis& found) {
    const std::size_t width = name_column(found);
    std::string text = fmt::format(
        "\nback-propagated signal: its standard deviation, and by what that of the next layer was "
        "changed\n{:<{}}  {:>6}  {:>9}  {:<{}}  {:>8}  {:>8}  {:>10}  {:>8}\n",
        "layer", width, "units", "std", "", bar_width, "factor", "weights", "activation", "rest");
    std::vector<double> stds;
    for (const LayerFinding& layer : found.layers)
        stds.push_back(std::sqrt(layer.statistics.backward_variance));
    const std::vector<std::string> bars = log_bars(stds);
    for (std::size_t l = 0; l < stds.size(); ++l) {
        const LayerFinding& layer = found.layers[l];
        text += fmt::format("{:<{}}  {:>6}  {:>9.3g}  {}  {}\n", layer.layer.name, width,
                            layer.layer.units, stds[l], bars[l],
                            layer.backward ? factor_cells(*layer.backward) : "");
    }
    return text;
}

std::string forward_table(const Diagnosis& found) {
    const std::size_t width = name_column(found);
    std::string text = fmt::format(
        "\nactivations: their standard deviation, and by what that of the layer before was "
        "changed\n{:<{}}  {:>9}  {:<{}}  {:>8}  {:>8}  {:>10}  {:>8}  {:>11}  {:>6}\n",
        "layer", width, "std", "", bar_width, "factor", "weights", "activation", "rest",
        "saturated %", "dead %");
    std::vector<double> stds;
    for (const LayerFinding& layer : found.layers)
        stds.push_back(std::sqrt(layer.statistics.forward_variance));
    const std::vector<std::string> bars = log_bars(stds);
    for (std::size_t l = 0; l < stds.size(); ++l) {
        const LayerFinding& layer = found.layers[l];
        text += fmt::format("{:<{}}  {:>9.3g}  {}  {}  {:>11.3g}  {:>6.3g}\n", layer.layer.name,
                            width, stds[l], bars[l], factor_cells(layer.forward),
                            100.0 * layer.statistics.saturated_fraction,
                            100.0 * layer.statistics.dead_fraction);
    }
    return text;
}

std::string interval_text(const DirectionFinding& direction) {
    if (!direction.interval) return "";
    return fmt::format(" (95 % interval {:.3g} to {:.3g})", (*direction.interval)[0],
                       (*direction.interval)[1]);
}

/// Of the cause, for layers from `from` to `to`.
const char* cause_text(Cause cause, bool backward) {
    switch (cause) {
        case Cause::weights:
            return "the size of the weights";
        case Cause::activation:
            return backward ? "the activation's derivative" : "the activation";
        case Cause::rest:
            return "what is neither weights nor activation: residual paths, norms, correlations";
    }
    return "";
}

std::string verdict(const Diagnosis& found, const DirectionFinding& direction, bool backward) {
    const bool steady = direction.steadiness == Steadiness::steady;
    const auto last = static_cast<Index>(found.layers.size()) - 1;
    const Index first = backward ? last : 0, end = backward ? 0 : last;
    const std::string what =
        fmt::format("the {} standard deviation", backward ? "gradient's" : "activations'");
    const std::string by_layer =
        fmt::format("{:.3g} a layer{}", direction.mean_factor, interval_text(direction));
    std::string text = fmt::format("{}: {}.", backward ? "Backward" : "Forward",
                                   nth(steadiness_names, direction.steadiness));
    const bool whole = direction.from == first && direction.to == end;
    if (!steady)
        text += fmt::format(" From {} to {} {} {} to {:.3g} of itself{}, most of it by {}.",
                            layer_name(found, direction.from), layer_name(found, direction.to),
                            what, direction.steadiness == Steadiness::vanishing ? "falls" : "rises",
                            direction.largest, whole ? ": " + by_layer : "",
                            cause_text(direction.cause, backward));
    if (steady || !whole)
        text +=
            fmt::format(" From {} to {} {} is {:.3g} of what it was: {}.", layer_name(found, first),
                        layer_name(found, end), steady ? what : "it", direction.total, by_layer);
    text += fmt::format(" Glorot and Bengio's condition on the way {} (eq. {}) {}.",
                        backward ? "back" : "forward", backward ? 9 : 8,
                        steady ? "holds" : "doesn't hold");
    return wrapped(text, "  ");
}

/// "layers.2 (34 %), layers.3 (40 %)": those that are `what`, the worst if there are many.
std::string list_of(const Diagnosis& found, bool LayerFinding::*what,
                    double LayerStatistics::*share, bool units) {
    constexpr std::size_t most = 4;
    std::vector<const LayerFinding*> those;
    for (const LayerFinding& layer : found.layers)
        if (layer.*what) those.push_back(&layer);
    const std::size_t all = those.size();
    if (all > most) {
        std::stable_sort(those.begin(), those.end(),
                         [&](const LayerFinding* one, const LayerFinding* other) {
                             return one->statistics.*share > other->statistics.*share;
                         });
        those.erase(those.begin() + 1, those.end());
    }
    std::string text =
        all > most ? fmt::format("{} of {} layers, most of all ", all, found.layers.size()) : "";
    for (const LayerFinding* layer : those)
        text += fmt::format(
            "{}{} ({:.3g} %{})", layer == those.front() ? "" : ", ", layer->layer.name,
            100.0 * layer->statistics.*share,
            units ? fmt::format(", {} of {} units", layer->dead_units, layer->layer.units) : "");
    return text;
}

/// "0-3, 7, 9, 12-15", the first ones of many.
std::string ranges(const std::vector<std::int64_t>& rising) {
    constexpr std::size_t most = 8;
    std::string text;
    std::size_t count = 0;
    for (std::size_t begin = 0, end = 0; begin < rising.size(); begin = end) {
        for (end = begin + 1; end < rising.size() && rising[end] == rising[end - 1] + 1;) ++end;
        if (begin > 0) text += ", ";
        if (count++ == most) return text + "...";
        text += std::to_string(rising[begin]);
        if (end - begin > 1) text += fmt::format("-{}", rising[end - 1]);
    }
    return text;
}

/// "layers.2 (3 of 64 units): 0, 7, 63; layers.3 (1 of 64 units): 5", or nothing.
std::string units_of(const Diagnosis& found, std::vector<std::int64_t> StuckUnits::*what) {
    std::string text;
    for (const LayerFinding& layer : found.layers) {
        if (!layer.stuck || ((*layer.stuck).*what).empty()) continue;
        const std::vector<std::int64_t>& units = (*layer.stuck).*what;
        text += fmt::format("{}{} ({} of {}): {}", text.empty() ? "" : "; ", layer.layer.name,
                            units.size(), layer.layer.units, ranges(units));
    }
    return text;
}

std::string verdicts(const DiagnosisReport& report) {
    const Diagnosis& found = report.found;
    std::string text = "\n";
    if (found.layers.size() < 2)
        text += fmt::format(
            "The model has {} with an activation: nothing passes from one to "
            "another.\n",
            counted(std::ssize(found.layers), "layer"));
    else
        text += verdict(found, found.backward, true) + verdict(found, found.forward, false);
    if (const auto list =
            list_of(found, &LayerFinding::saturated, &LayerStatistics::saturated_fraction, false);
        !list.empty())
        text += wrapped(fmt::format("Saturated: {}.", list), "  ");
    if (const auto list =
            list_of(found, &LayerFinding::dead, &LayerStatistics::dead_fraction, true);
        !list.empty())
        text += wrapped(fmt::format("Dead: {}.", list), "  ");
    if (const auto list = units_of(found, &StuckUnits::saturated); !list.empty())
        text += wrapped("Units that are saturated at every sample: " + list, "  ");
    if (const auto list = units_of(found, &StuckUnits::dead); !list.empty())
        text += wrapped("Units that are off at every sample: " + list, "  ");
    if (std::any_of(found.layers.begin(), found.layers.end(), [](const LayerFinding& layer) {
            return (layer.saturated || layer.dead) && !layer.stuck;
        }))
        text += "  (Which units, one batch tells: diagnose --resume CHECKPOINT --data ...)\n";
    if (report.at_first)
        text +=
            fmt::format("At step {} the factors a layer were {:.3g} backward and {:.3g} forward.\n",
                        report.at_first_step, report.at_first->backward.mean_factor,
                        report.at_first->forward.mean_factor);
    if (found.is_sound()) return text + "Nothing needs a cure.\n";
    if (found.cures.empty()) return text + "No option of evengrad is known to help here.\n";
    text += "\nto try, the most promising first\n";
    for (const Cure& cure : found.cures)
        text += fmt::format("  {}\n      {}", cure.options, wrapped(cure.reason, "      ", 6));
    return text;
}

// ------------------------------------------------------------------------------------------ JSON

using Json = nlohmann::ordered_json;

constexpr const char* diagnosis_schema = "evengrad-diagnosis";
constexpr const char* diagnosis_version = "1.0";

/// (NaN and infinity become null.)
Json to_json(const LayerFactor& factor) {
    return {{"factor", factor.all},
            {"weights", factor.weights},
            {"activation", factor.activation},
            {"rest", factor.rest}};
}

Json to_json(const LayerFinding& found) {
    const LayerStatistics& s = found.statistics;
    return {{"name", found.layer.name},
            {"inputs", found.layer.inputs},
            {"units", found.layer.units},
            {"activation", nth(activation_names, found.layer.activation)},
            {"weight_std", found.weight_std},
            {"input_norm", s.input_norm},
            {"forward_mean", s.forward_mean},
            {"forward_std", std::sqrt(s.forward_variance)},
            {"backward_std", std::sqrt(s.backward_variance)},
            {"derivative_mean_square", s.derivative_mean_square},
            {"saturated_fraction", s.saturated_fraction},
            {"dead_fraction", s.dead_fraction},
            {"saturated", found.saturated},
            {"dead", found.dead},
            {"dead_units", found.dead_units},
            {"stuck_units",
             found.stuck ? Json{{"dead", found.stuck->dead}, {"saturated", found.stuck->saturated}}
                         : Json(nullptr)},
            {"forward", to_json(found.forward)},
            {"backward", found.backward ? to_json(*found.backward) : Json(nullptr)}};
}

Json to_json(const Diagnosis& found, const DirectionFinding& direction) {
    Json json{{"verdict", nth(steadiness_names, direction.steadiness)},
              {"total", direction.total},
              {"mean_factor", direction.mean_factor},
              {"interval_95", Json(nullptr)},
              {"largest_change", direction.largest},
              {"from", Json(nullptr)},
              {"to", Json(nullptr)},
              {"cause", direction.steadiness == Steadiness::steady
                            ? Json(nullptr)
                            : Json(nth(cause_names, direction.cause))}};
    if (direction.interval) json["interval_95"] = *direction.interval;
    if (!found.layers.empty()) {
        json["from"] = layer_name(found, direction.from);
        json["to"] = layer_name(found, direction.to);
    }
    return json;
}

}  // namespace

std::string diagnosis_text(const DiagnosisReport& report) {
    std::string text =
        fmt::format("weights    {}\nmodel      {}; {}\n",
                    report.checkpoint.empty()
                        ? fmt::format("initial, seed {}", report.seed)
                        : fmt::format("{}, step {}", report.checkpoint.string(), report.run.step),
                    describe(report.run.model), describe(report.run.model.init()));
    if (!report.overflow.empty())
        return text + "measured   one global batch\n\n" +
               wrapped("Exploding: signals overflow. " + report.overflow + ".", "  ") + "  " +
               wrapped(
                   "Nothing can be measured before they don't: try --init he or xavier, "
                   "--norm layernorm, --input-normalization standardize; of trained weights, an "
                   "earlier checkpoint, and a lower --lr from there.",
                   "  ", 2);
    text += report.loss_tokens > 0
                ? fmt::format(
                      "measured   one global batch: {} with a loss\n",
                      counted(report.loss_tokens, report.run.model.is_mlp() ? "row" : "position"))
                : fmt::format("measured   {}, step {} to {}\n",
                              counted(report.recorded, "recorded sample"), report.first_step,
                              report.last_step);
    if (!report.found.layers.empty())
        text += backward_table(report.found) + forward_table(report.found);
    return text + verdicts(report);
}

std::string diagnosis_json(const DiagnosisReport& report) {
    const Diagnosis& found = report.found;
    const bool overflow = !report.overflow.empty();
    const bool batch = overflow || report.loss_tokens > 0;
    Json json{{"schema", diagnosis_schema},
              {"schema_version", diagnosis_version},
              {"checkpoint",
               report.checkpoint.empty() ? Json(nullptr) : Json(report.checkpoint.string())},
              {"step", report.run.step},
              {"seed", report.seed},
              {"model", describe(report.run.model)},
              {"input_normalization", report.run.input_normalization},
              {"loss_tokens", report.loss_tokens > 0 ? Json(report.loss_tokens) : Json(nullptr)},
              {"recorded_steps", batch ? Json(nullptr)
                                       : Json{{"samples", report.recorded},
                                              {"first", report.first_step},
                                              {"last", report.last_step}}},
              {"sound", report.is_sound()},
              {"overflow", overflow},
              {"backward", overflow ? Json(nullptr) : to_json(found, found.backward)},
              {"forward", overflow ? Json(nullptr) : to_json(found, found.forward)}};
    json["at_first"] = Json(nullptr);
    if (report.at_first)
        json["at_first"] = {{"step", report.at_first_step},
                            {"backward", to_json(*report.at_first, report.at_first->backward)},
                            {"forward", to_json(*report.at_first, report.at_first->forward)}};
    Json& layers = json["layers"] = Json::array();
    for (const LayerFinding& layer : found.layers) layers.push_back(to_json(layer));
    Json& cures = json["cures"] = Json::array();
    for (const Cure& cure : found.cures)
        cures.push_back({{"options", cure.options}, {"reason", cure.reason}});
    // A file's name need not be UTF-8.
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace evengrad
