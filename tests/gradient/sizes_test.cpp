// Every length of a piece, from none over each remainder of the vector loop to a whole block.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "base/philox.hpp"
#include "gradient/sums.hpp"

namespace evengrad::test {
namespace {

constexpr Index guard = 8;

void expect_plain_result(Index size, int exponent, Index first) {
    const Philox philox(11, RandomPurpose::test);
    std::vector<float> values;
    for (Index i = 0; i < size; ++i) {
        const auto words = philox(static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(size));
        // Multiples of half a quantum, so that ties are common, up to 2^24 halves of either sign.
        const auto halves = static_cast<std::int32_t>(words[0]) >> words[1] % 24 >> 7;
        values.push_back(std::ldexp(static_cast<float>(halves), exponent - 1));
    }
    std::vector<std::uint64_t> sums(static_cast<std::size_t>(size + guard), 9);
    const PieceFacts facts =
        add_rounded(values.data(), size, std::ldexp(1.0, -exponent), first, sums.data());
    std::uint64_t checksum = 0;
    float largest = 0.0f;
    double squared = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double value = static_cast<double>(values[i]);
        const auto addend =
            static_cast<std::uint64_t>(std::int64_t{std::llrint(std::ldexp(value, -exponent))});
        ASSERT_EQ(sums[i], 9 + addend) << "element " << i << " of " << size;
        checksum += addend * (2 * (static_cast<std::uint64_t>(first) + i) + 1);
        largest = std::max(largest, std::abs(values[i]));
        squared += value * value;
    }
    for (Index i = 0; i < guard; ++i)
        ASSERT_EQ(sums[static_cast<std::size_t>(size + i)], 9u) << "behind a piece of " << size;
    EXPECT_EQ(facts.checksum, checksum) << size;
    EXPECT_EQ(facts.largest, std::bit_cast<std::uint32_t>(largest)) << size;
    EXPECT_NEAR(facts.squared, squared, 1e-12 * squared) << size;
    // What the sums began with has its own checksum; linear, so it adds.
    std::uint64_t before = 0;
    for (Index i = 0; i < size; ++i) before += 9 * checksum_weight(first + i);
    EXPECT_EQ(examine(sums.data(), size, first).checksum, before + checksum) << size;
}

TEST(AddRounded, IsPlainRoundingForEverySmallSize) {
    for (Index size = 0; size <= 40; ++size)
        for (const int exponent : {-60, -3, 0, 5}) expect_plain_result(size, exponent, 1000);
}

TEST(AddRounded, IsPlainRoundingForAWholeBlockAndItsNeighbors) {
    for (const Index size : {65535, 65536, 65537}) expect_plain_result(size, -40, 65536);
}

// As many addends as may be, each as large as it may be: the sum keeps its sign and value.
TEST(AddRounded, TheLargestSumHasRoom) {
    const std::vector<float> values = {0x1p50f, -0x1p50f};
    std::vector<std::uint64_t> sums(2);
    for (int addend = 0; addend < 4096; ++addend)
        add_rounded(values.data(), 2, 1.0, 0, sums.data());
    EXPECT_EQ(static_cast<std::int64_t>(sums[0]), std::int64_t{1} << 62);
    EXPECT_EQ(static_cast<std::int64_t>(sums[1]), -(std::int64_t{1} << 62));
    EXPECT_EQ(sum_to_double(sums[1]), -0x1p62);
}

}  // namespace
}  // namespace evengrad::test
