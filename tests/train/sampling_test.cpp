// Which token `generate` takes next.
#include "train/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "base/philox.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

SamplingConfig config_with(double temperature, std::int64_t top_k, double top_p = 1.0,
                           std::uint64_t seed = 1) {
    return {.temperature = temperature, .top_k = top_k, .top_p = top_p, .seed = seed};
}

Draw draw_of(std::int64_t position) {
    return {.text = 5, .repetition = 0, .position = static_cast<std::uint32_t>(position)};
}

constexpr std::int64_t draws = 20000;

std::vector<double> frequencies(const SamplingConfig& config, const std::vector<float>& logits) {
    std::vector<double> share(logits.size(), 0.0);
    for (std::int64_t i = 0; i < draws; ++i)
        share.at(static_cast<std::size_t>(sample(config, logits, draw_of(i)))) += 1.0 / draws;
    return share;
}

/// Six standard deviations of a share of `draws`: by chance once in 10^9. And rounding.
double tolerance(double probability) {
    return 1e-9 + 6.0 * std::sqrt(probability * (1.0 - probability) / static_cast<double>(draws));
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

// Holtzman et al. 2020, equation 2: the smallest set whose probabilities add up to p or more.
TEST(Sampling, TopPKeepsTheNucleusAndItsProportions) {
    // Eight times 1/8, exact in binary: p = 1/4 is met by two, any more takes a third.
    const std::vector<float> exact(8, 0.0f);
    for (const auto& [p, kept] :
         {std::pair{0.125, 1}, {0.1251, 2}, {0.25, 2}, {0.2501, 3}, {0.5, 4}, {0.9, 8}}) {
        const auto share = frequencies(config_with(1.0, 0, p), exact);
        for (std::size_t t = 0; t < share.size(); ++t)
            EXPECT_NEAR(share[t], static_cast<int>(t) < kept ? 1.0 / kept : 0.0,
                        tolerance(1.0 / kept))
                << p << " " << t;
    }
    const auto two = frequencies(config_with(1.0, 0, 0.7), logits);
    EXPECT_EQ(two[0], 0.0);
    EXPECT_EQ(two[2], 0.0);
    EXPECT_NEAR(two[1], 2.0 / 3.0, tolerance(2.0 / 3.0));
    EXPECT_EQ(frequencies(config_with(1.0, 0, 1e-9), logits)[1],
              frequencies(config_with(0.0, 0), logits)[1]);
}

// Temperature first: p^2 puts 16/22 = 0.73 on the likeliest. Then top-k: of two tokens, 2/3 and 1/3
// of what is left.
TEST(Sampling, TopPIsOfWhatTemperatureAndTopKLeft) {
    EXPECT_GT(frequencies(config_with(1.0, 0, 0.7), logits)[3], 0.0);
    EXPECT_EQ(frequencies(config_with(0.5, 0, 0.7), logits)[3], 0.0);
    EXPECT_GT(frequencies(config_with(1.0, 0, 0.6), logits)[3], 0.0);
    EXPECT_EQ(frequencies(config_with(1.0, 2, 0.6), logits)[3], 0.0);
}

/// The same draw, by sorting everything.
std::int32_t sample_by_sorting(const SamplingConfig& config, const std::vector<float>& values,
                               const Draw& draw) {
    std::vector<std::int32_t> order(values.size());
    std::iota(order.begin(), order.end(), 0);
    const auto logit = [&](std::int32_t t) { return values[static_cast<std::size_t>(t)]; };
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b); });
    if (config.top_k > 0 && static_cast<std::size_t>(config.top_k) < order.size())
        order.resize(static_cast<std::size_t>(config.top_k));
    std::vector<double> cumulative;
    double total = 0.0;
    for (const std::int32_t t : order)
        cumulative.push_back(total += std::exp((logit(t) - logit(order[0])) / config.temperature));
    std::size_t kept = 1;
    while (kept < order.size() && cumulative[kept - 1] < config.top_p * total) ++kept;
    const double drawn =
        cumulative[kept - 1] * uniform_open(Philox(config.seed, RandomPurpose::sampling)(
                                   draw.position, draw.repetition, draw.text)[0]);
    std::size_t rank = 0;
    while (rank + 1 < kept && cumulative[rank] <= drawn) ++rank;
    return order[rank];
}

