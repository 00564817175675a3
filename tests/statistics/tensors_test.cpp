// Statistics of tensors, where the answers are known.
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "mpi_main.hpp"
#include "statistics/collector.hpp"
#include "statistics/columns.hpp"

namespace evengrad {
namespace {

using test::world;
constexpr float huge = std::numeric_limits<float>::max();
constexpr float tiny = std::numeric_limits<float>::min();  // 2^-126

TEST(Octaves, EveryOctaveOfBothSignsHasItsBin) {
    const auto edges = Octaves::edges();
    const auto centers = Octaves::centers();
    ASSERT_EQ(edges.size(), 286u);
    EXPECT_EQ(edges.front(), -65536.0);
    EXPECT_EQ(edges.back(), 65536.0);
    std::set<std::size_t> seen;
    for (int k = Octaves::lowest; k < Octaves::end; ++k)
        for (const float sign : {-1.0f, 1.0f}) {
            const float first = std::ldexp(1.0f, k), last = std::nextafter(2.0f * first, 0.0f);
            const std::size_t bin = Octaves::bin(sign * first);
            EXPECT_EQ(Octaves::bin(sign * last), bin) << "2^" << k;
            EXPECT_TRUE(seen.insert(bin).second) << "2^" << k;
            // The edge towards 0 belongs to the bin.
            EXPECT_EQ(edges[sign > 0 ? bin : bin + 1], static_cast<double>(sign * first));
            EXPECT_EQ(edges[sign > 0 ? bin + 1 : bin], static_cast<double>(sign * first) * 2.0);
            EXPECT_EQ(centers[bin], static_cast<double>(sign * first) * 1.5);
        }
    EXPECT_EQ(seen.size(), Octaves::count - 1);
    EXPECT_FALSE(seen.contains(142));
}

TEST(Octaves, ZeroAndWhatIsSmallerAreInTheMiddleAndHugeOnesAtTheEnds) {
    const float denormal = std::numeric_limits<float>::denorm_min();
    for (const float value : {0.0f, -0.0f, denormal, -denormal, std::nextafter(tiny, 0.0f)})
        EXPECT_EQ(Octaves::bin(value), 142u);
    EXPECT_EQ(Octaves::centers()[142], 0.0);
    EXPECT_EQ(Octaves::bin(tiny), 143u);
    EXPECT_EQ(Octaves::bin(-tiny), 141u);
    for (const float value : {32768.0f, 65536.0f, huge}) {
        EXPECT_EQ(Octaves::bin(value), 284u);
        EXPECT_EQ(Octaves::bin(-value), 0u);
    }
    EXPECT_EQ(Octaves::bin(std::nextafter(32768.0f, 0.0f)), 283u);
}

/// Values of a model's tensors, given to collectors in the runs that the optimizer makes of them.
class Collected : public testing::Test {
  protected:
    Collected()
        : table_(GptConfig{
              .num_layers = 1, .hidden_size = 32, .num_attention_heads = 2, .vocab_size = 2100}),
          gradient_(static_cast<std::size_t>(table_.flat_size())),
          before_(gradient_),
          after_(gradient_) {}

    std::span<float> of(std::vector<float>& values, Index tensor) {
        return std::span(values).subspan(static_cast<std::size_t>(table_[tensor].offset),
                                         static_cast<std::size_t>(table_[tensor].count));
    }
    /// Every rank collects from its share of the blocks.
    StepStatistics collect(const Communicator& ranks) {
        const auto blocks = static_cast<Index>(table_.blocks().size());
        const BlockRun owned{blocks * ranks.rank() / ranks.size(),
                             blocks * (ranks.rank() + 1) / ranks.size()};
        StatisticsCollector collector(table_, owned);
        for (Index b = owned.begin; b < owned.end; ++b) {
            const Block& block = table_.blocks()[static_cast<std::size_t>(b)];
            for (Index from = 0; from < block.count; from += 2048) {
                const auto at = static_cast<std::size_t>(block.begin + from);
                const auto count =
                    static_cast<std::size_t>(std::min<Index>(2048, block.count - from));
                collector.see(b, std::span(gradient_).subspan(at, count),
                              std::span(before_).subspan(at, count),
                              std::span(after_).subspan(at, count));
            }
        }
        return collector.combine(ranks);
    }

