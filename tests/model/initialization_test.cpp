// Initial weights against theory: moments, distributions, bounds, orthogonality; and that they are
// functions of seed and element.
#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "base/digest.hpp"
#include <evengrad/error.hpp>
#include <evengrad/initialization.hpp>
#include <evengrad/model.hpp>

namespace evengrad {
namespace {

GptConfig gpt(InitScheme scheme) {
    GptConfig c;
    c.num_layers = 3;
    c.hidden_size = 100;
    c.num_attention_heads = 4;
    c.vocab_size = 1500;
    c.seq_length = 33;
    c.init.scheme = scheme;
    return c;
}

std::vector<float> values_of(const Tensor& tensor, std::uint64_t seed) {
    std::vector<float> values(static_cast<std::size_t>(tensor.count));
    initialize(tensor, seed, tensor.offset, values.data(), tensor.count);
    return values;
}

std::vector<float> weights_of(const ParameterTable& table, std::uint64_t seed, Index part = 0,
                              Index parts = 1) {
    std::vector<float> weights(static_cast<std::size_t>(table.flat_size()), std::nanf(""));
    initialize(table, seed, part, parts, weights.data());
    return weights;
}

/// A matrix by itself, as a model to come may have it.
Tensor matrix(const InitConfig& config, Index rows, Index columns,
              Activation activation = Activation::identity) {
    Tensor tensor;
    tensor.shape = {rows, columns};
    tensor.offset = 1600;
    tensor.count = rows * columns;
    tensor.initializer = initializer_of(config, rows, columns, gain_of(config, activation, 0.01));
    return tensor;
}

const std::vector<InitScheme>& schemes() {
    static const std::vector<InitScheme> all = [] {
        std::vector<InitScheme> list;
        for (std::size_t i = 0; i < init_scheme_names.size(); ++i)
            list.push_back(static_cast<InitScheme>(i));
        return list;
    }();
    return all;
}

std::string name(InitScheme scheme) {
    return init_scheme_names[static_cast<std::size_t>(scheme)];
}

// ---------------------------------------------------------------------------------- distribution

double normal_cdf(double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0));
}

/// Checks mean, variance and distribution of values that should be scale * X, for the given
/// variance and distribution of X, to five times their sampling error.
void expect_distribution(std::vector<float> values, double scale, double variance,
                         double (*cdf)(double), const std::string& what) {
    const auto n = static_cast<double>(values.size());
    double sum = 0.0, squares = 0.0, fourth = 0.0;
    for (const float v : values) {
        const double x = static_cast<double>(v) / scale;
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    EXPECT_NEAR(sum / n, 0.0, 5.0 * std::sqrt(variance / n)) << what;
    const double spread = std::sqrt((fourth / n - squares / n * squares / n) / n);
    EXPECT_NEAR(squares / n, variance, 5.0 * spread) << what;
    EXPECT_LT(spread, 0.02 * variance) << what << ": too few values to show anything";
    // Kolmogorov and Smirnov: larger by chance in one case of 10^4.
    std::sort(values.begin(), values.end());
    double largest = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double expected = cdf(static_cast<double>(values[i]) / scale);
        largest = std::max({largest, std::abs(expected - static_cast<double>(i) / n),
                            std::abs(expected - static_cast<double>(i + 1) / n)});
    }
    EXPECT_LT(largest, 2.23 / std::sqrt(n)) << what;
}

double uniform_cdf(double x) {
    return std::clamp((x + 1.0) / 2.0, 0.0, 1.0);
}

double truncated_cdf(double x) {
    const double below = normal_cdf(-2.0), inside = 1.0 - 2.0 * below;
    return std::clamp((normal_cdf(x) - below) / inside, 0.0, 1.0);
}

