// Learning rates against PyTorch's schedulers where it has them, closed forms elsewhere; and what
// is wrong with settings.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "hdf5/file.hpp"
#include "optimizer/kinds.hpp"

namespace evengrad {
namespace {

constexpr std::int64_t epochs = 30;

/// From tests/reference/make_reference.py.
std::vector<double> recorded_values(const std::string& name) {
    const auto file = hdf5::File::open(std::filesystem::path(EVENGRAD_SOURCE_DIR) /
                                       "tests/reference/schedule.h5");
    std::vector<double> values(epochs);
    file.root().read(name, {values.size()}, std::span(values));
    return values;
}

/// The settings that were recorded under a name, but for the plateau's.
ScheduleConfig recorded_config(const std::string& name) {
    ScheduleConfig config{.lr = 0.8, .min_lr = 0.05, .train_iters = epochs};
    config.gamma = 0.5;
    if (name == "step") {
        config.decay = LrDecay::step;
        config.step_size = 7;
    } else if (name == "multi_step") {
        config.decay = LrDecay::multi_step;
        config.milestones = {5, 11, 20};
    } else if (name == "exponential") {
        config.decay = LrDecay::exponential;
        config.step_size = 1;
        config.gamma = 0.92;
    } else if (name == "linear") {
        config.decay = LrDecay::linear;
        config.decay_iters = 25;
    } else if (name == "cosine") {
        config.decay = LrDecay::cosine;
    } else if (name == "restarts") {
        config.decay = LrDecay::cosine_restarts;
        config.cycle_iters = 7;
    } else if (name == "longer_restarts") {
        config.decay = LrDecay::cosine_restarts;
        config.cycle_iters = 4;
        config.cycle_mult = 2;
    } else {
        config.decay = LrDecay::polynomial;
        config.decay_iters = 25;
        config.power = 2.0;
        config.min_lr = 0.0;  // PyTorch's has none
    }
    return config;
}

class RecordedSchedule : public testing::TestWithParam<const char*> {};

TEST_P(RecordedSchedule, IsPyTorchs) {
    const std::vector<double> rates = recorded_values(GetParam());
    ScheduleConfig config = recorded_config(GetParam());
    EXPECT_EQ(config.validate(), std::vector<std::string>{});
    for (std::int64_t step = 0; step < epochs; ++step)
        EXPECT_NEAR(learning_rate(config, step), rates[static_cast<std::size_t>(step)], 1e-14)
            << step;
    // Warm-up comes before it and moves it: only milestones are steps of the run.
    constexpr std::int64_t warmup = 4;
    config.warmup_iters = warmup;
    config.train_iters += warmup;
    if (config.decay_iters > 0) config.decay_iters += warmup;
    for (std::int64_t& milestone : config.milestones) milestone += warmup;
    for (std::int64_t step = 0; step < warmup; ++step)
        EXPECT_DOUBLE_EQ(learning_rate(config, step), 0.2 * static_cast<double>(step + 1));
    for (std::int64_t step = 0; step < epochs; ++step)
        EXPECT_NEAR(learning_rate(config, warmup + step), rates[static_cast<std::size_t>(step)],
                    1e-14)
            << step;
}

INSTANTIATE_TEST_SUITE_P(All, RecordedSchedule,
                         testing::Values("step", "multi_step", "exponential", "linear", "cosine",
                                         "restarts", "longer_restarts", "polynomial"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Schedule, WarmUpThenConstantLinearOrCosine) {
    ScheduleConfig config{.lr = 0.8, .min_lr = 0.2, .warmup_iters = 4, .train_iters = 14};
    for (const LrDecay decay : {LrDecay::constant, LrDecay::linear, LrDecay::cosine}) {
        config.decay = decay;
        for (const auto& [step, lr] : {std::pair{0, 0.2}, {1, 0.4}, {2, 0.6}, {3, 0.8}, {4, 0.8}})
            EXPECT_DOUBLE_EQ(learning_rate(config, step), lr) << step;
        const double end = decay == LrDecay::constant ? 0.8 : 0.2;
        EXPECT_DOUBLE_EQ(learning_rate(config, 14), end);
        EXPECT_DOUBLE_EQ(learning_rate(config, 1'000'000), end);
        for (int step = 4; step < 14; ++step)
            EXPECT_LE(learning_rate(config, step + 1), learning_rate(config, step));
    }
    config.decay = LrDecay::linear;
    EXPECT_DOUBLE_EQ(learning_rate(config, 9), 0.5);
    EXPECT_DOUBLE_EQ(learning_rate(config, 13), 0.26);
    config.decay = LrDecay::cosine;
    EXPECT_DOUBLE_EQ(learning_rate(config, 9), 0.5);
    EXPECT_NEAR(learning_rate(config, 5), 0.2 + 0.3 * (1 + std::cos(std::acos(-1.0) / 10)), 1e-15);
    // Without warm-up, and with nothing but warm-up.
    config.warmup_iters = 0;
    EXPECT_DOUBLE_EQ(learning_rate(config, 0), 0.8);
    config.warmup_iters = config.train_iters;
    EXPECT_DOUBLE_EQ(learning_rate(config, 13), 0.8);
    EXPECT_DOUBLE_EQ(learning_rate(config, 14), 0.8);
}

TEST(Schedule, InverseSquareRootIsThePapers) {
    // Vaswani et al., eq. 3, times a constant: min(n^-1/2, n w^-3/2), n = 1, 2, ...
    ScheduleConfig config{.lr = 0.8, .decay = LrDecay::inverse_square_root, .warmup_iters = 9};
    for (int n = 1; n <= 100; ++n)
        EXPECT_NEAR(learning_rate(config, n - 1),
                    0.8 * 3.0 * std::min(std::pow(n, -0.5), n * std::pow(9.0, -1.5)), 1e-14)
            << n;
    config.min_lr = 0.5;
    EXPECT_DOUBLE_EQ(learning_rate(config, 99), 0.5);
    config.warmup_iters = 0;
    config.min_lr = 0.0;
    EXPECT_DOUBLE_EQ(learning_rate(config, 0), 0.8);
    EXPECT_DOUBLE_EQ(learning_rate(config, 15), 0.2);
}

TEST(Schedule, WarmUpStableDecay) {
    ScheduleConfig config{.lr = 0.8,
                          .min_lr = 0.2,
                          .decay = LrDecay::warmup_stable_decay,
                          .warmup_iters = 2,
                          .train_iters = 40};
    config.wsd_decay_iters = 6;
    for (const std::int64_t end : {40, 30}) {
        config.decay_iters = end == 40 ? 0 : end;
        EXPECT_DOUBLE_EQ(learning_rate(config, 0), 0.4);
        for (std::int64_t step = 1; step <= end - 6; ++step)
            EXPECT_DOUBLE_EQ(learning_rate(config, step), 0.8) << step;
        EXPECT_DOUBLE_EQ(learning_rate(config, end - 5), 0.7);
        EXPECT_DOUBLE_EQ(learning_rate(config, end - 3), 0.5);
        EXPECT_DOUBLE_EQ(learning_rate(config, end - 1), 0.3);
        EXPECT_DOUBLE_EQ(learning_rate(config, end), 0.2);
        EXPECT_DOUBLE_EQ(learning_rate(config, end + 100), 0.2);
    }
}

TEST(Schedule, ExponentialFallsByGammaInEveryStepSize) {
    ScheduleConfig config{.lr = 0.8, .decay = LrDecay::exponential, .warmup_iters = 3};
    config.step_size = 100;
    for (const int n : {0, 1, 2})
        EXPECT_NEAR(learning_rate(config, 3 + n * 100), 0.8 * std::pow(0.1, n), 1e-15);
    EXPECT_NEAR(learning_rate(config, 53), 0.8 * std::sqrt(0.1), 1e-15);
}

TEST(Schedule, NeverBelowTheFloorNorAboveThePeak) {
    for (const ScheduleFacts& facts : schedules()) {
        ScheduleConfig config{
            .lr = 0.8, .min_lr = 0.1, .decay = facts.decay, .warmup_iters = 3, .train_iters = 50};
        config.step_size = config.cycle_iters = config.wsd_decay_iters = 4;
        config.milestones = {5, 6, 7, 8};
        EXPECT_EQ(config.validate(), std::vector<std::string>{}) << facts.name;
        EXPECT_DOUBLE_EQ(learning_rate(config, 2), 0.8) << facts.name;
        for (std::int64_t step = 3; step < 100; ++step) {
            const double lr = learning_rate(config, step, step / 5);
            EXPECT_TRUE(lr >= 0.1 && lr <= 0.8 * (1 + 1e-15)) << facts.name << ' ' << lr;
        }
        // Without an end (audits), and after as many steps as there can be.
        config.train_iters = std::numeric_limits<std::int64_t>::max();
        config.cycle_mult = std::numeric_limits<std::int64_t>::max();
        EXPECT_TRUE(std::isfinite(learning_rate(config, config.train_iters - 1))) << facts.name;
    }
}

TEST(Plateau, IsPyTorchs) {
    const std::vector<double> losses = recorded_values("losses");
    ASSERT_TRUE(std::isnan(losses[4]));
    ScheduleConfig config{.lr = 0.8, .min_lr = 0.05, .decay = LrDecay::reduce_on_plateau};
    config.gamma = 0.5;
    std::vector<std::int64_t> steps;
    for (std::int64_t i = 1; i <= epochs; ++i) steps.push_back(10 * i);
    for (const bool cooldown : {false, true}) {
        config.plateau_patience = cooldown ? 0 : 2;
        config.plateau_threshold = cooldown ? 1e-4 : 0.01;
        config.plateau_cooldown = cooldown ? 3 : 0;
        const std::vector<double> rates =
            recorded_values(cooldown ? "plateau_cooldown" : "plateau");
        for (std::size_t done = 0; done <= losses.size(); ++done) {
            const std::int64_t reductions = plateau_reductions(config, std::span(steps).first(done),
                                                               std::span(losses).first(done), 0);
            EXPECT_DOUBLE_EQ(learning_rate(config, 500, reductions),
                             done == 0 ? 0.8 : rates[done - 1])
                << done;
        }
    }
}

TEST(Plateau, WarmUpAndOtherDataDontCount) {
    ScheduleConfig config{.decay = LrDecay::reduce_on_plateau, .warmup_iters = 30};
    config.plateau_patience = 1;
    const std::vector<std::int64_t> steps{10, 20, 30, 40, 50, 60};
    const std::vector<double> level(6, 2.0);
    const auto after = [&](std::size_t evaluations, std::int64_t first_comparable) {
        return plateau_reductions(config, std::span(steps).first(evaluations),
                                  std::span(level).first(evaluations), first_comparable);
    };
    // The one after step 30 is the best; those after 40 and 50 are no better.
    EXPECT_EQ(after(4, 0), 0);
    EXPECT_EQ(after(5, 0), 1);
    // Were the first five of other data, the rate stays where it was; the sixth is the best now.
    EXPECT_EQ(after(6, 5), 1);
    // Other data from the fifth on: that is the best, the sixth the first that is no better.
    EXPECT_EQ(after(6, 4), 0);
}

/// Whether one of the problems names the option.
bool named(const std::vector<std::string>& problems, const std::string& option) {
    return std::any_of(problems.begin(), problems.end(), [&](const std::string& problem) {
        return problem.find("--" + option + ' ') != std::string::npos;
    });
}

TEST(Validation, ReportsAllProblemsAtOnce) {
    EXPECT_TRUE(OptimizerConfig{}.validate().empty());
    EXPECT_TRUE(ScheduleConfig{}.validate().empty());
    OptimizerConfig optimizer;
    optimizer.weight_decay = -1;
    optimizer.clip_grad = NAN;
    optimizer.momentum = optimizer.adam_beta1 = optimizer.lion_beta1 = 1.0;
    optimizer.rmsprop_alpha = optimizer.adam_beta2 = optimizer.lion_beta2 = -0.1;
    optimizer.adam_eps = optimizer.rmsprop_eps = optimizer.adagrad_eps = 0.0;
    const auto wrong = optimizer.validate();
    EXPECT_EQ(wrong.size(), 11u);
    for (const OptimizerFacts& facts : optimizers())
        for (const char* option : facts.options) EXPECT_TRUE(named(wrong, option)) << option;
    for (const char* option : {"weight-decay", "clip-grad"})
        EXPECT_TRUE(named(wrong, option)) << option;

    ScheduleConfig schedule{.lr = INFINITY, .min_lr = -1, .warmup_iters = -1, .train_iters = 0};
    schedule.decay_iters = schedule.plateau_patience = schedule.plateau_cooldown = -1;
    schedule.gamma = schedule.plateau_threshold = 1.0;
    schedule.cycle_mult = 0;
    schedule.power = 0.0;
    const auto bad = schedule.validate();
    for (const char* option : {"lr", "min-lr", "train-iters", "lr-warmup-iters", "lr-decay-iters",
                               "lr-gamma", "lr-cycle-mult", "lr-power", "lr-plateau-patience",
                               "lr-plateau-threshold", "lr-plateau-cooldown"})
        EXPECT_TRUE(named(bad, option)) << option;
    EXPECT_EQ(bad.size(), 11u);
    schedule = {.lr = 0.1, .min_lr = 0.2, .warmup_iters = 20, .train_iters = 10, .decay_iters = 15};
    EXPECT_EQ(schedule.validate().size(), 3u);
}

TEST(Validation, WhatAScheduleNeeds) {
    ScheduleConfig config{.warmup_iters = 10, .train_iters = 100};
    for (const auto& [decay, option] : {std::pair{LrDecay::step, "lr-step-size"},
                                        {LrDecay::exponential, "lr-step-size"},
                                        {LrDecay::multi_step, "lr-milestones"},
                                        {LrDecay::cosine_restarts, "lr-cycle-iters"},
                                        {LrDecay::warmup_stable_decay, "lr-wsd-decay-iters"}}) {
        config.decay = decay;
        const auto problems = config.validate();
        ASSERT_EQ(problems.size(), 1u) << option;
        EXPECT_TRUE(named(problems, option)) << problems[0];
    }
    config.decay = LrDecay::multi_step;
    for (const auto& [milestones, good] : {std::pair<std::vector<std::int64_t>, bool>{{10}, true},
                                           {{9}, false},
                                           {{20, 30}, true},
                                           {{20, 20}, false},
                                           {{30, 20}, false}}) {
        config.milestones = milestones;
        EXPECT_EQ(config.validate().empty(), good) << fmt::format("{}", milestones[0]);
    }
    config.decay = LrDecay::warmup_stable_decay;
    for (const auto& [iters, good] : {std::pair{90, true}, {91, false}}) {
        config.wsd_decay_iters = iters;
        EXPECT_EQ(config.validate().empty(), good) << iters;
    }
}

}  // namespace
}  // namespace evengrad