    ParameterTable table_;
    std::vector<float> gradient_, before_, after_;
};

TEST_F(Collected, OfHandMadeValues) {
    const auto gradient = of(gradient_, 3), before = of(before_, 3), after = of(after_, 3);
    ASSERT_EQ(gradient.size(), 32u);
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    gradient[0] = 3.0f;
    gradient[1] = -4.0f;
    gradient[2] = -0.0f;
    gradient[31] = 1.0f;
    std::fill(before.begin(), before.end(), 0.5f);
    std::fill(after.begin(), after.end(), 0.5f);
    after[7] = 0.75f;
    const StepStatistics found = collect(world());
    const TensorStatistics& t = found.tensors[3];
    EXPECT_EQ(t.gradient.norm_l2, std::sqrt(26.0f));
    EXPECT_EQ(t.gradient.mean, 0.0f);
    EXPECT_EQ(t.gradient.std, std::sqrt(26.0f / 32.0f));
    EXPECT_EQ(t.gradient.min, -4.0f);
    EXPECT_EQ(t.gradient.max, 3.0f);
    EXPECT_EQ(t.gradient.zero_fraction, 29.0f / 32.0f);
    EXPECT_EQ(t.weights.norm_l2, std::sqrt(31.0f * 0.25f + 0.5625f));
    EXPECT_EQ(t.weights.min, 0.5f);
    EXPECT_EQ(t.weights.max, 0.75f);
    EXPECT_EQ(t.weights.zero_fraction, 0.0f);
    EXPECT_EQ(t.update_ratio, 0.25f / t.weights.norm_l2);
    OctaveCounts counts{};
    counts[142] = 29;
    counts[Octaves::bin(3.0f)] = counts[Octaves::bin(-4.0f)] = counts[Octaves::bin(1.0f)] = 1;
    EXPECT_EQ(found.gradient_counts[3], counts);
    // A tensor of nothing but zeros, which wasn't changed.
    EXPECT_EQ(found.tensors[0], (TensorStatistics{.gradient = {.zero_fraction = 1.0f},
                                                  .weights = {.zero_fraction = 1.0f}}));
    EXPECT_EQ(found.gradient_counts[0][142], static_cast<std::uint64_t>(table_[0].count));
}

TEST_F(Collected, AgreesWithADoubleReferenceAndIsTheSameOnAnyNumberOfRanks) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal(0.01f, 1.0f);
    for (std::size_t i = 0; i < gradient_.size(); ++i) {
        gradient_[i] =
            i % 7 == 0 ? 0.0f : std::ldexp(normal(random), static_cast<int>(i % 90) - 80);
        before_[i] = 1.0f + 1e-3f * normal(random);
        after_[i] = before_[i] - 1e-2f * normal(random);
    }
    std::vector<StepStatistics> all;
    for (int count = 1; count <= world().size(); ++count) {
        const bool inside = world().rank() < count;
        const Communicator ranks = world().split(inside ? 0 : 1, world().rank());
        if (inside) all.push_back(collect(ranks));
    }
    for (const StepStatistics& other : all) {
        EXPECT_EQ(other.tensors, all[0].tensors);
        EXPECT_EQ(other.gradient_counts, all[0].gradient_counts);
        EXPECT_EQ(other.weight_counts, all[0].weight_counts);
    }
    ASSERT_GT(table_[0].block_count, 1);
    for (Index t = 0; t < table_.size(); ++t) {
        const auto gradient = of(gradient_, t), before = of(before_, t), after = of(after_, t);
        const TensorStatistics& found = all[0].tensors[static_cast<std::size_t>(t)];
        const auto n = static_cast<double>(gradient.size());
        double update = 0.0;
        const auto check = [&](std::span<const float> values, const ValueStatistics& s) {
            double sum = 0.0, squares = 0.0, distances = 0.0, zeros = 0.0;
            for (const float value : values) {
                sum += static_cast<double>(value);
                squares += static_cast<double>(value) * static_cast<double>(value);
                zeros += value == 0.0f;
            }
            for (const float value : values)
                distances += std::pow(static_cast<double>(value) - sum / n, 2);
            const auto near = [](float value, double expected) {
                EXPECT_NEAR(static_cast<double>(value), expected, 1e-6 * std::abs(expected));
            };
            near(s.norm_l2, std::sqrt(squares));
            near(s.mean, sum / n);
            near(s.std, std::sqrt(distances / n));
            near(s.zero_fraction, zeros / n);
            EXPECT_EQ(s.min, *std::min_element(values.begin(), values.end()));
            EXPECT_EQ(s.max, *std::max_element(values.begin(), values.end()));
            return squares;
        };
        check(gradient, found.gradient);
        const double squares = check(after, found.weights);
        for (std::size_t i = 0; i < after.size(); ++i)
            update += std::pow(static_cast<double>(after[i]) - static_cast<double>(before[i]), 2);
        EXPECT_NEAR(static_cast<double>(found.update_ratio), std::sqrt(update / squares), 1e-6);
        std::uint64_t counted = 0;
        for (const std::uint64_t count : all[0].gradient_counts[static_cast<std::size_t>(t)])
            counted += count;
        EXPECT_EQ(counted, gradient.size());
    }
}

/// A step of one tensor and one layer of which everything is `value`.
StepStatistics step_of(float value) {
    StepStatistics step;
    TensorStatistics tensor;
    for (const TensorColumn& column : tensor_columns()) column.of(tensor) = value;
    step.tensors = {tensor};
    LayerStatistics layer;
    for (const LayerColumn& column : layer_columns()) column.of(layer) = static_cast<double>(value);
    step.layers = {layer};
    step.gradient_counts.resize(1);
    step.weight_counts.resize(1);
    step.gradient_counts[0][Octaves::bin(value)] = 2;
    step.weight_counts[0][0] = 5;
    return step;
}

TEST(StatisticsHistory, MergesNeighborsWhenThereAreTooManyAndForgetsNothing) {
    constexpr auto most = static_cast<std::int64_t>(StatisticsHistory::most_samples);
    constexpr auto most_histograms = static_cast<std::int64_t>(StatisticsHistory::most_histograms);
    StatisticsHistory history;
    for (std::int64_t i = 1; i <= most; ++i) history.add(10 * i, step_of(i % 2 == 0 ? 3.0f : 4.0f));
    EXPECT_EQ(std::ssize(history.samples), most);
    EXPECT_EQ(std::ssize(history.histograms), most_histograms);
    EXPECT_EQ(history.histograms.front().merged, most / most_histograms);
    EXPECT_EQ(history.samples.back(),
              (StatisticsHistory::Sample{10 * most, 1, step_of(3).tensors, step_of(3).layers}));
    for (std::int64_t i = most + 1; i <= most + 3; ++i) history.add(10 * i, step_of(1.0f));
    ASSERT_EQ(std::ssize(history.samples), most / 2 + 2);
    const auto& first = history.samples.front();
    EXPECT_EQ(first.step, 20);
    EXPECT_EQ(first.merged, 2);
    EXPECT_EQ(first.tensors[0].gradient.norm_l2, std::sqrt(12.5f));
    EXPECT_EQ(first.tensors[0].gradient.mean, 3.5f);
    EXPECT_EQ(first.tensors[0].weights.min, 3.0f);
    EXPECT_EQ(first.tensors[0].weights.max, 4.0f);
    EXPECT_EQ(first.tensors[0].quantum_exponent, 4.0f);
    EXPECT_EQ(first.tensors[0].update_ratio, std::sqrt(12.5f));
    EXPECT_EQ(first.layers[0], (LayerStatistics{3.5, 3.5, 3.5, std::sqrt(12.5), 3.5, 3.5, 3.5}));
    const auto& last = history.samples.back();
    EXPECT_EQ(last.step, 10 * most + 30);
    EXPECT_EQ(last.merged, 1) << "the one before it is full, with two";
    std::int64_t steps = 0;
    std::uint64_t threes = 0, weights = 0;
    for (const auto& histogram : history.histograms) {
        steps += histogram.merged;
        threes += histogram.gradient_counts[0][Octaves::bin(3.0f)];
        weights += histogram.weight_counts[0][0];
    }
    EXPECT_EQ(steps, most + 3);
    EXPECT_EQ(threes, static_cast<std::uint64_t>(most));
    EXPECT_EQ(weights, static_cast<std::uint64_t>(5 * (most + 3)));
}

TEST(StatisticsHistory, RecordsTheFirstStepAndMultiples) {
    EXPECT_TRUE(statistics_are_due(1, 10));
    EXPECT_FALSE(statistics_are_due(2, 10));
    EXPECT_TRUE(statistics_are_due(20, 10));
    EXPECT_TRUE(statistics_are_due(3, 1));
    EXPECT_FALSE(statistics_are_due(1, 0));
}

}  // namespace
}  // namespace evengrad
