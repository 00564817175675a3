#include "lab/diagnosis.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include <boost/math/distributions/students_t.hpp>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

void check_layer(const std::string& name, const LayerStatistics& s, double weight_std) {
    const auto is_size = [](double x) { return std::isfinite(x) && x >= 0.0; };
    const auto is_share = [](double x) { return x >= 0.0 && x <= 1.0; };
    if (!std::isfinite(s.forward_mean) || !is_size(s.forward_variance) ||
        !is_size(s.backward_variance) || !is_size(s.input_norm) ||
        !is_size(s.derivative_mean_square) || !is_share(s.saturated_fraction) ||
        !is_share(s.dead_fraction) || !is_size(weight_std))
        throw Error(fmt::format("the statistics of {} make no sense: a size or share in them is "
                                "negative, too large or not a number",
                                name),
                    "the file is damaged, or the run had gone astray: look at an earlier one");
}

/// A layer that passes nothing on, be it that it gets nothing, makes it 0.
double ratio(double to, double from) {
    return to == 0.0 ? 0.0 : to / from;
}

/// std of a layer's weights times the root of their number in a sum.
double weights_factor(Index addends, double weight_std) {
    return std::sqrt(static_cast<double>(addends)) * weight_std;
}

/// Only in a plain stack of layers does the signal come through the next layer's weights alone.
LayerFactor factor_of(double all, double weights, double activation, bool is_stack) {
    if (!is_stack) return {all, unknown, unknown, unknown};
    return {all, weights, activation, ratio(all, weights * activation)};
}

std::vector<LayerFinding> findings_of(const std::vector<ActivationLayer>& layers,
                                      const LayerMeasurement& measured, bool is_stack) {
    std::vector<LayerFinding> out;
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const LayerStatistics& s = measured.layers[l];
        check_layer(layers[l].name, s, measured.weight_std[l]);
        LayerFinding& found = out.emplace_back();
        found.layer = layers[l];
        found.statistics = s;
        found.weight_std = measured.weight_std[l];
        const double input_rms = s.input_norm / std::sqrt(static_cast<double>(layers[l].inputs));
        const double before =
            l == 0 ? input_rms : std::sqrt(measured.layers[l - 1].forward_variance);
        const double weights = weights_factor(layers[l].inputs, measured.weight_std[l]);
        const double std = std::sqrt(s.forward_variance);
        found.forward =
            factor_of(ratio(std, before), weights, ratio(std, weights * input_rms), is_stack);
        if (l + 1 < layers.size()) {
            const LayerStatistics& next = measured.layers[l + 1];
            found.backward =
                factor_of(ratio(std::sqrt(s.backward_variance), std::sqrt(next.backward_variance)),
                          weights_factor(layers[l + 1].units, measured.weight_std[l + 1]),
                          std::sqrt(s.derivative_mean_square), is_stack);
        }
        found.saturated = s.saturated_fraction > saturated_share(layers[l].activation);
        found.dead = s.dead_fraction > dead_share;
        found.dead_units = static_cast<Index>(
            std::llround(s.dead_fraction * static_cast<double>(layers[l].units)));
        if (!measured.stuck.empty()) found.stuck = measured.stuck[l];
    }
    return out;
}

/// Which of the causes has the most of a change, whose direction is the sign of its logarithm.
Cause cause_of(std::span<const LayerFactor> factors, double change) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (factors.empty()) return Cause::weights;                   // nothing has changed
    if (std::isnan(factors.front().weights)) return Cause::rest;  // nothing else is known
    std::array<double, 3> parts{};
    for (const LayerFactor& factor : factors) {
        parts[0] += std::log(factor.weights);
        parts[1] += std::log(factor.activation);
        parts[2] += std::log(factor.rest);
    }
    for (double& part : parts) {
        if (change < 1.0) part = -part;
        if (std::isnan(part)) part = -infinity;
    }
    return static_cast<Cause>(std::max_element(parts.begin(), parts.end()) - parts.begin());
}

