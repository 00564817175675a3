// Activation functions against their definitions in double: values, derivatives, precision in
// float, behavior far out, and the gains that follow from them.
#include "kernels/activations.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include <evengrad/initialization.hpp>

namespace evengrad::test {
namespace {

constexpr double slope = 0.1;
constexpr double least = 1e-35;  // what is below that need not be exact

struct Exact {
    double y, derivative;
    /// Sum of the sizes of the derivative's terms, where these cancel.
    double terms = std::abs(derivative);
};

/// Each as its paper defines it, in a form that keeps relative precision on both sides.
Exact exact(Activation kind, double z) {
    const double s = 1.0 / (1.0 + std::exp(-z)), other = 1.0 / (1.0 + std::exp(z));
    switch (kind) {
        case Activation::identity:
            return {z, 1.0};
        case Activation::sigmoid:
            return {s, s * other};
        case Activation::tanh:
            return {std::tanh(z), 1.0 / (std::cosh(z) * std::cosh(z))};
        case Activation::relu:
            return z > 0.0 ? Exact{z, 1.0} : Exact{0.0, 0.0};
        case Activation::leaky_relu:
            return z > 0.0 ? Exact{z, 1.0} : Exact{slope * z, slope};
        case Activation::elu:
            return z > 0.0 ? Exact{z, 1.0} : Exact{std::expm1(z), std::exp(z)};
        case Activation::selu: {
            constexpr double scale = 1.0507009873554804934193349852946;
            constexpr double alpha = 1.6732632423543772848170429916717;
            return z > 0.0 ? Exact{scale * z, scale}
                           : Exact{scale * alpha * std::expm1(z), scale * alpha * std::exp(z)};
        }
        case Activation::softplus:
            return {std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z))), s};
        case Activation::softsign:
            return {z / (1.0 + std::abs(z)), std::pow(1.0 + std::abs(z), -2)};
        case Activation::gelu: {
            const double cdf = 0.5 * std::erfc(-z * std::sqrt(0.5));
            const double slant = z * std::exp(-0.5 * z * z) / std::sqrt(2.0 * M_PI);
            return {z * cdf, cdf + slant, cdf + std::abs(slant)};
        }
        case Activation::gelu_tanh: {
            const double scale = 2.0 * std::sqrt(2.0 / M_PI);
            const double inner = scale * (z + 0.044715 * z * z * z);
            const double left = 1.0 / (1.0 + std::exp(-inner)),
                         right = 1.0 / (1.0 + std::exp(inner));
            const double slant = z * left * right * scale * (1.0 + 3.0 * 0.044715 * z * z);
            return {z * left, left + slant, left + std::abs(slant)};
        }
        case Activation::silu:
            return {z * s, s * (1.0 + z * other), s * (1.0 + std::abs(z) * other)};
    }
    return {};
}

class Activations : public testing::TestWithParam<std::size_t> {
  protected:
    const Activation kind_ = static_cast<Activation>(GetParam());

    template <class T>
    std::array<std::vector<T>, 2> both(const std::vector<T>& z) const {
        std::array<std::vector<T>, 2> out{z, z};
        activate_with_derivative(kind_, slope, z.data(), static_cast<Index>(z.size()),
                                 out[0].data(), out[1].data());
        return out;
    }
    /// The worst errors of value and derivative, relative, in the type's epsilon.
    template <class T>
    std::array<double, 2> worst(T first, T last, int count) const {
        std::vector<T> z;
        for (int i = 0; i <= count; ++i)
            z.push_back(first + (last - first) * static_cast<T>(i) / static_cast<T>(count));
        for (T small = T(1); small > T(1e-30); small *= T(0.37))
            if (small < last) z.insert(z.end(), {small, -small});
        const auto found = both(z);
        const double unit = static_cast<double>(std::numeric_limits<T>::epsilon());
        std::array<double, 2> errors{};
        for (std::size_t i = 0; i < z.size(); ++i) {
            const Exact e = exact(kind_, static_cast<double>(z[i]));
            const auto error = [&](T value, double right, double size) {
                const double off = std::abs(static_cast<double>(value) - right);
                return off < least ? 0.0 : off / (size * unit);
            };
            errors[0] = std::max(errors[0], error(found[0][i], e.y, std::abs(e.y)));
            errors[1] = std::max(errors[1], error(found[1][i], e.derivative, e.terms));
        }
        return errors;
    }
};

