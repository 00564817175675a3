// The gradient noise scale, where the answer is known.
#include "gradient/noise.hpp"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "statistics/recent_steps.hpp"

namespace evengrad {
namespace {

/// Tokens whose gradients are normal: mean `mean` in each of `size` elements, variance `variance`.
struct Simulation {
    int size = 20;
    double mean = 0.3, variance = 4.0;
    std::mt19937_64 random{11};

    double signal() const { return size * mean * mean; }
    double noise() const { return size * variance; }

    /// A step of micro-batches with these counts of tokens, weighted by `weight(token)`.
    template <class Weight>
    std::optional<GradientNoise> step(const std::vector<int>& counts, const Weight& weight) {
        std::normal_distribution<double> normal(mean, std::sqrt(variance));
        Ledger ledger(std::ssize(counts));
        std::vector<double> whole(static_cast<std::size_t>(size), 0.0);
        int token = 0;
        for (std::size_t k = 0; k < counts.size(); ++k) {
            LedgerRow row;
            std::vector<double> sum(static_cast<std::size_t>(size), 0.0);
            for (int t = 0; t < counts[k]; ++t, ++token) {
                const double w = weight(token);
                row.weight += w;
                row.squared_weight += w * w;
                for (double& element : sum) element += w * normal(random);
            }
            for (std::size_t i = 0; i < sum.size(); ++i) {
                row.squared_norm += sum[i] * sum[i];
                whole[i] += sum[i];
            }
            ledger.record(static_cast<std::int64_t>(k), row);
        }
        double square = 0.0;
        for (const double element : whole) square += element * element;
        return gradient_noise(ledger, square);
    }
};

struct Mean {
    double sum = 0.0, squares = 0.0, count = 0.0;
    void add(double value) {
        sum += value;
        squares += value * value;
        ++count;
    }
    double value() const { return sum / count; }
    double error() const { return std::sqrt((squares / count - value() * value()) / count); }
};

TEST(GradientNoise, EstimatesAreUnbiasedForUnequalCountsAndWeights) {
    const std::vector<std::vector<int>> batches{{1, 40, 3, 0, 17}, {1, 2}, {8, 8, 8, 8}};
    for (const auto& counts : batches)
        for (const bool weighted : {false, true}) {
            Simulation simulation;
            Mean signal, noise;
            for (int i = 0; i < 4000; ++i) {
                const auto found = simulation.step(counts, [&](int token) {
                    return weighted ? 0.25 * static_cast<double>(1 + token % 7) : 1.0;
                });
                ASSERT_TRUE(found.has_value());
                signal.add(found->signal);
                noise.add(found->noise);
            }
            // Fixed seeds: 4 standard errors is no matter of luck.
            EXPECT_NEAR(signal.value(), simulation.signal(), 4 * signal.error());
            EXPECT_NEAR(noise.value(), simulation.noise(), 4 * noise.error());
            // And the errors are small enough for that to mean something, but for the batch of 3.
            if (counts.size() > 2) {
                EXPECT_LT(signal.error(), 0.1 * simulation.signal());
                EXPECT_LT(noise.error(), 0.03 * simulation.noise());
            }
        }
}

TEST(GradientNoise, OneMicroBatchTellsNothing) {
    Simulation simulation;
    const auto one = [](int) { return 1.0; };
    EXPECT_FALSE(simulation.step({9}, one).has_value());
    EXPECT_FALSE(simulation.step({9, 0, 0}, one).has_value());
    EXPECT_FALSE(simulation.step({0, 0}, one).has_value());
    EXPECT_TRUE(simulation.step({9, 1}, one).has_value());
}

// What a run reports: a ratio of means, and an error that is as large as the deviations are.
TEST(GradientNoise, NoiseScaleOfManyStepsIsRightWithinItsError) {
    Simulation simulation;
    simulation.mean = 1.0;
    const double truth = simulation.noise() / simulation.signal();
    Mean scaled;
    Mean squares;
    for (int run = 0; run < 200; ++run) {
        RecentSteps recent;
        for (std::size_t i = 0; i < RecentSteps::window; ++i) {
            const auto found = simulation.step({3, 20, 9}, [](int) { return 1.0; });
            recent.add(1.0, found->signal, found->noise);
        }
        const auto scale = recent.noise_scale();
        ASSERT_TRUE(scale.has_value());
        scaled.add((scale->tokens - truth) / scale->error);
        squares.add(std::pow((scale->tokens - truth) / scale->error, 2));
    }
    EXPECT_NEAR(scaled.value(), 0.0, 0.3);
    EXPECT_NEAR(std::sqrt(squares.value()), 1.0, 0.2);
}

}  // namespace
}  // namespace evengrad