/// `stds` and `factors` in the order in which the direction goes; factors[i] leads from stds[i] to
/// stds[i + 1]. Indices are positions in that order.
DirectionFinding direction_of(const std::vector<double>& stds,
                              const std::vector<LayerFactor>& factors) {
    DirectionFinding found;
    if (factors.empty()) return found;
    const auto count = static_cast<double>(factors.size());
    found.total = ratio(stds.back(), stds.front());
    found.mean_factor = std::pow(found.total, 1.0 / count);

    // Of all pairs the one that is furthest beyond what is steady; the closest, if several are.
    double furthest = 0.0;
    for (std::size_t apart = 1; apart < stds.size(); ++apart)
        for (std::size_t i = 0; i + apart < stds.size(); ++i) {
            constexpr double rounding = 1e-9;
            const double change = ratio(stds[i + apart], stds[i]);
            const double beyond =
                std::abs(std::log(change)) / std::log(steady_range(static_cast<Index>(apart)));
            if (!(beyond > furthest * (1.0 + rounding))) continue;
            furthest = beyond;
            found.from = static_cast<Index>(i);
            found.to = static_cast<Index>(i + apart);
            found.largest = change;
        }
    if (furthest > 1.0)
        found.steadiness = found.largest < 1.0 ? Steadiness::vanishing : Steadiness::exploding;
    found.cause =
        cause_of(std::span(factors).subspan(static_cast<std::size_t>(found.from),
                                            static_cast<std::size_t>(found.to - found.from)),
                 found.largest);

    if (factors.size() < 2 ||
        std::any_of(stds.begin(), stds.end(), [](double std) { return !(std > 0.0); }))
        return found;
    const double mean = std::log(found.total) / count;
    double squares = 0.0;
    for (const LayerFactor& factor : factors) {
        const double distance = std::log(factor.all) - mean;
        squares += distance * distance;
    }
    const boost::math::students_t t(count - 1.0);
    const double half =
        boost::math::quantile(t, 0.975) * std::sqrt(squares / (count - 1.0) / count);
    found.interval = {std::exp(mean - half), std::exp(mean + half)};
    return found;
}

DirectionFinding forward_of(const std::vector<LayerFinding>& layers) {
    std::vector<double> stds;
    std::vector<LayerFactor> factors;
    for (const LayerFinding& found : layers) {
        if (!stds.empty()) factors.push_back(found.forward);
        stds.push_back(std::sqrt(found.statistics.forward_variance));
    }
    return direction_of(stds, factors);
}

DirectionFinding backward_of(const std::vector<LayerFinding>& layers) {
    std::vector<double> stds;
    std::vector<LayerFactor> factors;
    for (auto found = layers.rbegin(); found != layers.rend(); ++found) {
        if (found->backward) factors.push_back(*found->backward);
        stds.push_back(std::sqrt(found->statistics.backward_variance));
    }
    DirectionFinding out = direction_of(stds, factors);
    const auto last = static_cast<Index>(layers.size()) - 1;
    out.from = last - out.from;
    out.to = last - out.to;
    return out;
}

}  // namespace

double steady_range(Index layers_apart) {
    return std::clamp(std::pow(0.9, -static_cast<double>(layers_apart)), 4.0, 10.0);
}

double saturated_share(Activation activation) {
    return activation == Activation::relu ? 0.9 : 0.25;
}

LayerMeasurement mean_of(const std::vector<LayerMeasurement>& steps) {
    EVENGRAD_CHECK(!steps.empty(), "a mean of nothing");
    LayerMeasurement mean = steps.front();
    const auto count = static_cast<double>(steps.size());
    for (std::size_t l = 0; l < mean.layers.size(); ++l) {
        const auto over_steps = [&](auto value) {
            double sum = 0.0;
            for (const LayerMeasurement& step : steps) sum += value(step);
            return sum / count;
        };
        const auto mean_value = [&](double LayerStatistics::*value) {
            return over_steps([&](const LayerMeasurement& step) { return step.layers[l].*value; });
        };
        LayerStatistics& to = mean.layers[l];
        for (const auto value :
             {&LayerStatistics::forward_mean, &LayerStatistics::forward_variance,
              &LayerStatistics::backward_variance, &LayerStatistics::derivative_mean_square,
              &LayerStatistics::saturated_fraction, &LayerStatistics::dead_fraction})
            to.*value = mean_value(value);
        to.input_norm = std::sqrt(over_steps([&](const LayerMeasurement& step) {
            return step.layers[l].input_norm * step.layers[l].input_norm;
        }));
        mean.weight_std[l] = std::sqrt(over_steps(
            [&](const LayerMeasurement& step) { return step.weight_std[l] * step.weight_std[l]; }));
    }
    return mean;
}

bool Diagnosis::is_sound() const {
    return forward.steadiness == Steadiness::steady && backward.steadiness == Steadiness::steady &&
           std::none_of(layers.begin(), layers.end(),
                        [](const LayerFinding& found) { return found.saturated || found.dead; });
}

Diagnosis diagnose(const DiagnosedRun& run, const std::vector<ActivationLayer>& layers,
                   const LayerMeasurement& measured) {
    EVENGRAD_CHECK(
        measured.layers.size() == layers.size() && measured.weight_std.size() == layers.size(),
        "statistics of {} layers and weights of {}, of a model with {}", measured.layers.size(),
        measured.weight_std.size(), layers.size());
    Diagnosis found;
    found.layers = findings_of(layers, measured, run.model.is_mlp());
    found.forward = forward_of(found.layers);
    found.backward = backward_of(found.layers);
    found.cures = cures_for(run, found);
    return found;
}

}  // namespace evengrad