TEST(Distribution, OfEachRandomSchemeIsThatOfItsPaper) {
    // [out, in]: not square, so that no fan passes for another.
    constexpr Index rows = 300, columns = 200;
    const auto uniform_and_normal = [&](InitConfig config, double deviation) {
        const std::string what = describe(config);
        config.distribution = InitDistribution::normal;
        expect_distribution(values_of(matrix(config, rows, columns), 1), deviation, 1.0, normal_cdf,
                            what);
        config.distribution = InitDistribution::uniform;
        const double bound = std::sqrt(3.0) * deviation;
        const std::vector<float> values = values_of(matrix(config, rows, columns), 1);
        expect_distribution(values, bound, 1.0 / 3.0, uniform_cdf, what);
        for (const float v : values) ASSERT_LE(std::abs(v), static_cast<float>(bound)) << what;
    };
    uniform_and_normal({.scheme = InitScheme::xavier}, std::sqrt(2.0 / 500.0));
    for (const auto& [fan, size] :
         {std::pair{InitFan::in, 200.0}, {InitFan::out, 300.0}, {InitFan::average, 250.0}}) {
        uniform_and_normal({.scheme = InitScheme::lecun, .fan = fan}, std::sqrt(1.0 / size));
        uniform_and_normal({.scheme = InitScheme::he, .fan = fan}, std::sqrt(2.0 / size));
        uniform_and_normal({.scheme = InitScheme::he, .fan = fan, .gain = "0.5"},
                           0.5 / std::sqrt(size));
    }
    for (const double bound : {0.0, 0.25}) {
        const InitConfig config{.scheme = InitScheme::uniform, .bound = bound};
        const double width = bound > 0.0 ? bound : 1.0 / std::sqrt(200.0);
        const std::vector<float> values = values_of(matrix(config, rows, columns), 2);
        expect_distribution(values, width, 1.0 / 3.0, uniform_cdf, describe(config));
        for (const float v : values) ASSERT_LE(std::abs(v), static_cast<float>(width));
    }
    for (const InitScheme scheme : {InitScheme::normal, InitScheme::gpt2})
        expect_distribution(values_of(matrix({.scheme = scheme, .std = 0.3}, rows, columns), 3),
                            0.3, 1.0, normal_cdf, name(scheme));
}

TEST(Distribution, TruncatedNormalEndsAtTwoStandardDeviations) {
    const InitConfig config{.scheme = InitScheme::truncated_normal, .std = 0.05};
    const std::vector<float> values = values_of(matrix(config, 300, 200), 4);
    // 1 - 2 * 2 phi(2) / (Phi(2) - Phi(-2))
    expect_distribution(values, 0.05, 0.7737413, truncated_cdf, "truncated-normal");
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    EXPECT_GE(*least, -0.1f);
    EXPECT_LE(*most, 0.1f);
    EXPECT_LT(*least, -0.0995f) << "cut off before";
    EXPECT_GT(*most, 0.0995f) << "cut off before";
    // What was inside already is what it is without truncation.
    const std::vector<float> whole =
        values_of(matrix({.scheme = InitScheme::normal, .std = 0.05}, 300, 200), 4);
    std::size_t changed = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
        if (std::abs(whole[i]) > 0.1f)
            ++changed;
        else
            ASSERT_EQ(values[i], whole[i]) << i;
    EXPECT_NEAR(static_cast<double>(changed), 60000.0 * 0.0455, 5.0 * std::sqrt(60000.0 * 0.0455));
}

TEST(Distribution, ConstantsAreConstant) {
    const Tensor zeros = matrix({.scheme = InitScheme::zeros, .constant = 3.0}, 5, 7);
    const Tensor constant = matrix({.scheme = InitScheme::constant, .constant = -0.125}, 5, 7);
    EXPECT_EQ(values_of(zeros, 1), std::vector<float>(35, 0.0f));
    EXPECT_EQ(values_of(constant, 1), std::vector<float>(35, -0.125f));
}

// ------------------------------------------------------------------------------------ orthogonal

TEST(Orthogonal, RowsOrColumnsAreOrthonormalTimesTheGain) {
    for (const auto& [rows, columns] : {std::pair<Index, Index>{130, 130},
                                        {40, 130},
                                        {130, 40},
                                        {1, 7},
                                        {7, 1},
                                        {1, 1},
                                        {16, 16},
                                        {17, 33},
                                        {300, 33}}) {
        const Tensor tensor =
            matrix({.scheme = InitScheme::orthogonal, .gain = "1.5"}, rows, columns);
        const std::vector<float> w = values_of(tensor, 9);
        const auto at = [&, columns = columns](Index i, Index j) {
            return static_cast<double>(w[static_cast<std::size_t>(i * columns + j)]) / 1.5;
        };
        const bool wide = rows <= columns;
        const Index count = std::min(rows, columns), length = std::max(rows, columns);
        double worst = 0.0;
        for (Index a = 0; a < count; ++a)
            for (Index b = 0; b <= a; ++b) {
                double product = 0.0;
                for (Index j = 0; j < length; ++j)
                    product += wide ? at(a, j) * at(b, j) : at(j, a) * at(j, b);
                worst = std::max(worst, std::abs(product - (a == b ? 1.0 : 0.0)));
            }
        EXPECT_LT(worst, 1e-6) << rows << " x " << columns;
    }
}

