// Verdicts, causes and cures from statistics that are made of known factors.
#include "lab/diagnosis.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <evengrad/error.hpp>

namespace evengrad {
namespace {

/// A stack of equally wide layers; every one changes signals alike.
struct Stack {
    Activation activation = Activation::tanh;
    InitScheme init = InitScheme::xavier;
    int layers = 5;
    double weights = 1.0;     ///< sqrt(n Var(W))
    double derivative = 1.0;  ///< root mean square of f'(z)
    double rest = 1.0;        ///< of the way back
    double forward = 1.0;     ///< std of a layer's output by that of its input
    double input_rms = 1.0;
    bool residual = false;
    MlpNorm norm = MlpNorm::none;

    static constexpr Index width = 64;

    DiagnosedRun run() const {
        MlpConfig mlp;
        mlp.layer_widths.assign(static_cast<std::size_t>(layers) + 1, width);
        mlp.layer_widths.push_back(10);
        mlp.activation = activation;
        mlp.init.scheme = init;
        mlp.residual = residual;
        mlp.norm = norm;
        DiagnosedRun run;
        run.model = mlp;
        return run;
    }
    std::vector<ActivationLayer> names() const {
        std::vector<ActivationLayer> out;
        for (int l = 0; l < layers; ++l)
            out.push_back({fmt::format("layers.{}", l), width, width, activation});
        return out;
    }
    LayerMeasurement measured() const {
        LayerMeasurement out;
        const double back = weights * derivative * rest;
        for (int l = 0; l < layers; ++l) {
            LayerStatistics s;
            const double std = input_rms * std::pow(forward, l + 1);
            s.forward_variance = std * std;
            s.backward_variance = 1e-6 * std::pow(back * back, layers - 1 - l);
            s.input_norm = std / forward * std::sqrt(static_cast<double>(width));
            s.derivative_mean_square = derivative * derivative;
            out.layers.push_back(s);
            out.weight_std.push_back(weights / std::sqrt(static_cast<double>(width)));
        }
        return out;
    }
    Diagnosis diagnosed() const { return diagnose(run(), names(), measured()); }
};

bool suggests(const Diagnosis& found, const std::string& options) {
    return std::any_of(found.cures.begin(), found.cures.end(),
                       [&](const Cure& cure) { return cure.options == options; });
}

std::string first_cure(const Diagnosis& found) {
    return found.cures.empty() ? "none" : found.cures.front().options;
}

constexpr double tolerance = 1e-12;

TEST(Diagnosis, ASteadyStackNeedsNothing) {
    const Diagnosis found = Stack{}.diagnosed();
    EXPECT_TRUE(found.is_sound());
    EXPECT_EQ(found.backward.steadiness, Steadiness::steady);
    EXPECT_EQ(found.forward.steadiness, Steadiness::steady);
    EXPECT_NEAR(found.backward.mean_factor, 1.0, tolerance);
    EXPECT_TRUE(found.cures.empty());
}

TEST(Diagnosis, SmallUniformWeightsLetTheGradientVanishBy0577ALayer) {
    const double third = 1.0 / std::sqrt(3.0);
    Stack stack{.init = InitScheme::uniform, .weights = third, .forward = third};
    const Diagnosis found = stack.diagnosed();
    EXPECT_FALSE(found.is_sound());
    EXPECT_EQ(found.backward.steadiness, Steadiness::vanishing);
    EXPECT_EQ(found.forward.steadiness, Steadiness::vanishing);
    EXPECT_EQ(found.backward.cause, Cause::weights);
    EXPECT_NEAR(found.backward.mean_factor, third, tolerance);
    EXPECT_NEAR(found.backward.total, 1.0 / 9.0, tolerance);
    EXPECT_EQ(found.backward.from, 4);
    EXPECT_EQ(found.backward.to, 0);
    EXPECT_EQ(found.forward.from, 0);
    EXPECT_EQ(found.forward.to, 4);
    ASSERT_TRUE(found.backward.interval);  // equal factors: no doubt
    EXPECT_NEAR((*found.backward.interval)[0], third, 1e-9);
    EXPECT_NEAR((*found.backward.interval)[1], third, 1e-9);
    for (std::size_t l = 0; l < 4; ++l) {
        ASSERT_TRUE(found.layers[l].backward);
        EXPECT_NEAR(found.layers[l].backward->all, third, tolerance);
        EXPECT_NEAR(found.layers[l].backward->weights, third, tolerance);
        EXPECT_NEAR(found.layers[l].backward->activation, 1.0, tolerance);
        EXPECT_NEAR(found.layers[l].backward->rest, 1.0, tolerance);
        EXPECT_NEAR(found.layers[l].forward.weights, third, tolerance);
        EXPECT_NEAR(found.layers[l].forward.activation, 1.0, tolerance);
    }
    EXPECT_FALSE(found.layers[4].backward);
    ASSERT_FALSE(found.cures.empty());
    EXPECT_EQ(first_cure(found), "--init xavier");
    EXPECT_NE(found.cures.front().reason.find("0.577"), std::string::npos);
    EXPECT_TRUE(suggests(found, "--residual --norm layernorm"));
    EXPECT_TRUE(suggests(found, "--norm layernorm"));
    stack.activation = Activation::relu;
    EXPECT_EQ(first_cure(stack.diagnosed()), "--init he");
    stack.activation = Activation::selu;
    EXPECT_EQ(first_cure(stack.diagnosed()), "--init lecun");
}

TEST(Diagnosis, SigmoidVanishesByItsDerivative) {
    Stack stack{.activation = Activation::sigmoid, .layers = 3, .derivative = 0.24};
    const Diagnosis found = stack.diagnosed();
    EXPECT_EQ(found.backward.steadiness, Steadiness::vanishing);
    EXPECT_EQ(found.forward.steadiness, Steadiness::steady);
    EXPECT_EQ(found.backward.cause, Cause::activation);
    EXPECT_NEAR(found.backward.total, 0.24 * 0.24, tolerance);
    EXPECT_NEAR(found.layers[0].backward->activation, 0.24, tolerance);
    ASSERT_EQ(found.cures.size(), 2u);
    EXPECT_EQ(found.cures[0].options, "--activation relu --init he");
    EXPECT_EQ(found.cures[1].options, "--residual --norm layernorm");
    stack.norm = MlpNorm::layernorm;
    EXPECT_EQ(stack.diagnosed().cures[1].options, "--residual");
    stack.residual = true;  // and nothing but the rest is left to blame
    stack.rest = 4.0;
    EXPECT_TRUE(stack.diagnosed().is_sound());
}

TEST(Diagnosis, TanhThatBendsAsksForALargerGain) {
    const Diagnosis found = Stack{.layers = 12, .derivative = 0.85}.diagnosed();
    EXPECT_EQ(found.backward.cause, Cause::activation);
    EXPECT_EQ(first_cure(found), "--init-gain activation");
}

TEST(Diagnosis, LargeWeightsExplode) {
    const Diagnosis found =
        Stack{.activation = Activation::relu, .init = InitScheme::normal, .weights = 2.0}
            .diagnosed();
    EXPECT_EQ(found.backward.steadiness, Steadiness::exploding);
    EXPECT_EQ(found.backward.cause, Cause::weights);
    EXPECT_NEAR(found.backward.total, 16.0, 1e-9);
    EXPECT_EQ(first_cure(found), "--init he");
    EXPECT_FALSE(suggests(found, "--residual --norm layernorm"));  // which adds to signals
    EXPECT_TRUE(suggests(found, "--norm layernorm"));
}

TEST(Diagnosis, WhatIsLeftOverCanBeTheCause) {
    const Diagnosis found = Stack{.rest = 1.6, .residual = true}.diagnosed();
    EXPECT_EQ(found.backward.steadiness, Steadiness::exploding);
    EXPECT_EQ(found.backward.cause, Cause::rest);
    EXPECT_NEAR(found.layers[2].backward->rest, 1.6, tolerance);
}

TEST(Diagnosis, SteadyIsWiderForDeeperStacksButNotWithoutEnd) {
    EXPECT_DOUBLE_EQ(steady_range(1), 4.0);
    EXPECT_DOUBLE_EQ(steady_range(10), 4.0);
    EXPECT_NEAR(steady_range(16), 5.3966, 1e-3);
    EXPECT_DOUBLE_EQ(steady_range(49), 10.0);
    const auto verdict = [](int layers, double factor) {
        return Stack{.layers = layers, .derivative = factor}.diagnosed().backward.steadiness;
    };
    EXPECT_EQ(verdict(3, 0.55), Steadiness::steady);
    EXPECT_EQ(verdict(3, 0.45), Steadiness::vanishing);
    EXPECT_EQ(verdict(50, 0.96), Steadiness::steady);
    EXPECT_EQ(verdict(50, 0.95), Steadiness::vanishing);
    EXPECT_EQ(verdict(50, 1.045), Steadiness::steady);
    EXPECT_EQ(verdict(50, 1.05), Steadiness::exploding);
}

TEST(Diagnosis, AHollowInTheMiddleIsFoundAlthoughBothEndsAreAlike) {
    Stack stack{.layers = 7};
    LayerMeasurement measured = stack.measured();
    measured.layers[3].backward_variance *= 1e-4;
    for (std::size_t l = 0; l < 3; ++l) measured.layers[l].backward_variance *= 0.25;
    const Diagnosis found = diagnose(stack.run(), stack.names(), measured);
    EXPECT_NEAR(found.backward.total, 0.5, tolerance);
    EXPECT_EQ(found.backward.steadiness, Steadiness::vanishing);
    EXPECT_NEAR(found.backward.largest, 0.01, tolerance);
    EXPECT_EQ(found.backward.from, 4);
    EXPECT_EQ(found.backward.to, 3);
}

TEST(Diagnosis, TheIntervalIsStudentsOfTheFactorsLogarithms) {
    // Factors 1/2, 1, 2 on the way back: mean 1; of their log2 the standard deviation is 1, and t
    // of two degrees of freedom is 4.3027 (any table of it).
    Stack stack{.layers = 4};
    LayerMeasurement measured = stack.measured();
    measured.layers[2].backward_variance *= 0.25;
    measured.layers[1].backward_variance *= 0.25;
    const Diagnosis found = diagnose(stack.run(), stack.names(), measured);
    EXPECT_NEAR(found.backward.mean_factor, 1.0, tolerance);
    ASSERT_TRUE(found.backward.interval);
    const double half = std::exp2(4.302653 / std::sqrt(3.0));
    EXPECT_NEAR((*found.backward.interval)[1], half, 1e-4);
    EXPECT_NEAR((*found.backward.interval)[0], 1.0 / half, 1e-4);
    EXPECT_FALSE(Stack{.layers = 2}.diagnosed().backward.interval);
}

TEST(Diagnosis, SaturationIsCuredWhereItComesFrom) {
    Stack stack{.derivative = 0.9, .input_rms = 12.0};
    LayerMeasurement measured = stack.measured();
    measured.layers[0].saturated_fraction = 0.6;
    DiagnosedRun run = stack.run();
    Diagnosis found = diagnose(run, stack.names(), measured);
    EXPECT_TRUE(found.layers[0].saturated);
    EXPECT_FALSE(found.layers[1].saturated);
    EXPECT_FALSE(found.is_sound());
    EXPECT_EQ(first_cure(found), "--input-normalization standardize");
    EXPECT_NE(found.cures.front().reason.find("12"), std::string::npos);
    run.input_normalization = "standardize";
    found = diagnose(run, stack.names(), measured);
    EXPECT_EQ(first_cure(found), "--norm layernorm");
    // Weights that saturate.
    stack = {.init = InitScheme::normal, .weights = 6.0, .derivative = 1.0 / 6.0};
    measured = stack.measured();
    for (LayerStatistics& layer : measured.layers) layer.saturated_fraction = 0.5;
    found = diagnose(stack.run(), stack.names(), measured);
    EXPECT_EQ(first_cure(found), "--init xavier");
}

TEST(Diagnosis, HalfOfARelusUnitsAreOffByDesignAndDeadOnesAreNot) {
    Stack stack{.activation = Activation::relu,
                .init = InitScheme::he,
                .weights = std::sqrt(2.0),
                .derivative = std::sqrt(0.5)};
    LayerMeasurement measured = stack.measured();
    for (LayerStatistics& layer : measured.layers) layer.saturated_fraction = 0.5;
    EXPECT_TRUE(diagnose(stack.run(), stack.names(), measured).is_sound());
    measured.layers[2].saturated_fraction = 0.95;
    EXPECT_TRUE(diagnose(stack.run(), stack.names(), measured).layers[2].saturated);
    measured.layers[2].saturated_fraction = 0.5;
    measured.layers[3].dead_fraction = 0.75;
    const Diagnosis found = diagnose(stack.run(), stack.names(), measured);
    EXPECT_TRUE(found.layers[3].dead);
    EXPECT_EQ(found.layers[3].dead_units, 48);
    EXPECT_FALSE(found.is_sound());
    EXPECT_EQ(first_cure(found), "--activation leaky-relu");
    measured.layers[3].dead_fraction = 0.45;
    EXPECT_TRUE(diagnose(stack.run(), stack.names(), measured).is_sound());
}

TEST(Diagnosis, WhatTrainingDidIsCuredBySmallerSteps) {
    Stack stack{.activation = Activation::relu, .init = InitScheme::he, .weights = 3.0};
    DiagnosedRun run = stack.run();
    run.step = 100;
    run.lr = 0.5;
    const Diagnosis found = diagnose(run, stack.names(), stack.measured());
    EXPECT_TRUE(suggests(found, "--lr 0.05"));
    EXPECT_TRUE(suggests(found, "--clip-grad 1"));
    EXPECT_FALSE(suggests(found, "--init he"));  // it has that
    run.clip_grad = 1.0;
    EXPECT_FALSE(suggests(diagnose(run, stack.names(), stack.measured()), "--clip-grad 1"));
    run.step = 0;
    EXPECT_FALSE(suggests(diagnose(run, stack.names(), stack.measured()), "--lr 0.05"));
}

TEST(Diagnosis, NothingAtAllHasVanished) {
    Stack stack{.init = InitScheme::zeros, .weights = 0.0};
    LayerMeasurement measured = stack.measured();
    for (LayerStatistics& layer : measured.layers)
        layer.forward_variance = layer.backward_variance = 0.0;
    const Diagnosis found = diagnose(stack.run(), stack.names(), measured);
    EXPECT_EQ(found.backward.steadiness, Steadiness::vanishing);
    EXPECT_EQ(found.forward.steadiness, Steadiness::vanishing);
    EXPECT_EQ(found.backward.cause, Cause::weights);
    EXPECT_EQ(found.backward.total, 0.0);
    EXPECT_FALSE(found.backward.interval);
    EXPECT_EQ(first_cure(found), "--init xavier");
}

TEST(Diagnosis, ATransformersCausesAreNotThoseOfAStack) {
    Stack stack{.activation = Activation::gelu_tanh, .layers = 4, .derivative = 0.3};
    DiagnosedRun run = stack.run();
    run.model = GptConfig();
    run.model.init().scheme = InitScheme::normal;
    const Diagnosis found = diagnose(run, stack.names(), stack.measured());
    EXPECT_EQ(found.backward.steadiness, Steadiness::vanishing);
    EXPECT_EQ(found.backward.cause, Cause::rest);
    EXPECT_TRUE(std::isnan(found.layers[0].backward->weights));
    ASSERT_EQ(found.cures.size(), 1u);
    EXPECT_EQ(found.cures[0].options, "--init gpt2");
}

TEST(Diagnosis, FewLayersAreNoReasonToStumble) {
    EXPECT_TRUE(Stack{.layers = 0}.diagnosed().is_sound());
    const Diagnosis one = Stack{.layers = 1, .weights = 0.01}.diagnosed();
    EXPECT_EQ(one.backward.steadiness, Steadiness::steady);
    EXPECT_FALSE(one.layers[0].backward);
}

TEST(Diagnosis, NumbersThatMakeNoSenseAreRefused) {
    const Stack stack;
    const auto refused = [&](auto change) {
        LayerMeasurement measured = stack.measured();
        change(measured);
        try {
            diagnose(stack.run(), stack.names(), measured);
        } catch (const Error& error) {
            return std::string(error.what()).find("layers.1") != std::string::npos;
        }
        return false;
    };
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_TRUE(refused([](auto& m) { m.layers[1].backward_variance = nan; }));
    EXPECT_TRUE(refused([](auto& m) { m.layers[1].forward_variance = -1.0; }));
    EXPECT_TRUE(refused([](auto& m) { m.layers[1].dead_fraction = 1.5; }));
    EXPECT_TRUE(refused([](auto& m) { m.weight_std[1] = nan; }));
    EXPECT_FALSE(refused([](auto&) {}));
}

TEST(Diagnosis, SeveralStepsAreOneMeasurement) {
    const Stack stack;
    LayerMeasurement one = stack.measured(), other = stack.measured();
    one.layers[2].backward_variance = 1.0;
    other.layers[2].backward_variance = 3.0;
    one.layers[2].input_norm = one.weight_std[2] = 1.0;
    other.layers[2].input_norm = other.weight_std[2] = 7.0;
    const LayerMeasurement mean = mean_of({one, other});
    EXPECT_DOUBLE_EQ(mean.layers[2].backward_variance, 2.0);
    EXPECT_DOUBLE_EQ(mean.layers[2].input_norm, 5.0);
    EXPECT_DOUBLE_EQ(mean.weight_std[2], 5.0);
    EXPECT_EQ(mean.layers[1], one.layers[1]);
}

}  // namespace
}  // namespace evengrad
