// What a step is judged by.
#include "statistics/recent_steps.hpp"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace evengrad {
namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

/// `steps` norms that go up and down between 1 and 1.44.
RecentSteps steady(std::size_t steps) {
    RecentSteps recent;
    for (std::size_t i = 0; i < steps; ++i)
        recent.add(std::pow(1.2, static_cast<double>(i % 3)), none, none);
    return recent;
}

TEST(RecentSteps, NoScoreBeforeThereIsSomethingToCompareWith) {
    EXPECT_FALSE(steady(RecentSteps::fewest_norms - 1).score(1.0).has_value());
    EXPECT_TRUE(steady(RecentSteps::fewest_norms).score(1.0).has_value());
    EXPECT_FALSE(steady(60).score(0.0).has_value());
}

TEST(RecentSteps, ScoreIsRobustAndOfTheLogarithm) {
    RecentSteps recent = steady(60);
    const auto score = recent.score(1.2 * 1.2 * 1.2);
    ASSERT_TRUE(score.has_value());
    EXPECT_NEAR(score->usual, 1.2, 1e-12);
    // The median deviation of the logarithms is log 1.2, since two of three norms are that far off.
    EXPECT_NEAR(score->z, 2.0 / 1.4826, 1e-9);
    EXPECT_LT(recent.score(0.5)->z, 0.0);
    // A spike doesn't hide the next one, as it would with mean and standard deviation.
    const double before = recent.score(50.0)->z;
    recent.add(50.0, none, none);
    EXPECT_NEAR(recent.score(50.0)->z, before, 0.01 * before);
    EXPECT_GT(before, 5.0);
}

TEST(RecentSteps, StepsThatAreAllAlikeDoNotMakeEveryOtherASpike) {
    RecentSteps recent;
    for (int i = 0; i < 60; ++i) recent.add(3.0, none, none);
    EXPECT_NEAR(recent.score(3.0 * std::exp(0.1))->z, 2.0, 1e-9);
}

TEST(RecentSteps, ALastingChangeIsTheUsualAfterHalfAWindow) {
    RecentSteps recent = steady(RecentSteps::window);
    for (std::size_t i = 0; i <= RecentSteps::window / 2; ++i) recent.add(100.0, none, none);
    EXPECT_LT(recent.score(100.0)->z, 1.0);
}

TEST(RecentSteps, ComeBackFromTheHistoryAndAcrossRanks) {
    TrainingHistory history;
    RecentSteps all;
    for (int i = 1; i <= 300; ++i) {
        history.step.push_back(i);
        history.grad_norm.push_back(i % 50 == 0 ? 0.0 : 1.0 + 0.01 * i);
        history.gradient_signal.push_back(i % 3 == 0 ? none : 1.0 + 0.1 * (i % 5));
        history.gradient_noise.push_back(i % 3 == 0 ? none : 7.0 + 0.1 * (i % 7));
        all.add(history.grad_norm.back(), history.gradient_signal.back(),
                history.gradient_noise.back());
    }
    for (const RecentSteps& again : {RecentSteps(history), RecentSteps(all.numbers())}) {
        EXPECT_EQ(again.score(5.0)->z, all.score(5.0)->z);
        EXPECT_EQ(again.noise_scale()->tokens, all.noise_scale()->tokens);
        EXPECT_EQ(again.noise_scale()->error, all.noise_scale()->error);
    }
    EXPECT_EQ(all.numbers().size(), 3 * RecentSteps::window);
}

TEST(RecentSteps, NoNoiseScaleWhereNoiseIsAllThereIs) {
    RecentSteps few, negative, one_step;
    for (std::size_t i = 0; i + 1 < RecentSteps::fewest_noises; ++i) few.add(1.0, 1.0, 5.0);
    EXPECT_FALSE(few.noise_scale().has_value());
    few.add(1.0, 1.0, 5.0);
    ASSERT_TRUE(few.noise_scale().has_value());
    EXPECT_EQ(few.noise_scale()->tokens, 5.0);
    EXPECT_EQ(few.noise_scale()->error, 0.0);
    for (int i = 0; i < 20; ++i) negative.add(1.0, i % 2 == 0 ? 1.0 : -2.0, 5.0);
    EXPECT_FALSE(negative.noise_scale().has_value());
    for (int i = 0; i < 20; ++i) one_step.add(1.0, i == 3 ? 10.0 : -0.1, 5.0);
    EXPECT_FALSE(one_step.noise_scale().has_value());
}

}  // namespace
}  // namespace evengrad