TEST_P(Activations, InFloatWithinFiveEpsilon) {
    // GELU by tanh rounds its exponent, -87 at -9.6: in the tail that many times epsilon. (Its bits
    // are those of runs made before there were other activations.)
    const bool rough = kind_ == Activation::gelu_tanh;
    const auto near = worst(-5.0f, 5.0f, 400'000), far = worst(-12.0f, 80.0f, 400'000);
    fmt::print("{}: within 5 {:.2f} and {:.2f} epsilon, from -12 to 80 {:.2f} and {:.2f}\n",
               activation_names[GetParam()], near[0], near[1], far[0], far[1]);
    for (const auto& errors : {near, far})
        for (const double error : errors) EXPECT_LT(error, rough ? 200.0 : 5.0);
}

TEST_P(Activations, InDoubleToRounding) {
    for (const double error : worst(-12.0, 80.0, 10'000))
        EXPECT_LT(error, kind_ == Activation::gelu_tanh ? 300.0 : 8.0);
}

TEST_P(Activations, TheDerivativeIsThatOfTheFunction) {
    constexpr double h = 1e-4;
    for (double z = -6.0123; z < 6.0; z += 0.05) {
        const auto moved = both<double>({z + 2 * h, z + h, z, z - h, z - 2 * h});
        const std::vector<double>& y = moved[0];
        EXPECT_NEAR(moved[1][2], (8.0 * (y[1] - y[3]) - (y[0] - y[4])) / (12.0 * h), 1e-10) << z;
    }
}

TEST_P(Activations, FarOutNothingOverflowsAndNaNStays) {
    const double last = exact(kind_, 700.0).derivative, first = exact(kind_, -700.0).derivative;
    for (const float z : {1e2f, 1e3f, 1e5f, 1e10f, 1e15f, 1e20f, 1e30f}) {
        const auto [y, derivative] = both<float>({z, -z});
        const Exact right = exact(kind_, static_cast<double>(z));
        const Exact left = exact(kind_, -static_cast<double>(z));
        EXPECT_NEAR(y[0], right.y, 1e-6 * std::abs(right.y)) << z;
        EXPECT_NEAR(y[1], left.y, 1e-6 * std::abs(left.y) + 1e-30) << -z;
        EXPECT_NEAR(derivative[0], last, kind_ == Activation::softsign ? 1e-3 : 1e-6) << z;
        EXPECT_NEAR(derivative[1], first,
                    kind_ == Activation::softsign ? 1e-3 : 1e-6 * std::abs(first) + 1e-20)
            << -z;
    }
    const auto [y, derivative] = both<float>({std::nanf(""), 1.0f});
    EXPECT_TRUE(std::isnan(y[0]));
    EXPECT_FALSE(std::isnan(y[1]));
}

TEST_P(Activations, ZeroAndItsSigns) {
    const auto [y, derivative] = both<float>({0.0f, -0.0f});
    const Exact at_zero = exact(kind_, 0.0);
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_NEAR(y[i], at_zero.y, 1e-7);
        EXPECT_NEAR(derivative[i], at_zero.derivative, 2e-7);
    }
}

/// E[f(z)^2], z standard normal: trapezoids, which are exact to rounding for what falls off on both
/// sides so fast, but for kinks and jumps of derivatives at 0, where they are cut.
double mean_square(Activation kind, double negative_slope) {
    constexpr int steps = 1 << 16;
    constexpr double end = 12.0, h = end / steps;
    double sum = 0.0;
    for (const double side : {-1.0, 1.0})
        for (int i = 0; i <= steps; ++i) {
            const double z = side * h * i;
            double y = 0.0;
            activate(kind, negative_slope, &z, 1, &y);
            sum += (i == 0 || i == steps ? 0.5 : 1.0) * y * y * std::exp(-0.5 * z * z);
        }
    return h * sum / std::sqrt(2.0 * M_PI);
}

TEST_P(Activations, GainsThatPyTorchLacksKeepTheMeanSquare) {
    const double gain = calculate_gain(kind_, slope);
    const double product = gain * gain * mean_square(kind_, slope);
    switch (kind_) {
        case Activation::sigmoid:  // PyTorch's, by experience
        case Activation::tanh:
        case Activation::selu:
            EXPECT_GT(std::abs(product - 1.0), 0.01);
            break;
        default:
            EXPECT_NEAR(product, 1.0, 2e-6);
    }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Activations,
                         testing::Range<std::size_t>(0, activation_names.size()),
                         [](const auto& info) {
                             std::string name = activation_names[info.param];
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

}  // namespace
}  // namespace evengrad::test
