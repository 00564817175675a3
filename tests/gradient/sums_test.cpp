// Integer sums: rounding, independence of order and address, checksums, what the facts tell.
#include "gradient/sums.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "base/philox.hpp"

namespace evengrad::test {
namespace {

using Sums = std::vector<std::uint64_t>;
constexpr Index sizes[] = {1, 2, 7, 8, 9, 15, 31, 64, 257};

/// Floats of both signs over 24 powers of two, zeros and denormals among them.
std::vector<float> gradient(Index count, std::uint32_t stream = 0) {
    const Philox philox(2, RandomPurpose::test);
    std::vector<float> values;
    for (Index i = 0; i < count; ++i) {
        const auto words = philox(static_cast<std::uint32_t>(i), stream);
        const auto normal = static_cast<float>(normal_pair(words[0], words[1])[0]);
        values.push_back(std::ldexp(normal, -static_cast<int>(words[2] % 24)));
        if (words[3] % 16 == 0) values.back() = 0.0f;
        if (words[3] % 16 == 1) values.back() = std::bit_cast<float>(words[2] % 0x800000u);
    }
    return values;
}

std::uint64_t plain(float value, int exponent) {
    return static_cast<std::uint64_t>(
        std::llrint(std::ldexp(static_cast<double>(value), -exponent)));
}

PieceFacts add(const std::vector<float>& values, int exponent, Index first, Sums& sums) {
    return add_rounded(values.data(), static_cast<Index>(values.size()), std::ldexp(1.0, -exponent),
                       first, sums.data());
}

TEST(AddRounded, EqualsThePlainConversion) {
    for (const int exponent : {-40, -30, -3, 0, 4})
        for (const Index size : sizes) {
            const std::vector<float> values = gradient(size);
            Sums sums(values.size(), 5);
            const PieceFacts facts = add(values, exponent, 100, sums);
            std::uint64_t checksum = 0;
            float largest = 0.0f;
            double squared = 0.0;
            for (std::size_t i = 0; i < values.size(); ++i) {
                ASSERT_EQ(sums[i], 5 + plain(values[i], exponent)) << values[i];
                checksum += plain(values[i], exponent) * (2 * (100 + i) + 1);
                largest = std::max(largest, std::abs(values[i]));
                squared += static_cast<double>(values[i]) * static_cast<double>(values[i]);
            }
            EXPECT_EQ(facts.checksum, checksum);
            EXPECT_EQ(facts.largest, std::bit_cast<std::uint32_t>(largest));
            EXPECT_NEAR(facts.squared, squared, 1e-13 * squared);
        }
}

TEST(AddRounded, TiesGoToEvenAndSmallValuesToZero) {
    const std::vector<float> values = {0.5f,  1.5f,  2.5f,  -0.5f,  -1.5f,   -2.5f,  3.5f,  -3.5f,
                                       0.49f, 0.51f, -0.0f, 1e-45f, -1e-45f, 1e-38f, -0.75f};
    const std::vector<std::int64_t> expected = {0, 2, 2, 0, -2, -2, 4, -4, 0, 1, 0, 0, 0, 0, -1};
    Sums sums(values.size());
    add(values, 0, 0, sums);
    for (std::size_t i = 0; i < values.size(); ++i)
        EXPECT_EQ(static_cast<std::int64_t>(sums[i]), expected[i]) << values[i];
}

TEST(AddRounded, CountsWhatBecomesZero) {
    // Quantum 1: what is at most a half in size becomes 0, except what is 0 already.
    const std::vector<float> values{0.0f, -0.0f, 0.5f,  -0.5f, 0.50001f, 1e-30f, -0.4f, 1.0f,
                                    0.1f, -7.0f, 0.25f, 0.0f,  3.0f,     -0.2f,  2.5f};
    std::vector<std::uint64_t> sums(values.size(), 0);
    const auto facts =
        add_rounded(values.data(), static_cast<Index>(values.size()), 1.0, 0, sums.data());
    EXPECT_EQ(facts.lost, 7u);
    EXPECT_EQ(add_rounded(values.data(), 2, 1.0, 0, sums.data()).lost, 0u);
}

TEST(AddRounded, KeepsDenormalsOnAFineGrid) {
    const std::vector<float> values = {0x1p-149f, -0x1p-149f, 0x1.8p-140f};
    Sums sums(values.size());
    const PieceFacts facts = add(values, -160, 0, sums);
    EXPECT_EQ(static_cast<std::int64_t>(sums[0]), 1 << 11);
    EXPECT_EQ(static_cast<std::int64_t>(sums[1]), -(1 << 11));
    EXPECT_EQ(static_cast<std::int64_t>(sums[2]), 3 << 19);
    EXPECT_EQ(facts.largest, std::bit_cast<std::uint32_t>(0x1.8p-140f));
}

TEST(AddRounded, IsExactUpToTheMostBitsOfAnAddend) {
    const std::vector<float> values = {0x1p50f, -0x1p50f, 0x1.fffffep49f, -0x1.fffffep49f};
    Sums sums(values.size());
    add(values, 0, 0, sums);
    for (std::size_t i = 0; i < values.size(); ++i)
        EXPECT_EQ(static_cast<std::int64_t>(sums[i]), static_cast<std::int64_t>(values[i]));
}

TEST(AddRounded, OrderAndSplittingDoNotMatter) {
    constexpr Index size = 257;
    constexpr int addends = 9;
    constexpr int exponent = -38;
    std::vector<std::vector<float>> pieces;
    for (std::uint32_t k = 0; k < addends; ++k) pieces.push_back(gradient(size, k));
    Sums forward(size);
    std::uint64_t checksum = 0;
    for (const auto& piece : pieces) checksum += add(piece, exponent, 0, forward).checksum;
    // The other way round, each in pieces of uneven size, their own order reversed.
    Sums backward(size);
    std::uint64_t again = 0;
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece)
        for (Index end = size, step = 1; end > 0; step = step * 2 + 1) {
            const Index begin = std::max<Index>(0, end - step);
            again += add_rounded(piece->data() + begin, end - begin, std::ldexp(1.0, -exponent),
                                 begin, backward.data() + begin)
                         .checksum;
            end = begin;
        }
    EXPECT_EQ(forward, backward);
    EXPECT_EQ(checksum, again);
}

TEST(AddRounded, SixteenOffsetsGiveOneResult) {
    for (const Index size : sizes) {
        const std::vector<float> values = gradient(size, 3);
        std::vector<PieceFacts> facts;
        std::vector<SumFacts> examined;
        std::vector<double> observed;
        Sums expected;
        for (Index offset = 0; offset < 16; ++offset) {
            AlignedBuffer<float> in(size + 16);
            AlignedBuffer<std::uint64_t> out(size + 16);
            const Index other = (offset * 5) % 16;
            std::copy(values.begin(), values.end(), in.data() + offset);
            facts.push_back(add_rounded(in.data() + offset, size, 0x1p40, 77, out.data() + other));
            observed.push_back(observe(in.data() + offset, size).squared);
            examined.push_back(examine(out.data() + other, size, 77));
            const Sums sums(out.data() + other, out.data() + other + size);
            if (expected.empty()) expected = sums;
            EXPECT_EQ(sums, expected) << size << " " << offset;
            EXPECT_EQ(facts.back().checksum, facts.front().checksum);
            EXPECT_EQ(facts.back().squared, facts.front().squared) << size << " " << offset;
            EXPECT_EQ(examined.back().squared, examined.front().squared) << size << " " << offset;
            EXPECT_EQ(observed.back(), observed.front()) << size << " " << offset;
            // Nothing beside the range was touched.
            EXPECT_EQ(std::count(out.data(), out.data() + other, 0u), other);
            EXPECT_EQ(std::count(out.data() + other + size, out.data() + size + 16, 0u),
                      16 - other);
        }
    }
}

TEST(Checksum, OfTheSumIsTheSumOfTheAddends) {
    // Two addends make the sums of neighbors wrap around 2^64 in opposite directions.
    constexpr Index size = 100;
    Sums sums(size);
    std::uint64_t expected = 0;
    for (std::size_t i = 0; i < size; ++i) {
        sums[i] = i % 2 == 0 ? std::numeric_limits<std::uint64_t>::max() - i : 3 * i;
        expected += sums[i] * checksum_weight(static_cast<Index>(i) + 12345);
    }
    for (std::uint32_t k = 0; k < 5; ++k)
        expected += add(gradient(size, k), -38, 12345, sums).checksum;
    EXPECT_EQ(examine(sums.data(), size, 12345).checksum, expected);
    // The same of a reduction: checksums of two nodes' sums add up to that of their sum.
    Sums total(size);
    for (std::size_t i = 0; i < size; ++i) total[i] = sums[i] + sums[i];
    EXPECT_EQ(examine(total.data(), size, 12345).checksum, 2 * expected);
}

TEST(Checksum, ChangesWithAnySingleFlippedBit) {
    constexpr Index size = 37;
    for (const Index first : {Index{0}, Index{1} << 24, (Index{1} << 31) - 20, Index{1} << 33}) {
        Sums sums(size);
        add(gradient(size), -38, first, sums);
        const std::uint64_t before = examine(sums.data(), size, first).checksum;
        for (std::uint64_t& sum : sums)
            for (int bit = 0; bit < 64; ++bit) {
                sum ^= std::uint64_t{1} << bit;
                ASSERT_NE(examine(sums.data(), size, first).checksum, before) << bit;
                sum ^= std::uint64_t{1} << bit;
            }
        ASSERT_EQ(examine(sums.data(), size, first).checksum, before);
        std::swap(sums[2], sums[20]);
        EXPECT_NE(examine(sums.data(), size, first).checksum, before) << "a wrong place";
    }
}

TEST(Facts, LargestTellsNotFiniteFromTooLarge) {
    const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
    const float inf = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    constexpr std::uint32_t not_finite = 0x7f800000u;
    for (const Index size : sizes)
        for (Index place = 0; place < size; ++place)
            for (const float bad : {inf, -inf, nan, -nan, std::numeric_limits<float>::max()}) {
                std::vector<float> values = gradient(size);
                values[static_cast<std::size_t>(place)] = bad;
                Sums sums(values.size());
                const std::uint32_t largest = add(values, -38, 0, sums).largest;
                ASSERT_EQ(largest, bits(bad) & 0x7fffffffu) << size << " " << place;
                ASSERT_EQ(largest >= not_finite, !std::isfinite(bad));
                ASSERT_EQ(observe(values.data(), size).largest, largest);
            }
}

TEST(Facts, ObserveAgreesWithAdding) {
    const std::vector<float> values = gradient(1000);
    Sums sums(values.size());
    const PieceFacts added = add(values, -38, 0, sums);
    const PieceFacts observed = observe(values.data(), 1000);
    EXPECT_EQ(observed.largest, added.largest);
    EXPECT_EQ(observed.checksum, 0u);
    EXPECT_NEAR(observed.squared, added.squared, 1e-13 * added.squared);
    EXPECT_EQ(observe(values.data(), 0).largest, 0u);
}

TEST(SumToDouble, EqualsThePlainConversion) {
    const auto check = [](std::uint64_t sum) {
        const auto expected = static_cast<double>(static_cast<std::int64_t>(sum));
        ASSERT_EQ(std::bit_cast<std::uint64_t>(sum_to_double(sum)),
                  std::bit_cast<std::uint64_t>(expected))
            << sum;
    };
    for (int bit = 0; bit < 64; ++bit)
        for (std::uint64_t near = 0; near < 5; ++near) {
            check((std::uint64_t{1} << bit) + near - 2);
            check(-((std::uint64_t{1} << bit) + near - 2));
        }
    const Philox philox(4, RandomPurpose::test);
    for (std::uint32_t i = 0; i < 200000; ++i) {
        const auto words = philox(i);
        const std::uint64_t value = std::uint64_t{words[0]} << 32 | words[1];
        check(value >> words[2] % 64);
        check(-(value >> words[2] % 64));
        // Halfway between doubles: ties to even.
        check((value >> 11 | std::uint64_t{1} << 52) << 1 | 1);
    }
}

TEST(Examine, SumsSquaresOfSignedSums) {
    const Sums sums = {3, static_cast<std::uint64_t>(-4), 0, std::uint64_t{1} << 40};
    EXPECT_EQ(examine(sums.data(), 4, 0).squared, 25.0 + 0x1p80);
    EXPECT_EQ(examine(sums.data(), 2, 10).squared, 25.0);
    EXPECT_EQ(examine(sums.data(), 2, 10).checksum, static_cast<std::uint64_t>(3 * 21 - 4 * 23));
    EXPECT_EQ(examine(sums.data(), 0, 0).checksum, 0u);
}

}  // namespace
}  // namespace evengrad::test
