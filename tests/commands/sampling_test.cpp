// Which token `generate` takes next.
#include <cmath>

#include <gtest/gtest.h>

#include "train/generate.hpp"

namespace evengrad {
namespace {

GenerateConfig config_with(double temperature, std::int64_t top_k, std::uint64_t seed = 1) {
    GenerateConfig config;
    config.temperature = temperature;
    config.top_k = top_k;
    config.seed = seed;
    return config;
}

constexpr std::int64_t draws = 20000;

std::vector<double> frequencies(const GenerateConfig& config, const std::vector<float>& logits) {
    std::vector<double> share(logits.size(), 0.0);
    for (std::int64_t i = 0; i < draws; ++i)
        share.at(static_cast<std::size_t>(sample(config, logits, i))) += 1.0 / draws;
    return share;
}

/// Six standard deviations of a share of `draws`: by chance once in 10^9.
double tolerance(double probability) {
    return 6.0 * std::sqrt(probability * (1.0 - probability) / static_cast<double>(draws));
}

// Probabilities 1/2, 1/4, 1/8, 1/8, in another order than tokens.
const std::vector<float> logits = {std::log(0.125f), std::log(0.5f), std::log(0.125f),
                                   std::log(0.25f)};

TEST(Sampling, FrequenciesAreTheSoftmax) {
    const auto share = frequencies(config_with(1.0, 0), logits);
    const std::vector<double> expected = {0.125, 0.5, 0.125, 0.25};
    for (std::size_t t = 0; t < expected.size(); ++t)
        EXPECT_NEAR(share[t], expected[t], tolerance(expected[t])) << t;
}

TEST(Sampling, TemperatureDividesTheLogits) {
    // p^2, normalized: 1/22, 16/22, 1/22, 4/22
    const auto share = frequencies(config_with(0.5, 0), logits);
    EXPECT_NEAR(share[1], 16.0 / 22.0, tolerance(16.0 / 22.0));
    EXPECT_NEAR(share[3], 4.0 / 22.0, tolerance(4.0 / 22.0));
    EXPECT_NEAR(share[0], 1.0 / 22.0, tolerance(1.0 / 22.0));
}

TEST(Sampling, TopKKeepsTheLikeliestAndTheirProportions) {
    const auto share = frequencies(config_with(1.0, 2), logits);
    EXPECT_EQ(share[0], 0.0);
    EXPECT_EQ(share[2], 0.0);
    EXPECT_NEAR(share[1], 2.0 / 3.0, tolerance(2.0 / 3.0));
    // Of a tie at the border the smaller token stays.
    const auto three = frequencies(config_with(1.0, 3), logits);
    EXPECT_GT(three[0], 0.0);
    EXPECT_EQ(three[2], 0.0);
    // More than there are: all.
    EXPECT_EQ(frequencies(config_with(1.0, 100), logits), frequencies(config_with(1.0, 0), logits));
    EXPECT_EQ(frequencies(config_with(1.0, 1), logits)[1],
              frequencies(config_with(0.0, 0), logits)[1]);
}

TEST(Sampling, TemperatureZeroTakesTheLikeliestAndOfTiesTheSmallest) {
    for (std::int64_t position = 0; position < 100; ++position) {
        EXPECT_EQ(sample(config_with(0.0, 0), logits, position), 1);
        EXPECT_EQ(sample(config_with(0.0, 3), {0.f, 2.f, -1.f, 2.f}, position), 1);
        EXPECT_EQ(sample(config_with(0.0, 0), {5.f, 5.f, 5.f}, position), 0);
    }
}

TEST(Sampling, LargeLogitsAndTinyTemperaturesDontOverflow) {
    for (std::int64_t position = 0; position < 100; ++position) {
        EXPECT_EQ(sample(config_with(1.0, 0), {-1e30f, 3e38f, 0.f}, position), 1);
        EXPECT_EQ(sample(config_with(1e-300, 0), {1.f, 2.f, 1.5f}, position), 1);
    }
}

TEST(Sampling, DependsOnSeedAndPositionAlone) {
    const std::vector<float> flat(257, 0.0f);
    std::int64_t other_seed = 0, other_position = 0;
    for (std::int64_t position = 0; position < 200; ++position) {
        const auto token = sample(config_with(1.0, 0, 7), flat, position);
        EXPECT_EQ(sample(config_with(1.0, 0, 7), flat, position), token);
        other_seed += sample(config_with(1.0, 0, 8), flat, position) != token;
        other_position += sample(config_with(1.0, 0, 7), flat, position + 1) != token;
    }
    EXPECT_GT(other_seed, 180);
    EXPECT_GT(other_position, 180);
}

TEST(Sampling, NonsenseIsReportedTogether) {
    GenerateConfig config = config_with(-1.0, -1, std::uint64_t{1} << 60);
    config.max_new_tokens = 0;
    EXPECT_EQ(config.validate().size(), 4u);
    config = config_with(std::nan(""), 0);
    EXPECT_EQ(config.validate().size(), 1u);
    EXPECT_TRUE(GenerateConfig{}.validate().empty());
}

}  // namespace
}  // namespace evengrad
