#include "statistics/collector.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/aligned.hpp"
#include "kernels/lanes.hpp"
#include "mpi/words.hpp"

namespace evengrad {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// By its bits: a comparison would depend on how the CPU takes denormal numbers.
bool is_zero(float x) {
    return (std::bit_cast<std::uint32_t>(x) << 1) == 0;
}

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

/// All four in one pass, in the order of lane_sum: a quarter of the time of four passes.
StatisticsCollector::Sums StatisticsCollector::sums_of(std::span<const float> values) {
    constexpr std::size_t lanes = 16;
    alignas(cache_line) std::array<double, lanes> sum{}, squares{};
    alignas(cache_line) std::array<float, lanes> least, most;
    least.fill(infinity);
    most.fill(-infinity);
    const auto see = [&](float x, std::size_t lane) {
        const auto value = static_cast<double>(x);
        sum[lane] += value;
        squares[lane] += value * value;
        least[lane] = x < least[lane] ? x : least[lane];
        most[lane] = x > most[lane] ? x : most[lane];
    };
    const float* const x = values.data();
    std::size_t i = 0;
    for (; i + lanes <= values.size(); i += lanes)
        for (std::size_t l = 0; l < lanes; ++l) see(x[i + l], l);
    for (std::size_t l = 0; i < values.size(); ++i, ++l) see(x[i], l);
    for (std::size_t width = lanes / 2; width > 0; width /= 2)
        for (std::size_t l = 0; l < width; ++l) {
            sum[l] += sum[l + width];
            squares[l] += squares[l + width];
            least[l] = std::min(least[l], least[l + width]);
            most[l] = std::max(most[l], most[l + width]);
        }
    return {sum[0], squares[0], least[0], most[0]};
}

/// Neighbors mostly fall into the same bins, and one increment waits for the other: so there are
/// four tables. Bins are found beforehand, which vectorizes.
void StatisticsCollector::count(std::span<const float> values, Counts& counts) {
    constexpr std::size_t tables = 4, piece = 1024;
    if (values.size() < piece) {  // less than the tables themselves would take
        for (const float x : values) {
            ++counts.bins[Octaves::bin(x)];
            counts.zeros += is_zero(x);
        }
        return;
    }
    std::array<std::array<std::uint32_t, Octaves::count>, tables> table{};
    alignas(cache_line) std::array<std::uint32_t, piece> bins;
    for (std::size_t begin = 0; begin < values.size(); begin += piece) {
        const std::size_t size = std::min(piece, values.size() - begin);
        std::uint32_t zeros = 0;
        for (std::size_t i = 0; i < size; ++i) {
            bins[i] = static_cast<std::uint32_t>(Octaves::bin(values[begin + i]));
            zeros += is_zero(values[begin + i]);
        }
        counts.zeros += zeros;
        std::size_t i = 0;
        for (; i + tables <= size; i += tables)
            for (std::size_t t = 0; t < tables; ++t) ++table[t][bins[i + t]];
        for (; i < size; ++i) ++table[0][bins[i]];
    }
    for (const auto& part : table)
        for (std::size_t bin = 0; bin < part.size(); ++bin) counts.bins[bin] += part[bin];
}

void StatisticsCollector::see(Index block, std::span<const float> gradient,
                              std::span<const float> before, std::span<const float> after) {
    BlockSums& sums = blocks_[static_cast<std::size_t>(block)];
    TensorCounts& counts =
        counts_[static_cast<std::size_t>(table_.blocks()[static_cast<std::size_t>(block)].tensor)];
    sums.gradient.add(sums_of(gradient));
    sums.weights.add(sums_of(after));
    count(gradient, counts.gradient);
    count(after, counts.weights);
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
