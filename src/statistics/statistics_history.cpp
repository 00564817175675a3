#include <cmath>

#include "statistics/columns.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

std::array<double, Octaves::count + 1> Octaves::edges() {
    std::array<double, count + 1> edges{};
    for (std::size_t i = 0; i <= each_side; ++i) {
        edges[each_side + 1 + i] = std::ldexp(1.0, lowest + static_cast<int>(i));
        edges[each_side - i] = -edges[each_side + 1 + i];
    }
    return edges;
}

std::array<double, Octaves::count> Octaves::centers() {
    const auto edge = edges();
    std::array<double, count> centers{};
    for (std::size_t i = 0; i < count; ++i) centers[i] = 0.5 * (edge[i] + edge[i + 1]);
    return centers;
}

namespace {

double merged_value(Merging merging, double one, double of_one, double other, double of_other) {
    const double all = of_one + of_other;
    switch (merging) {
        case Merging::root_mean_square:
            return std::sqrt((of_one * one * one + of_other * other * other) / all);
        case Merging::mean:
            return (of_one * one + of_other * other) / all;
        case Merging::least:
            return std::fmin(one, other);
        case Merging::most:
            return std::fmax(one, other);
    }
    EVENGRAD_CHECK(false, "no way to merge");
}

void add_counts(std::vector<OctaveCounts>& to, const std::vector<OctaveCounts>& from) {
    for (std::size_t t = 0; t < to.size(); ++t)
        for (std::size_t b = 0; b < Octaves::count; ++b) to[t][b] += from[t][b];
}

/// Statistics of the same tensors or layers, of so many steps each.
template <class Statistics, class Number>
void merge_values(std::span<const StatisticsColumn<Statistics, Number>> columns,
                  std::vector<Statistics>& to, std::int64_t of_to,
                  const std::vector<Statistics>& from, std::int64_t of_from) {
    for (std::size_t t = 0; t < to.size(); ++t)
        for (const auto& column : columns) {
            Number& value = column.of(to[t]);
            value = static_cast<Number>(merged_value(
                column.merging, static_cast<double>(value), static_cast<double>(of_to),
                static_cast<double>(column.value(from[t])), static_cast<double>(of_from)));
        }
}

void merge(StatisticsHistory::Sample& sample, const StatisticsHistory::Sample& next) {
    merge_values(tensor_columns(), sample.tensors, sample.merged, next.tensors, next.merged);
    merge_values(layer_columns(), sample.layers, sample.merged, next.layers, next.merged);
    sample.step = next.step;
    sample.merged += next.merged;
}

void merge(StatisticsHistory::Histogram& histogram, const StatisticsHistory::Histogram& next) {
    add_counts(histogram.gradient_counts, next.gradient_counts);
    add_counts(histogram.weight_counts, next.weight_counts);
    histogram.step = next.step;
    histogram.merged += next.merged;
}

/// All samples but the last are of as many steps as the first.
template <class Sample>
void add_or_merge(std::vector<Sample>& samples, Sample&& next, std::size_t most) {
    if (!samples.empty() && samples.back().merged < samples.front().merged) {
        merge(samples.back(), next);
        return;
    }
    if (samples.size() == most) {
        for (std::size_t i = 0; i < most / 2; ++i) {
            if (i > 0) samples[i] = std::move(samples[2 * i]);
            merge(samples[i], samples[2 * i + 1]);
        }
        samples.resize(most / 2);
    }
    samples.push_back(std::move(next));
}

}  // namespace

void StatisticsHistory::add(std::int64_t step, const StepStatistics& statistics) {
    EVENGRAD_CHECK(samples.empty() || (samples.back().step < step &&
                                       samples.back().tensors.size() == statistics.tensors.size() &&
                                       samples.back().layers.size() == statistics.layers.size()),
                   "statistics of step {} of {} tensors and {} layers don't follow those there are",
                   step, statistics.tensors.size(), statistics.layers.size());
    add_or_merge(samples, Sample{step, 1, statistics.tensors, statistics.layers}, most_samples);
    add_or_merge(histograms,
                 Histogram{step, 1, statistics.gradient_counts, statistics.weight_counts},
                 most_histograms);
}

}  // namespace evengrad
