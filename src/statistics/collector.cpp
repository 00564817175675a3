#include "statistics/collector.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/lanes.hpp"
#include "mpi/words.hpp"

namespace evengrad {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

}  // namespace

StatisticsCollector::StatisticsCollector(const ParameterTable& table, BlockRun owned)
    : table_(table), blocks_(table.blocks().size()), counts_(table.tensors().size()) {
    constexpr Sums none{0.0, 0.0, infinity, -infinity};
    for (Index b = owned.begin; b < owned.end; ++b)
        blocks_[static_cast<std::size_t>(b)] = {none, none, 0.0};
}

void StatisticsCollector::Sums::add(const Sums& later) {
    sum += later.sum;
    squares += later.squares;
    least = std::min(least, later.least);
    most = std::max(most, later.most);
}

StatisticsCollector::Sums StatisticsCollector::sums_of(std::span<const float> values,
                                                       Counts& counts) {
    const float* const x = values.data();
    const Index size = std::ssize(values);
    Sums sums{0.0, 0.0, infinity, -infinity};
    sums.sum = lane_sum<double>(size, [x](Index i) { return static_cast<double>(x[i]); });
    sums.squares = lane_sum<double>(
        size, [x](Index i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); });
    sums.least = lane_min(x, size);
    sums.most = lane_max(x, size);
    for (Index i = 0; i < size; ++i) {
        ++counts.bins[Octaves::bin(x[i])];
        counts.zeros += (std::bit_cast<std::uint32_t>(x[i]) << 1) == 0;
    }
    return sums;
}

void StatisticsCollector::see(Index block, std::span<const float> gradient,
                              std::span<const float> before, std::span<const float> after) {
    BlockSums& sums = blocks_[static_cast<std::size_t>(block)];
    TensorCounts& counts =
        counts_[static_cast<std::size_t>(table_.blocks()[static_cast<std::size_t>(block)].tensor)];
    sums.gradient.add(sums_of(gradient, counts.gradient));
    sums.weights.add(sums_of(after, counts.weights));
    sums.update_squares += lane_sum<double>(std::ssize(after), [&](Index i) {
        const auto at = static_cast<std::size_t>(i);
        const double change = static_cast<double>(after[at]) - static_cast<double>(before[at]);
        return change * change;
    });
}

ValueStatistics StatisticsCollector::statistics_of(const Sums& sums, const Counts& counts,
                                                   Index size) {
    const auto n = static_cast<double>(size);
    const double mean = sums.sum / n;
    return {static_cast<float>(std::sqrt(sums.squares)),
            static_cast<float>(mean),
            static_cast<float>(std::sqrt(std::max(0.0, sums.squares / n - mean * mean))),
            sums.least,
            sums.most,
            static_cast<float>(static_cast<double>(counts.zeros) / n)};
}

StepStatistics StatisticsCollector::combine(const Communicator& world) {
    sum_words(world, blocks_);
    sum_words(world, counts_);

    StepStatistics out;
    for (Index t = 0; t < table_.size(); ++t) {
        const Tensor& tensor = table_[t];
        const auto first = blocks_.begin() + static_cast<std::ptrdiff_t>(tensor.first_block);
        BlockSums sums = *first;
        for (auto block = first + 1; block != first + tensor.block_count; ++block) {
            sums.gradient.add(block->gradient);
            sums.weights.add(block->weights);
            sums.update_squares += block->update_squares;
        }
        const TensorCounts& counts = counts_[static_cast<std::size_t>(t)];
        TensorStatistics statistics;
        statistics.gradient = statistics_of(sums.gradient, counts.gradient, tensor.count);
        statistics.weights = statistics_of(sums.weights, counts.weights, tensor.count);
        if (sums.update_squares > 0.0)
            statistics.update_ratio =
                static_cast<float>(std::sqrt(sums.update_squares / sums.weights.squares));
        out.tensors.push_back(statistics);
        out.gradient_counts.push_back(counts.gradient.bins);
        out.weight_counts.push_back(counts.weights.bins);
    }
    return out;
}

}  // namespace evengrad
