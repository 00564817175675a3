// Loops over integer sums: add a gradient, read a sum back.
#pragma once

#include <bit>
#include <cstdint>

#include "base/aligned.hpp"

namespace evengrad {

/// What one pass over a piece of gradient found.
struct PieceFacts {
    std::uint64_t checksum = 0;  ///< sum of addend * checksum_weight, modulo 2^64
    std::uint32_t largest = 0;   ///< bits of the largest |element|; from 0x7f800000 on not finite
    double squared = 0.0;        ///< sum of squares of the elements
    std::uint64_t lost = 0;      ///< elements that aren't 0 but became 0 on the grid
};

/// Weight of flat element i in a checksum. Odd, so no single flipped bit can vanish modulo 2^64;
/// varying, so that neither does a value added at a wrong place.
inline std::uint64_t checksum_weight(Index i) {
    return static_cast<std::uint32_t>(2 * i + 1);
}

/// sums[i] += round(values[i] / quantum) for i < count, quantum = 1 / `inverse_quantum`, a power of
/// two; ties to even. `first` is the flat index of sums[0]. Elements must be below 2^51 quanta, or
/// the sums are without meaning (never undefined): the facts tell.
PieceFacts add_rounded(const float* values, Index count, double inverse_quantum, Index first,
                       std::uint64_t* sums);

/// The facts alone, without quantum and sums (checksum 0): for a tensor whose quantum isn't known.
PieceFacts observe(const float* values, Index count);

/// A sum as a double, rounded once. Vectorizes where a plain conversion of 64 bits doesn't.
inline double sum_to_double(std::uint64_t sum) {
    // sum = high 2^32 + low with high signed: each put into the mantissa of a magic double.
    const std::uint64_t low_bits = (sum & 0xffffffffu) | 0x4330000000000000u;  // 2^52
    const std::uint64_t high_bits = (sum >> 32) ^ 0x4530000080000000u;         // 2^84 + 2^63
    const double high = std::bit_cast<double>(high_bits) - 0x1.00000801p84;    // 2^84 + 2^63 + 2^52
    return high + std::bit_cast<double>(low_bits);
}

/// Of sums[0 .. count): sum of squares (in quanta), and the checksum.
struct SumFacts {
    double squared = 0.0;
    std::uint64_t checksum = 0;
};
SumFacts examine(const std::uint64_t* sums, Index count, Index first);

}  // namespace evengrad
