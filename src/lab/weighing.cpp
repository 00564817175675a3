#include "lab/weighing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/narrow.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// The sum of weights of each sequence, in the plan's order.
std::vector<double> sums_of_weights(const StepPlan& plan) {
    std::vector<double> sums;
    std::size_t position = 0;
    for (const std::int32_t length : plan.lengths) {
        double sum = 0.0;
        for (std::int32_t i = 0; i < length; ++i)
            sum += static_cast<double>(plan.weights[position++]);
        sums.push_back(sum);
    }
    return sums;
}

/// A weighing under which all tokens weigh the same: the token mean times a number.
Weighing alike(std::string name, const StepPlan& plan, double denominator) {
    Weighing weighing{std::move(name), std::vector<double>(plan.lengths.size(), 0.0)};
    const std::vector<double> sums = sums_of_weights(plan);
    for (std::size_t s = 0; s < sums.size(); ++s)
        if (sums[s] > 0.0) weighing.factors[at(plan.keys[s])] = 1.0 / denominator;
    return weighing;
}

}  // namespace

double Weighing::largest_ratio() const {
    double least = 0.0, most = 0.0;
    for (const double factor : factors) {
        if (factor == 0.0) continue;
        least = least == 0.0 ? factor : std::min(least, factor);
        most = std::max(most, factor);
    }
    return least > 0.0 ? most / least : 1.0;
}

Weighing weighing_of(const LossReduction& reduction, const StepPlan& plan) {
    StepPlan reduced = plan;
    apply_reduction(reduction, reduced);
    const std::vector<double> before = sums_of_weights(plan), after = sums_of_weights(reduced);
    Weighing weighing{reduction.text(), std::vector<double>(before.size(), 0.0)};
    for (std::size_t s = 0; s < before.size(); ++s)
        if (before[s] > 0.0)
            weighing.factors[at(plan.keys[s])] = after[s] / before[s] / reduced.denominator;
    return weighing;
}

double rounded(double value, int bits) {
    int exponent = 0;
    const double significand = std::frexp(value, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(significand, bits)), exponent - bits);
}

double running_count(std::span<const double> addends, int bits) {
    double count = 0.0;
    for (const double addend : addends) count = rounded(count + rounded(addend, bits), bits);
    return count;
}

Weighing weighing_of(const CountFormat& format, const StepPlan& plan) {
    std::vector<double> addends = plan.weight;
    if (format.by_token) addends.assign(plan.weights.begin(), plan.weights.end());
    return alike(format.name, plan, running_count(addends, format.bits));
}

StepPlan recut(const StepPlan& plan, std::int64_t sequences) {
    EVENGRAD_CHECK(sequences > 0, "micro-batches of {} sequences", sequences);
    StepPlan out = plan;
    out.sequence_begin = out.token_begin = {0};
    out.loss_tokens.clear();
    out.weight.clear();
    const auto all = std::ssize(plan.lengths);
    std::int64_t position = 0;
    for (std::int64_t first = 0; first < all; first += sequences) {
        const std::int64_t last = std::min(first + sequences, all);
        std::int64_t loss_tokens = 0;
        double sum = 0.0;
        for (std::int64_t s = first; s < last; ++s)
            for (std::int32_t i = 0; i < plan.lengths[at(s)]; ++i) {
                const float weight = plan.weights[at(position++)];
                loss_tokens += weight > 0.0f;
                sum += static_cast<double>(weight);
            }
        out.sequence_begin.push_back(last);
        out.token_begin.push_back(position);
        out.loss_tokens.push_back(loss_tokens);
        out.weight.push_back(sum);
    }
    out.denominator = std::accumulate(out.weight.begin(), out.weight.end(), 0.0);
    return out;
}

StepPlan cut_completions(const StepPlan& plan, std::int64_t most) {
    EVENGRAD_CHECK(most > 0, "completions of {} tokens", most);
    StepPlan out = plan;
    out.tokens.clear();
    out.targets.clear();
    out.weights.clear();
    std::int64_t begin = 0;
    for (std::size_t s = 0; s < plan.lengths.size(); ++s) {
        std::int64_t end = begin, seen = 0;
        while (end < begin + plan.lengths[s] && seen < most) seen += plan.weights[at(end++)] > 0.0f;
        // The last token that is kept carries a loss, or nothing was to be cut.
        const auto keep = [&](auto& to, const auto& from) {
            to.insert(to.end(), from.begin() + begin, from.begin() + end);
        };
        keep(out.tokens, plan.tokens);
        keep(out.targets, plan.targets);
        keep(out.weights, plan.weights);
        out.lengths[s] = static_cast<std::int32_t>(end - begin);
        begin += plan.lengths[s];
    }
    return recut(out, 1);
}

Unevenness Unevenness::of(std::vector<std::int64_t> counts) {
    std::erase(counts, 0);
    Unevenness out;
    if (counts.empty()) return out;
    std::sort(counts.begin(), counts.end());
    const std::size_t n = counts.size();
    out.shortest = counts.front();
    out.longest = counts.back();
    out.median = 0.5 * static_cast<double>(counts[(n - 1) / 2] + counts[n / 2]);
    double sum = 0.0, squares = 0.0;
    for (const std::int64_t count : counts) sum += static_cast<double>(count);
    const double mean = sum / static_cast<double>(n);
    for (const std::int64_t count : counts)
        squares += (static_cast<double>(count) - mean) * (static_cast<double>(count) - mean);
    out.variation = std::sqrt(squares / static_cast<double>(n)) / mean;
    return out;
}

}  // namespace evengrad
