// Every layer's backward against central finite differences of its forward, in double.
#include <cmath>
#include <functional>

#include <gtest/gtest.h>

#include "kernels/attention.hpp"
#include "kernels/offsets.hpp"
#include "kernels/rows.hpp"

namespace evengrad::test {
namespace {

using Doubles = std::vector<double>;

/// |analytic - measured| / max(|measured|, 1e-6), where measured[i] is the derivative of f by x[i].
double relative_error(const std::function<double(const Doubles&)>& f, const Doubles& x,
                      const Doubles& analytic) {
    constexpr double h = 1e-4;
    double difference = 0.0, norm = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const auto at = [&](double step) {
            Doubles moved = x;
            moved[i] += step;
            return f(moved);
        };
        const double measured = (8.0 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12.0 * h);
        difference += std::pow(analytic[i] - measured, 2);
        norm += measured * measured;
    }
    return std::sqrt(difference) / std::max(std::sqrt(norm), 1e-6);
}

double dot(const Doubles& a, const Doubles& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

TEST(Backward, LayerNorm) {
    const Index rows = 5, columns = 7;
    const Doubles x = normal_numbers<double>(rows * columns, 2.0, 0);
    const Doubles gain = normal_numbers<double>(columns, 1.0, 1);
    const Doubles shift = normal_numbers<double>(columns, 1.0, 2);
    const Doubles dy = normal_numbers<double>(rows * columns, 1.0, 3);
    Doubles mean(rows), rstd(rows);
    const auto value = [&](const Doubles& in, const Doubles& g, const Doubles& s) {
        Doubles out(in.size());
        layer_norm_statistics(in.data(), rows, columns, mean.data(), rstd.data());
        layer_norm_apply(in.data(), mean.data(), rstd.data(), g.data(), s.data(), rows, columns,
                         out.data());
        return dot(out, dy);
    };
    value(x, gain, shift);
    Doubles dx(x.size(), 0.0), d_gain(columns), d_shift(columns), scratch(2 * columns);
    layer_norm_backward(x.data(), mean.data(), rstd.data(), gain.data(), dy.data(), rows, columns,
                        dx.data(), d_gain.data(), d_shift.data(), scratch.data());
    EXPECT_LT(relative_error([&](const Doubles& v) { return value(v, gain, shift); }, x, dx), 1e-6);
    EXPECT_LT(relative_error([&](const Doubles& v) { return value(x, v, shift); }, gain, d_gain),
              1e-6);
    EXPECT_LT(relative_error([&](const Doubles& v) { return value(x, gain, v); }, shift, d_shift),
              1e-6);
}

TEST(Backward, MeanSquaredError) {
    const Index rows = 5, columns = 3;
    const Doubles outputs = normal_numbers<double>(rows * columns, 2.0, 0);
    const std::vector<float> values = normal_numbers<float>(rows * columns, 1.0, 1);
    const std::vector<float> weights{1.0f, 0.5f, 0.0f, 2.0f, 0.25f};
    const auto sums = [&](Doubles& v, bool gradient) {
        return mean_squared_error(v.data(), values.data(), weights.data(), rows, columns, gradient);
    };
    Doubles gradient = outputs;
    const LossSums with_gradient = sums(gradient, true);
    EXPECT_EQ(with_gradient.correct, 0.0);
    const auto value = [&](Doubles v) { return sums(v, false).loss; };
    EXPECT_EQ(with_gradient.loss, value(outputs));
    EXPECT_LT(relative_error(value, outputs, gradient), 1e-6);
    double expected = 0.0;
    for (std::size_t i = 0; i < outputs.size(); ++i)
        expected += static_cast<double>(weights[i / 3]) / 3.0 *
                    std::pow(outputs[i] - static_cast<double>(values[i]), 2);
    EXPECT_NEAR(with_gradient.loss, expected, 1e-14 * expected);
}

TEST(Backward, CrossEntropy) {
    const Index rows = 6, columns = 9;
    const Doubles logits = normal_numbers<double>(rows * columns, 2.0, 0);
    std::vector<std::int32_t> targets{0, 8, 3, 3, 5, 1};
    targets[1] = static_cast<std::int32_t>(
        std::max_element(logits.begin() + columns, logits.begin() + 2 * columns) - logits.begin() -
        columns);
    const std::vector<float> weights{1.0f, 0.5f, 0.0f, 2.0f, 1.0f, 0.25f};
    const auto value = [&](Doubles v) {
        return cross_entropy(v.data(), targets.data(), weights.data(), rows, columns, false).loss;
    };
    Doubles gradient = logits;
    const LossSums sums =
        cross_entropy(gradient.data(), targets.data(), weights.data(), rows, columns, true);
    EXPECT_EQ(sums.loss, value(logits));
    double correct = 0.0;
    for (std::size_t r = 0; r < rows; ++r) {
        const auto row = logits.begin() + static_cast<Index>(r) * columns;
        if (std::max_element(row, row + columns) == row + targets[r])
            correct += static_cast<double>(weights[r]);
    }
    EXPECT_EQ(sums.correct, correct);
    EXPECT_GT(correct, 0.0);
    EXPECT_LT(relative_error(value, logits, gradient), 1e-6);
    // Logits that exp alone could not bear.
    Doubles large{1000.0, 0.0, -1000.0};
    const std::int32_t target = 1;
    const float one = 1.0f;
    EXPECT_DOUBLE_EQ(cross_entropy(large.data(), &target, &one, 1, 3, true).loss, 1000.0);
    EXPECT_EQ(large, (Doubles{1.0, -1.0, 0.0}));
}

TEST(Backward, ColumnSums) {
    const Index rows = 200, columns = 70;
    const Doubles x = normal_numbers<double>(rows * columns, 1.0, 0);
    Doubles sums(columns);
    column_sums(x.data(), rows, columns, sums.data());
    for (Index j = 0; j < columns; ++j) {
        double expected = 0.0;
        for (Index r = 0; r < rows; ++r) expected += x[static_cast<std::size_t>(r * columns + j)];
        EXPECT_NEAR(sums[static_cast<std::size_t>(j)], expected, 1e-12);
    }
}

struct Attention {
    AttentionShape shape{2, 3};
    std::vector<std::int32_t> lengths, keys;
    DropoutKey dropout{};
    Index tokens = 0;

    Attention(std::vector<std::int32_t> lengths_, double probability)
        : lengths(std::move(lengths_)), dropout{77, probability} {
        for (const std::int32_t length : lengths) {
            keys.push_back(static_cast<std::int32_t>(keys.size()) + 5);
            tokens += length;
        }
    }
    Doubles forward(const Doubles& qkv, Doubles& log_sum) const {
        Doubles out(static_cast<std::size_t>(tokens * shape.channels()));
        log_sum.assign(static_cast<std::size_t>(tokens * shape.heads), 0.0);
        Arena arena(attention_scratch<double>(tokens));
        attention_forward(qkv.data(), lengths, keys, shape, dropout, 2, arena, out.data(),
                          log_sum.data());
        return out;
    }
    Doubles backward(const Doubles& qkv, const Doubles& d_out) const {
        Doubles log_sum, gradient(qkv.size());
        const Doubles out = forward(qkv, log_sum);
        Arena arena(attention_scratch<double>(tokens));
        attention_backward(qkv.data(), out.data(), log_sum.data(), d_out.data(), lengths, keys,
                           shape, dropout, 2, arena, gradient.data());
        return gradient;
    }
};

TEST(Backward, R6_AttentionOfPackedSequences) {
    for (const double probability : {0.0, 0.4})
        for (const auto& lengths :
             {std::vector<std::int32_t>{1}, {2}, {1, 2, 5, 1}, {7, 3}, {66, 2}}) {
            const Attention attention(lengths, probability);
            const Index width = attention.shape.channels();
            const Doubles qkv = normal_numbers<double>(attention.tokens * 3 * width, 1.0, 0);
            const Doubles d_out = normal_numbers<double>(attention.tokens * width, 1.0, 1);
            Doubles log_sum;
            const auto value = [&](const Doubles& v) {
                return dot(attention.forward(v, log_sum), d_out);
            };
            EXPECT_LT(relative_error(value, qkv, attention.backward(qkv, d_out)), 1e-6)
                << attention.tokens << " tokens, dropout " << probability;
        }
}

TEST(Attention, R6_SequencesDoNotSeeEachOtherOrTheFuture) {
    const Attention packed({3, 1, 6}, 0.0);
    const Index width = packed.shape.channels();
    const Doubles qkv = normal_numbers<double>(10 * 3 * width, 1.0, 0);
    Doubles log_sum;
    const Doubles together = packed.forward(qkv, log_sum);
    Index first = 0;
    for (const std::int32_t length : packed.lengths) {
        const Attention alone({length}, 0.0);
        const Doubles part(qkv.begin() + first * 3 * width,
                           qkv.begin() + (first + length) * 3 * width);
        const Doubles out = alone.forward(part, log_sum);
        EXPECT_TRUE(std::equal(out.begin(), out.end(), together.begin() + first * width));
        first += length;
    }
    Doubles changed = qkv;
    for (Index i = 8 * 3 * width; i < 10 * 3 * width; ++i)
        changed[static_cast<std::size_t>(i)] += 1.0;
    const Doubles after = packed.forward(changed, log_sum);
    EXPECT_TRUE(std::equal(together.begin(), together.begin() + 8 * width, after.begin()));
    EXPECT_FALSE(std::equal(together.begin(), together.end(), after.begin()));
}

TEST(Dropout, KeepsTheRightShareAndTheMean) {
    const Index count = 4000;
    double kept = 0.0, sum = 0.0;
    Doubles factors(count), again(count - 1);
    for (std::uint32_t position = 0; position < 25; ++position) {
        dropout_factors({123, 0.3}, 1, 2, position, count, factors.data());
        for (const double factor : factors) {
            kept += factor != 0.0;
            sum += factor;
        }
        dropout_factors({123, 0.3}, 1, 2, position, count - 1, again.data());
        EXPECT_TRUE(std::equal(again.begin(), again.end(), factors.begin()));
    }
    const double n = 25.0 * count, deviation = std::sqrt(0.3 * 0.7 / n);
    EXPECT_NEAR(kept / n, 0.7, 5.0 * deviation);
    EXPECT_NEAR(sum / n, 1.0, 5.0 * deviation / 0.7);
    Doubles other(count);
    dropout_factors({123, 0.3}, 1, 3, 24, count, other.data());
    EXPECT_NE(other, factors);
    EXPECT_NE(dropout_step_key(1, 2), dropout_step_key(1, 3));
    EXPECT_NE(dropout_step_key(1, 2), dropout_step_key(2, 2));
}

}  // namespace
}  // namespace evengrad::test
