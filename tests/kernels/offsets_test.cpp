// Every kernel gives one result wherever its arrays lie, at several sizes with and without tails.
#include "kernels/offsets.hpp"

#include <functional>

#include <gtest/gtest.h>

#include "kernels/activations.hpp"
#include "kernels/attention.hpp"
#include "kernels/exponential.hpp"
#include "kernels/lanes.hpp"
#include "kernels/rows.hpp"
#include "optimizer/optimizer.hpp"

namespace evengrad::test {
namespace {

using Floats = std::vector<float>;

/// `kernel(offset)` returns all that it computed.
void expect_one_result(const char* name, Index size, const std::function<Floats(Index)>& kernel) {
    const Floats expected = kernel(0);
    for (Index offset = 1; offset < offsets; ++offset)
        EXPECT_TRUE(same_bits(kernel(offset), expected))
            << name << " of " << size << " at " << offset;
}

Floats joined(std::initializer_list<Floats> parts) {
    Floats all;
    for (const Floats& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

class KernelOffsets : public testing::TestWithParam<Index> {};

TEST_P(KernelOffsets, ElementwiseAndReductions) {
    const Index n = GetParam();
    const Floats x = normal_numbers<float>(n, 3.0, 0), y = normal_numbers<float>(n, 1.0, 1);
    for (std::size_t k = 0; k < activation_names.size(); ++k)
        expect_one_result(activation_names[k], n, [&](Index offset) {
            const auto kind = static_cast<Activation>(k);
            Shifted<float> in(offset, x), out(offset, n), derivative(offsets - 1 - offset, n);
            activate(kind, 0.1, in.data(), n, out.data());
            const Floats first = out.values();
            activate_with_derivative(kind, 0.1, in.data(), n, out.data(), derivative.data());
            EXPECT_TRUE(same_bits(first, out.values()));
            // One at a time: what the vectorized loop gave.
            for (Index i = 0; i < n; ++i) activate(kind, 0.1, in.data() + i, 1, out.data() + i);
            EXPECT_TRUE(same_bits(first, out.values()));
            return joined({first, derivative.values()});
        });
    expect_one_result("products and sums", n, [&](Index offset) {
        Shifted<float> a(offset, x), b(offsets - 1 - offset, y);
        multiply_into(a.data(), b.data(), n);
        add_into(a.data(), b.data(), n);
        return a.values();
    });
    expect_one_result("lanes", n, [&](Index offset) {
        Shifted<float> a(offset, x);
        const float* p = a.data();
        return Floats{lane_sum<float>(n, [&](Index i) { return p[i] * p[i]; }), lane_max(p, n)};
    });
    for (const OptimizerFacts& facts : optimizers())
        expect_one_result(facts.name, n, [&](Index offset) {
            Shifted<float> g(offset, x), w(offsets - 1 - offset, y), m(offset, n), v(offset, n);
            UpdateRule rule{OptimizerConfig{}, 1e-2, 3};
            rule.config.kind = facts.kind;
            for (int repeat = 0; repeat < 2; ++repeat)
                update_elements(rule, true, n, g.data(), w.data(), m.data(), v.data());
            return joined({w.values(), m.values(), v.values()});
        });
}

TEST_P(KernelOffsets, Rows) {
    const Index columns = GetParam(), rows = 67;
    const Floats x = normal_numbers<float>(rows * columns, 2.0, 2);
    const Floats dy = normal_numbers<float>(rows * columns, 1.0, 3);
    const Floats gain = normal_numbers<float>(columns, 1.0, 4);
    expect_one_result("layer norm", columns, [&](Index offset) {
        const Index other = offsets - 1 - offset;
        Shifted<float> in(offset, x), d_out(other, dy), g(offset, gain), out(other, rows * columns);
        Shifted<float> mean(offset, rows), rstd(other, rows), dx(offset, rows * columns);
        Shifted<float> d_gain(other, columns), d_shift(offset, columns),
            scratch(other, 2 * columns);
        layer_norm_statistics(in.data(), rows, columns, mean.data(), rstd.data());
        layer_norm_apply(in.data(), mean.data(), rstd.data(), g.data(), g.data(), rows, columns,
                         out.data());
        layer_norm_backward(in.data(), mean.data(), rstd.data(), g.data(), d_out.data(), rows,
                            columns, dx.data(), d_gain.data(), d_shift.data(), scratch.data());
        return joined({out.values(), dx.values(), d_gain.values(), d_shift.values()});
    });
    expect_one_result("bias and its gradient", columns, [&](Index offset) {
        Shifted<float> in(offset, x), bias(offsets - 1 - offset, gain), sums(offset, columns);
        add_bias(in.data(), bias.data(), rows, columns);
        column_sums(in.data(), rows, columns, sums.data());
        return joined({in.values(), sums.values()});
    });
    expect_one_result("cross-entropy", columns, [&](Index offset) {
        Shifted<float> logits(offset, x);
        std::vector<std::int32_t> targets;
        std::vector<float> weights;
        for (Index r = 0; r < rows; ++r) {
            targets.push_back(static_cast<std::int32_t>(r % columns));
            weights.push_back(static_cast<float>(r % 3) * 0.5f);
        }
        const LossSums sums =
            cross_entropy(logits.data(), targets.data(), weights.data(), rows, columns, true);
        return joined({logits.values(), {static_cast<float>(sums.loss)}});
    });
    expect_one_result("mean squared error", columns, [&](Index offset) {
        Shifted<float> outputs(offset, x), values(offsets - 1 - offset, dy);
        const std::vector<float> weights(static_cast<std::size_t>(rows), 0.7f);
        const LossSums sums =
            mean_squared_error(outputs.data(), values.data(), weights.data(), rows, columns, true);
        return joined({outputs.values(), {static_cast<float>(sums.loss)}});
    });
    expect_one_result("dropout", columns, [&](Index offset) {
        Shifted<float> factors(offset, columns);
        dropout_factors({5, 0.4}, 1, 2, 3, columns, factors.data());
        return factors.values();
    });
    expect_one_result("matrix product", columns, [&](Index offset) {
        Shifted<float> a(offset, x), b(offsets - 1 - offset, dy), c(offset, rows * rows);
        multiply<float>(matrix(a.data(), rows, columns), Transpose::no,
                        matrix(b.data(), rows, columns), Transpose::yes,
                        matrix(c.data(), rows, rows));
        return c.values();
    });
    expect_one_result("product of one row", columns, [&](Index offset) {
        const Index other = offsets - 1 - offset;
        Shifted<float> a(offset, {dy.begin(), dy.begin() + columns}), b(other, x);
        Shifted<float> c(offset, rows), d(other, columns);
        multiply<float>(matrix(a.data(), 1, columns), Transpose::no,
                        matrix(b.data(), rows, columns), Transpose::yes, matrix(c.data(), 1, rows));
        multiply<float>(matrix(c.data(), 1, rows), Transpose::no, matrix(b.data(), rows, columns),
                        Transpose::no, matrix(d.data(), 1, columns));
        return joined({c.values(), d.values()});
    });
}

INSTANTIATE_TEST_SUITE_P(Sizes, KernelOffsets, testing::Values(1, 7, 16, 33, 64, 100, 257));

TEST(KernelOffsets, Attention) {
    const AttentionShape shape{3, 5};
    const std::vector<std::int32_t> lengths{1, 70, 2, 9}, keys{4, 3, 2, 1};
    const Index n = 82, c = shape.channels();
    const Floats qkv = normal_numbers<float>(n * 3 * c, 1.0, 5);
    const Floats dy = normal_numbers<float>(n * c, 1.0, 6);
    expect_one_result("attention", n, [&](Index offset) {
        const Index other = offsets - 1 - offset;
        Shifted<float> in(offset, qkv), d_out(other, dy), out(other, n * c);
        Shifted<float> log_sum(offset, n * shape.heads), d_in(other, n * 3 * c);
        Arena arena(attention_scratch<float>(70));
        const DropoutKey dropout{9, 0.2};
        attention_forward(in.data(), lengths, keys, shape, dropout, 1, arena, out.data(),
                          log_sum.data());
        attention_backward(in.data(), out.data(), log_sum.data(), d_out.data(), lengths, keys,
                           shape, dropout, 1, arena, d_in.data());
        return joined({out.values(), log_sum.values(), d_in.values()});
    });
}

TEST(Exponential, IsWithinTwoUnitsInTheLastPlace) {
    double worst = 0.0;
    Floats arguments, results;
    for (float x = -87.0f; x < 88.0f; x += 0.000731f) arguments.push_back(x);
    results.resize(arguments.size());
    for (std::size_t i = 0; i < arguments.size(); ++i) results[i] = exponential(arguments[i]);
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const double exact = std::exp(static_cast<double>(arguments[i]));
        const auto rounded = static_cast<float>(exact);
        const double ulp =
            static_cast<double>(std::nextafter(rounded, INFINITY)) - static_cast<double>(rounded);
        worst = std::max(worst, std::abs(static_cast<double>(results[i]) - exact) / ulp);
        const double less = std::expm1(static_cast<double>(arguments[i]));
        EXPECT_NEAR(exponentials(arguments[i]).minus_one, less, 2.0 * 0x1p-23 * std::abs(less));
        // One at a time, behind the optimizer's back: what the vectorized loop gave.
        volatile float one = arguments[i];
        EXPECT_EQ(exponential(one), results[i]);
    }
    EXPECT_LT(worst, 2.0);
    EXPECT_EQ(exponential(0.0f), 1.0f);
    EXPECT_TRUE(std::isnan(exponential(std::numeric_limits<float>::quiet_NaN())));
    EXPECT_LT(exponential(-INFINITY), 1e-37f);
    EXPECT_GT(exponential(INFINITY), 1e38f);
}

}  // namespace
}  // namespace evengrad::test