TEST(Orthogonal, IsUniformlyDistributed) {
    // Of all orthogonal 2 x 2 matrices: no element has a preferred sign, half are reflections, and
    // elements are sines of uniform angles.
    constexpr int draws = 20000;
    std::vector<float> elements;
    int rotations = 0;
    for (int seed = 0; seed < draws; ++seed) {
        const std::vector<float> w = values_of(matrix({.scheme = InitScheme::orthogonal}, 2, 2),
                                               static_cast<std::uint64_t>(seed));
        elements.push_back(w[0]);
        rotations += w[0] * w[3] > w[1] * w[2];
    }
    EXPECT_NEAR(rotations, draws / 2, 5.0 * std::sqrt(draws) / 2.0);
    expect_distribution(
        elements, 1.0, 0.5, [](double x) { return 0.5 + std::asin(x) / std::acos(-1.0); },
        "orthogonal");
}

// -------------------------------------------------------------------------------------- the model

TEST(Initialize, EmbeddingsNormsAndBiasesBeginTheSameUnderEachScheme) {
    const ParameterTable gpt2(gpt(InitScheme::gpt2));
    for (const InitScheme scheme : schemes()) {
        const ParameterTable table(gpt(scheme));
        for (Index t = 0; t < table.size(); ++t) {
            const bool linear =
                table[t].shape.size() == 2 && table[t].name.find("blocks.") != std::string::npos;
            const bool same = values_of(table[t], 5) == values_of(gpt2[t], 5);
            EXPECT_EQ(same, !linear || scheme == InitScheme::gpt2 ||
                                (scheme == InitScheme::normal &&
                                 table[t].name.find(".proj.") == std::string::npos))
                << name(scheme) << ", " << table[t].name;
        }
    }
    EXPECT_EQ(values_of(gpt2[gpt2.find("ln_f.weight")], 1), std::vector<float>(100, 1.0f));
    EXPECT_EQ(values_of(gpt2[gpt2.find("ln_f.bias")], 1), std::vector<float>(100, 0.0f));
}

TEST(Initialize, IsAFunctionOfTheElement) {
    for (const InitScheme scheme : schemes()) {
        const ParameterTable table(gpt(scheme));
        for (const char* which : {"wte.weight", "blocks.1.attn.proj.weight"}) {
            const Tensor& tensor = table[table.find(which)];
            const std::vector<float> whole = values_of(tensor, 42);
            std::vector<float> pieces(whole.size());
            Index begin = 0;
            for (Index size = 1; begin < tensor.count; size = size * 3 + 1) {
                const Index count = std::min(size, tensor.count - begin);
                initialize(tensor, 42, tensor.offset + begin, pieces.data() + begin, count);
                begin += count;
            }
            EXPECT_EQ(whole, pieces) << name(scheme) << ", " << which;
            const bool random = tensor.initializer.kind != Initializer::Kind::constant;
            EXPECT_EQ(whole != values_of(tensor, 43), random) << name(scheme) << ", " << which;
        }
    }
}

TEST(Initialize, PartsOfAllRanksAreTheWholeAndEachElementIsMadeOnce) {
    for (const InitScheme scheme : {InitScheme::orthogonal, InitScheme::gpt2}) {
        const ParameterTable table(gpt(scheme));
        const std::vector<float> whole = weights_of(table, 7);
        for (const Index parts : {2, 3, 5, 17}) {
            std::vector<float> together(whole.size(), std::nanf(""));
            std::vector<int> times(whole.size(), 0);
            std::size_t most = 0;
            for (Index part = 0; part < parts; ++part) {
                const std::vector<float> own = weights_of(table, 7, part, parts);
                std::size_t made = 0;
                for (std::size_t i = 0; i < own.size(); ++i) {
                    if (std::isnan(own[i])) continue;
                    together[i] = own[i];
                    ++times[i];
                    ++made;
                }
                most = std::max(most, made);
            }
            for (const Tensor& tensor : table.tensors())
                for (Index i = tensor.offset; i < tensor.offset + tensor.count; ++i) {
                    const auto at = static_cast<std::size_t>(i);
                    ASSERT_EQ(times[at], 1) << tensor.name;
                    ASSERT_EQ(together[at], whole[at]) << tensor.name;
                }
            if (parts == 2) {
                EXPECT_LT(most, whole.size() * 3 / 4) << "one part does nearly all";
            }
        }
    }
}

