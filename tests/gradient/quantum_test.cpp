// The grid of a tensor's sums: how it follows the gradient, and when an element doesn't fit.
#include "gradient/quantum.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace evengrad::test {
namespace {

TEST(Quantum, FollowsTheLargestElementRoundedUpToAPowerOfTwo) {
    QuantumTable table(1);
    for (int power = -149; power <= 127; ++power) {
        const float value = std::ldexp(1.0f, power);
        table.follow(0, value);
        ASSERT_EQ(table.exponent(0), power - QuantumTable::target_bits) << power;
        table.follow(0, std::nextafter(value, std::numeric_limits<float>::infinity()));
        ASSERT_EQ(table.exponent(0), power + 1 - QuantumTable::target_bits) << power;
        const float below = std::nextafter(value, 0.0f);
        if (below == 0.0f) continue;
        table.follow(0, below);
        // Below a denormal power of two, the next float may be a smaller one.
        const bool above_half = static_cast<double>(below) > std::ldexp(1.0, power - 1);
        const int rounded_up = above_half ? power : power - 1;
        ASSERT_EQ(table.exponent(0), rounded_up - QuantumTable::target_bits) << power;
    }
    EXPECT_EQ(table.quantum(0), std::ldexp(1.0, table.exponent(0)));
}

TEST(Quantum, ZeroKeepsTheExponent) {
    QuantumTable table(2);
    EXPECT_FALSE(table.is_set(0));
    table.follow(0, 0.0f);
    EXPECT_FALSE(table.is_set(0));
    table.follow(0, 3.0f);
    EXPECT_EQ(table.exponent(0), 2 - 40);
    table.follow(0, 0.0f);
    EXPECT_EQ(table.exponent(0), 2 - 40);
    EXPECT_FALSE(table.is_set(1));
}

TEST(Quantum, AddendsLeaveRoomForTheirSum) {
    EXPECT_EQ(QuantumTable::addend_bits(0), 50);
    EXPECT_EQ(QuantumTable::addend_bits(1), 50);
    EXPECT_EQ(QuantumTable::addend_bits(4096), 50);
    EXPECT_EQ(QuantumTable::addend_bits(4097), 49);
    EXPECT_EQ(QuantumTable::addend_bits(8192), 49);
    EXPECT_EQ(QuantumTable::addend_bits(8193), 48);
    EXPECT_EQ(QuantumTable::addend_bits(1 << 19), 43);
    EXPECT_THROW(QuantumTable::addend_bits((1 << 19) + 1), std::logic_error);
    // As many addends as large as they may be stay within 62 bits and a sign.
    for (Index addends = 1; addends <= 1 << 19; addends = addends * 3 / 2 + 1) {
        const double sum =
            static_cast<double>(addends) * std::ldexp(1.0, QuantumTable::addend_bits(addends));
        EXPECT_LE(sum, 0x1p62) << addends;
        EXPECT_GT(QuantumTable::addend_bits(addends), QuantumTable::target_bits) << addends;
    }
}

TEST(Quantum, MisfitsBeginAboveTheMostBits) {
    QuantumTable table(1);
    EXPECT_FALSE(table.misfit(0, 0.0f, 8));   // nothing to add needs no quantum
    EXPECT_TRUE(table.misfit(0, 1e-30f, 8));  // not set yet
    table.follow(0, 1.0f);
    for (const Index addends : {1, 4096, 5000, 100000}) {
        const float most = std::ldexp(1.0f, QuantumTable::addend_bits(addends) - 40);
        EXPECT_FALSE(table.misfit(0, 1.0f, addends));
        EXPECT_FALSE(table.misfit(0, most, addends)) << addends;
        EXPECT_TRUE(table.misfit(0, std::nextafter(most, 2.0f * most), addends)) << addends;
    }
    // The margin that DESIGN.md promises: a thousand-fold growth from one step to the next.
    EXPECT_FALSE(table.misfit(0, 1000.0f, 4096));
    EXPECT_FALSE(table.misfit(0, 0.0f, 8));
    // Shrinking is no misfit.
    EXPECT_FALSE(table.misfit(0, 1e-38f, 8));
}

TEST(Quantum, WhatFollowedAlwaysFits) {
    QuantumTable table(1);
    for (int power = -149; power <= 127; ++power)
        for (const float factor : {1.0f, 1.25f, 1.99f}) {
            const float value = std::ldexp(factor, power);
            if (!std::isfinite(value)) continue;
            table.follow(0, value);
            ASSERT_FALSE(table.misfit(0, value, 1 << 19)) << value;
            const double quanta = static_cast<double>(value) / table.quantum(0);
            ASSERT_LE(quanta, 0x1p40);
            ASSERT_GT(quanta, 0x1p39);
        }
}

TEST(Quantum, ExponentsTravel) {
    QuantumTable table(3), other(3);
    table.follow(0, 0.7f);
    table.set(2, -11);
    other.restore(table.exponents());
    EXPECT_EQ(other.exponent(0), table.exponent(0));
    EXPECT_FALSE(other.is_set(1));
    EXPECT_EQ(other.quantum(2), 0x1p-11);
    EXPECT_THROW(other.restore(std::vector<std::int32_t>(2)), std::logic_error);
}

}  // namespace
}  // namespace evengrad::test
