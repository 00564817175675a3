// The matrix product's wrapper, and how kernels treat numbers that aren't ordinary.
#include "kernels/matrix.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/activations.hpp"
#include "kernels/attention.hpp"
#include "kernels/lanes.hpp"
#include "kernels/offsets.hpp"
#include "kernels/rows.hpp"

namespace evengrad::test {
namespace {

/// A matrix of random numbers whose rows are `stride` apart; what lies between them is 1000.
template <class T>
struct Strided {
    std::vector<T> values;
    Index rows, columns, stride;

    Strided(Index rows_, Index columns_, Index gap, std::uint32_t stream)
        : values(static_cast<std::size_t>(rows_ * (columns_ + gap)), T(1000)),
          rows(rows_),
          columns(columns_),
          stride(columns_ + gap) {
        const auto numbers = normal_numbers<T>(rows * columns, 1.0, stream);
        for (Index r = 0; r < rows; ++r)
            for (Index c = 0; c < columns; ++c)
                at(r, c) = numbers[static_cast<std::size_t>(r * columns + c)];
    }
    T& at(Index r, Index c) { return values[static_cast<std::size_t>(r * stride + c)]; }
    T at(Index r, Index c) const { return values[static_cast<std::size_t>(r * stride + c)]; }
    MatrixView<T> view() { return matrix(values.data(), rows, columns, stride); }
};

template <class T>
void compare_with_loops(double tolerance) {
    for (const auto& [m, n, k] :
         {std::array<Index, 3>{1, 1, 1}, {5, 3, 7}, {1, 33, 17}, {64, 2, 9}})
        for (const Transpose ta : {Transpose::no, Transpose::yes})
            for (const Transpose tb : {Transpose::no, Transpose::yes})
                for (const T beta : {T(0), T(1), T(-0.5)}) {
                    const bool a_turned = ta == Transpose::yes, b_turned = tb == Transpose::yes;
                    Strided<T> a(a_turned ? k : m, a_turned ? m : k, 3, 0);
                    Strided<T> b(b_turned ? n : k, b_turned ? k : n, 5, 1);
                    Strided<T> c(m, n, 2, 2);
                    // With beta 0 what was there must not count, not even a NaN.
                    if (beta == T(0)) c.view().setConstant(std::numeric_limits<T>::quiet_NaN());
                    const Strided<T> before = c;
                    multiply<T>(a.view(), ta, b.view(), tb, c.view(), beta, T(2));
                    for (Index i = 0; i < m; ++i)
                        for (Index j = 0; j < n; ++j) {
                            double expected = 0.0;
                            for (Index l = 0; l < k; ++l)
                                expected +=
                                    static_cast<double>(a_turned ? a.at(l, i) : a.at(i, l)) *
                                    static_cast<double>(b_turned ? b.at(j, l) : b.at(l, j));
                            expected *= 2.0;
                            if (beta != T(0))
                                expected += static_cast<double>(beta) *
                                            static_cast<double>(before.at(i, j));
                            ASSERT_NEAR(static_cast<double>(c.at(i, j)), expected, tolerance);
                        }
                    for (Index i = 0; i < m; ++i)
                        for (Index gap = n; gap < c.stride; ++gap) ASSERT_EQ(c.at(i, gap), T(1000));
                }
}

TEST(Multiply, EqualsLoopsForAllTransposesAndStrides) {
    compare_with_loops<double>(1e-13);
    compare_with_loops<float>(5e-5);
}

TEST(Multiply, IsTheSameAtSixteenOffsetsForAllTransposes) {
    const Index m = 37, n = 29, k = 53;
    const auto a = normal_numbers<float>(m * k, 1.0, 0), b = normal_numbers<float>(k * n, 1.0, 1);
    for (const Transpose ta : {Transpose::no, Transpose::yes})
        for (const Transpose tb : {Transpose::no, Transpose::yes}) {
            std::vector<float> expected;
            for (Index offset = 0; offset < offsets; ++offset) {
                Shifted<float> x(offset, a), y(offset * 7 % offsets, b),
                    z(offset * 5 % offsets, m * n);
                multiply<float>(
                    ta == Transpose::no ? matrix(x.data(), m, k) : matrix(x.data(), k, m), ta,
                    tb == Transpose::no ? matrix(y.data(), k, n) : matrix(y.data(), n, k), tb,
                    matrix(z.data(), m, n));
                if (expected.empty()) expected = z.values();
                EXPECT_TRUE(same_bits(z.values(), expected)) << offset;
            }
        }
}

TEST(Multiply, RefusesShapesThatDoNotMatch) {
    Strided<double> a(2, 3, 0, 0), b(4, 5, 0, 1), c(2, 5, 0, 2);
    EXPECT_THROW(multiply<double>(a.view(), Transpose::no, b.view(), Transpose::no, c.view()),
                 std::logic_error);
    EXPECT_THROW(multiply<double>(a.view(), Transpose::yes, a.view(), Transpose::no, c.view()),
                 std::logic_error);
}

TEST(Lanes, SumAndMaximumAgreeWithPlainLoops) {
    for (Index n = 1; n <= 200; ++n) {
        const auto x = normal_numbers<double>(n, 1.0, 3);
        double sum = 0.0, largest = -1e300;
        for (const double value : x) {
            sum += value;
            largest = std::max(largest, value);
        }
        const double* p = x.data();
        ASSERT_NEAR(lane_sum<double>(n, [&](Index i) { return p[i]; }), sum, 1e-12) << n;
        ASSERT_EQ(lane_max(p, n), largest) << n;
        // Every element counts, once.
        for (Index place = 0; place < n; ++place) {
            std::vector<float> y(static_cast<std::size_t>(n), -8.0f);
            y[static_cast<std::size_t>(place)] = -7.0f;
            ASSERT_EQ(lane_max(y.data(), n), -7.0f) << n << " " << place;
            ASSERT_EQ(lane_sum<float>(n, [&](Index i) { return i == place ? 1.0f : 0.0f; }), 1.0f);
        }
    }
    EXPECT_EQ(lane_sum<float>(0, [](Index) { return 1.0f; }), 0.0f);
}

// R7: a NaN may stop a run; it must never be lost on the way.
TEST(NotANumber, ReachesTheResult) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const Index columns : {1, 5, 16, 33, 257})
        for (Index place = 0; place < columns; place += 1 + columns / 7) {
            auto logits = normal_numbers<float>(columns, 1.0, 4);
            logits[static_cast<std::size_t>(place)] = nan;
            const std::int32_t target = 0;
            const float one = 1.0f;
            EXPECT_TRUE(
                std::isnan(cross_entropy(logits.data(), &target, &one, 1, columns, true).loss));
            for (const float value : logits) EXPECT_TRUE(std::isnan(value)) << columns;
            auto row = normal_numbers<float>(columns, 1.0, 5);
            row[static_cast<std::size_t>(place)] = nan;
            float mean = 0.0f, rstd = 0.0f;
            layer_norm_statistics(row.data(), 1, columns, &mean, &rstd);
            EXPECT_TRUE(std::isnan(mean) && std::isnan(rstd));
            std::vector<float> y(row.size()), dy(row.size());
            activate_with_derivative(Activation::gelu_tanh, 0.0, row.data(), columns, y.data(),
                                     dy.data());
            EXPECT_TRUE(std::isnan(y[static_cast<std::size_t>(place)]));
            EXPECT_TRUE(std::isnan(dy[static_cast<std::size_t>(place)]));
        }
    // Attention: a key that is NaN reaches its own row and all later ones, none before.
    const AttentionShape shape{1, 4};
    const std::vector<std::int32_t> lengths{9}, keys{0};
    auto qkv = normal_numbers<float>(9 * 12, 1.0, 6);
    qkv[4 * 12 + 4] = nan;
    std::vector<float> out(9 * 4), log_sum(9);
    Arena arena(attention_scratch<float>(9));
    attention_forward(qkv.data(), lengths, keys, shape, {}, 0, arena, out.data(), log_sum.data());
    for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(std::isnan(out[i * 4]), i >= 4) << i;
}

TEST(CrossEntropy, BearsLargeLogitsInFloat) {
    std::vector<float> logits{3e38f, 0.0f, -3e38f, 1e4f, 1e4f, 0.0f};
    const std::vector<std::int32_t> targets{0, 0};
    const std::vector<float> weights{1.0f, 0.5f};
    const LossSums sums = cross_entropy(logits.data(), targets.data(), weights.data(), 2, 3, true);
    EXPECT_NEAR(sums.loss, 0.5 * std::log(2.0), 1e-7);
    EXPECT_EQ(sums.correct, 1.5);
    const std::vector<float> expected{0.0f, 0.0f, 0.0f, -0.25f, 0.25f, 0.0f};
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 1e-7);
}

}  // namespace
}  // namespace evengrad::test