TEST(Initialize, NoTwoTensorsShareRandomNumbers) {
    for (const InitScheme scheme : {InitScheme::normal, InitScheme::uniform,
                                    InitScheme::truncated_normal, InitScheme::orthogonal}) {
        GptConfig config = gpt(scheme);
        config.init.bound = 0.1;  // one scale for all, so that equal numbers are equal weights
        const ParameterTable table(config);
        const std::vector<float> weights = weights_of(table, 3);
        std::set<std::array<std::uint32_t, 4>> seen;
        for (const Tensor& tensor : table.tensors()) {
            if (tensor.initializer.kind == Initializer::Kind::constant) continue;
            for (Index i = tensor.offset; i + 4 <= tensor.offset + tensor.count; i += 4) {
                std::array<std::uint32_t, 4> four;
                for (std::size_t k = 0; k < 4; ++k)
                    four[k] =
                        std::bit_cast<std::uint32_t>(weights[static_cast<std::size_t>(i) + k]);
                ASSERT_TRUE(seen.insert(four).second) << name(scheme) << ", " << tensor.name;
            }
        }
    }
}

// Weights are a function of configuration and seed for good: a change here changes every run.
TEST(Initialize, GivesTheBitsItAlwaysGave) {
    const std::vector<std::pair<InitScheme, const char*>> recorded = {
        {InitScheme::gpt2, "f3ce9693683190260f3ca1bff02cfed2"},
        {InitScheme::uniform, "9ef0fb91bbe348430830d91265b6e795"},
        {InitScheme::truncated_normal, "1441cc548598c05dbbfc47fb582f53fa"},
        {InitScheme::xavier, "b9700a4a3a14b7fb747a089ffaaa2fe8"},
        {InitScheme::orthogonal, "e1f9dbd720d78bc42cbf28b937d6e4b5"}};
    for (const auto& [scheme, digest] : recorded) {
        const ParameterTable table(gpt(scheme));
        std::vector<float> weights(static_cast<std::size_t>(table.flat_size()), 0.0f);
        initialize(table, 42, 0, 1, weights.data());
        Digest found;
        found.add(std::span<const float>(weights));
        EXPECT_EQ(found.hex(), digest) << name(scheme);
    }
}

TEST(Initialize, HasTheStandardDeviationsOfGpt2) {
    const ParameterTable table(gpt(InitScheme::gpt2));
    const auto deviation = [&](const char* name) {
        const Tensor& tensor = table[table.find(name)];
        std::vector<float> values(static_cast<std::size_t>(tensor.count));
        initialize(tensor, 1, tensor.offset, values.data(), tensor.count);
        double sum = 0.0, squares = 0.0;
        for (const float v : values) {
            sum += static_cast<double>(v);
            squares += static_cast<double>(v) * static_cast<double>(v);
        }
        const auto n = static_cast<double>(values.size());
        EXPECT_NEAR(sum / n, 0.0, 4.0 * 0.02 / std::sqrt(n)) << name;
        return std::sqrt(squares / n);
    };
    EXPECT_NEAR(deviation("blocks.1.attn.qkv.weight"), 0.02, 4e-4);
    EXPECT_NEAR(deviation("blocks.1.mlp.proj.weight"), 0.02 / std::sqrt(6.0), 2e-4);
    EXPECT_NEAR(deviation("blocks.1.attn.proj.weight"), 0.02 / std::sqrt(6.0), 3e-4);
    const Tensor& gain = table[table.find("ln_f.weight")];
    float value = 0.0f;
    initialize(gain, 1, gain.offset, &value, 1);
    EXPECT_EQ(value, 1.0f);
}

}  // namespace
}  // namespace evengrad
