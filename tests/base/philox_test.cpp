// Random numbers: the published vectors, independence of streams, moments.
#include "base/philox.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <set>

#include <gtest/gtest.h>

namespace evengrad::test {
namespace {

using Words = std::array<std::uint32_t, 4>;

// Random123's known answers for philox4x32-10 (kat_vectors). The key's top byte is the purpose, so
// each vector's key fixes both seed and purpose.
TEST(Philox, KnownAnswers) {
    const Philox zero(0, RandomPurpose(0));
    EXPECT_EQ(zero(0, 0, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    const Philox ones(0x00ffffffffffffff, RandomPurpose(0xff));
    EXPECT_EQ(ones(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff),
              (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    // Key words a4093822 299f31d0: the second one's top byte is 0x29.
    const Philox pi(0x009f31d0a4093822, RandomPurpose(0x29));
    EXPECT_EQ(pi(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344),
              (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, SeedsPurposesAndCountersDiffer) {
    std::set<Words> seen;
    std::size_t drawn = 0;
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32,
                                     std::uint64_t{1} << 48, seed_limit - 1})
        for (const auto purpose :
             {RandomPurpose::initialization, RandomPurpose::shuffle, RandomPurpose::dropout,
              RandomPurpose::sampling, RandomPurpose::test}) {
            const Philox philox(seed, purpose);
            for (const Words& counter : {Words{0, 0, 0, 0}, Words{1, 0, 0, 0}, Words{0, 1, 0, 0},
                                         Words{0, 0, 1, 0}, Words{0, 0, 0, 1}}) {
                seen.insert(philox(counter[0], counter[1], counter[2], counter[3]));
                ++drawn;
            }
        }
    EXPECT_EQ(seen.size(), drawn);
    EXPECT_EQ(Philox(9, RandomPurpose::test)(3), Philox(9, RandomPurpose::test)(3));
}

TEST(Philox, UniformStaysInsideTheOpenInterval) {
    EXPECT_EQ(uniform_open(0), 0x1p-33);
    EXPECT_EQ(uniform_open(0xffffffff), 1.0 - 0x1p-33);
    EXPECT_EQ(uniform_open(0x80000000), 0.5 + 0x1p-33);
    for (const std::uint32_t word : {0u, 0xffffffffu})
        for (const double value : normal_pair(word, word)) EXPECT_TRUE(std::isfinite(value));
}

TEST(Philox, NormalPairsHaveTheMomentsOfTheNormalDistribution) {
    const Philox philox(1, RandomPurpose::test);
    constexpr int pairs = 200000;
    std::array<double, 4> moments{};
    double product = 0.0, third_tail = 0.0;
    for (std::uint32_t i = 0; i < pairs; ++i) {
        const Words words = philox(i);
        const auto [a, b] = normal_pair(words[0], words[1]);
        for (const double x : {a, b}) {
            double power = 1.0;
            for (double& moment : moments) moment += power *= x;
            if (std::abs(x) > 3.0) third_tail += 1.0;
        }
        product += a * b;
    }
    const double n = 2.0 * pairs;
    // Five standard errors each: 1, sqrt 2, sqrt 15, sqrt 96 over sqrt n.
    EXPECT_NEAR(moments[0] / n, 0.0, 5.0 / std::sqrt(n));
    EXPECT_NEAR(moments[1] / n, 1.0, 5.0 * std::sqrt(2.0 / n));
    EXPECT_NEAR(moments[2] / n, 0.0, 5.0 * std::sqrt(15.0 / n));
    EXPECT_NEAR(moments[3] / n, 3.0, 5.0 * std::sqrt(96.0 / n));
    EXPECT_NEAR(product / pairs, 0.0, 5.0 / std::sqrt(double{pairs}));
    EXPECT_NEAR(third_tail / n, 0.0026998, 5.0 * std::sqrt(0.0027 / n));
}

}  // namespace
}  // namespace evengrad::test
