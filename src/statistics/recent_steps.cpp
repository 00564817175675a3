#include "statistics/recent_steps.hpp"

#include <algorithm>
#include <cmath>

namespace evengrad {

namespace {

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) return *middle;
    return 0.5 * (*middle + *std::max_element(values.begin(), middle));
}

}  // namespace

RecentSteps::RecentSteps(const TrainingHistory& history) {
    for (std::size_t i = 0; i < history.step.size(); ++i)
        add(history.grad_norm[i], history.gradient_signal[i], history.gradient_noise[i]);
}

RecentSteps::RecentSteps(std::span<const double> numbers) {
    for (std::size_t i = 0; i + 2 < numbers.size(); i += 3)
        steps_.push_back({numbers[i], numbers[i + 1], numbers[i + 2]});
}

std::vector<double> RecentSteps::numbers() const {
    std::vector<double> numbers;
    for (const Step& step : steps_)
        numbers.insert(numbers.end(), {step.norm, step.signal, step.noise});
    return numbers;
}

void RecentSteps::add(double norm, double signal, double noise) {
    if (!(norm > 0.0)) return;  // a step without any loss
    steps_.push_back({norm, signal, noise});
    if (steps_.size() > window) steps_.pop_front();
}

std::optional<NormScore> RecentSteps::score(double norm) const {
    if (steps_.size() < fewest_norms || !(norm > 0.0)) return std::nullopt;
    std::vector<double> logarithms, deviations;
    for (const Step& step : steps_) logarithms.push_back(std::log(step.norm));
    const double middle = median(logarithms);
    for (const double value : logarithms) deviations.push_back(std::abs(value - middle));
    const double deviation = std::max(0.05, 1.4826 * median(deviations));
    return NormScore{std::exp(middle), (std::log(norm) - middle) / deviation};
}

std::optional<NoiseScale> RecentSteps::noise_scale() const {
    double signal = 0.0, noise = 0.0, count = 0.0;
    for (const Step& step : steps_) {
        if (std::isnan(step.signal)) continue;
        signal += step.signal;
        noise += step.noise;
        ++count;
    }
    if (count < static_cast<double>(fewest_noises) || !(signal > 0.0)) return std::nullopt;
    double sum = 0.0, squares = 0.0;
    for (const Step& step : steps_) {
        if (std::isnan(step.signal)) continue;
        if (!(signal - step.signal > 0.0)) return std::nullopt;
        // Around the whole ratio, so that squares are of small numbers.
        const double without = (noise - step.noise) / (signal - step.signal) - noise / signal;
        sum += without;
        squares += without * without;
    }
    const double variance = (count - 1.0) / count * std::max(0.0, squares - sum * sum / count);
    return NoiseScale{noise / signal, std::sqrt(variance)};
}

}  // namespace evengrad