// Sorted only as far as needed, also where many logits are equal: the same tokens.
TEST(Sampling, EqualsSortingEverything) {
    const Philox philox(2, RandomPurpose::test);
    std::size_t distinct = 0;
    for (const std::size_t size : {1u, 63u, 64u, 65u, 1000u, 3001u})
        for (const float step : {0.0f, 0.5f, 1e-3f})
            for (const auto& [top_k, top_p] : {std::pair<std::int64_t, double>{0, 1.0},
                                               {0, 0.9},
                                               {50, 1.0},
                                               {700, 0.95},
                                               {1, 0.5}}) {
                std::vector<float> values(size);
                for (std::size_t i = 0; i < size; ++i) {
                    const auto words = philox(static_cast<std::uint32_t>(i));
                    const double normal = normal_pair(words[0], words[1])[0];
                    // Rounded to multiples of `step`: ties.
                    values[i] =
                        step == 0.0f ? 1.0f : step * std::round(static_cast<float>(normal) / step);
                }
                std::vector<std::int32_t> taken;
                for (std::uint32_t position = 0; position < 40; ++position) {
                    const SamplingConfig config = config_with(1.5, top_k, top_p);
                    const Draw draw{9, 1, position};
                    taken.push_back(sample(config, values, draw));
                    ASSERT_EQ(taken.back(), sample_by_sorting(config, values, draw))
                        << size << " " << step << " " << top_k << " " << top_p;
                }
                std::sort(taken.begin(), taken.end());
                distinct += static_cast<std::size_t>(std::unique(taken.begin(), taken.end()) -
                                                     taken.begin());
            }
    EXPECT_GT(distinct, 1000u) << "the draws reach far down the ranks";
}

TEST(Sampling, TemperatureZeroTakesTheLikeliestAndOfTiesTheSmallest) {
    for (std::int64_t position = 0; position < 100; ++position) {
        EXPECT_EQ(sample(config_with(0.0, 0), logits, draw_of(position)), 1);
        EXPECT_EQ(sample(config_with(0.0, 3), std::vector{0.f, 2.f, -1.f, 2.f}, draw_of(position)),
                  1);
        EXPECT_EQ(sample(config_with(0.0, 0), std::vector{5.f, 5.f, 5.f}, draw_of(position)), 0);
    }
}

TEST(Sampling, LargeLogitsAndTinyTemperaturesDontOverflow) {
    for (std::int64_t position = 0; position < 100; ++position) {
        const Draw draw = draw_of(position);
        EXPECT_EQ(sample(config_with(1.0, 0), std::vector{-1e30f, 3e38f, 0.f}, draw), 1);
        EXPECT_EQ(sample(config_with(1e-300, 0), std::vector{1.f, 2.f, 1.5f}, draw), 1);
    }
}

TEST(Sampling, WhatIsNotANumberIsAnError) {
    for (const float bad : {std::nanf(""), INFINITY, -INFINITY})
        for (const double temperature : {0.0, 1.0})
            EXPECT_THROW(
                sample(config_with(temperature, 0), std::vector{0.f, bad, 1.f}, draw_of(0)), Error);
}

TEST(Sampling, DependsOnSeedAndDrawAlone) {
    const std::vector<float> flat(257, 0.0f);
    std::array<int, 4> differ{};
    for (std::uint32_t position = 0; position < 200; ++position) {
        const auto token = [&](std::uint64_t seed, Draw draw) {
            return sample(config_with(1.0, 0, 1.0, seed), flat, draw);
        };
        const std::int32_t expected = token(7, {3, 4, position});
        EXPECT_EQ(token(7, {3, 4, position}), expected);
        differ[0] += token(8, {3, 4, position}) != expected;
        differ[1] += token(7, {3, 4, position + 1}) != expected;
        differ[2] += token(7, {3, 5, position}) != expected;
        differ[3] += token(7, {4, 4, position}) != expected;
    }
    for (const int count : differ) EXPECT_GT(count, 180);
}

TEST(Sampling, NonsenseIsReportedTogether) {
    EXPECT_EQ(config_with(-1.0, -1, 0.0, std::uint64_t{1} << 60).validate().size(), 4u);
    EXPECT_EQ(config_with(std::nan(""), 0, std::nan("")).validate().size(), 2u);
    EXPECT_EQ(config_with(1.0, 0, 1.01).validate().size(), 1u);
    EXPECT_TRUE(SamplingConfig{}.validate().empty());
}

}  // namespace
}  // namespace evengrad
