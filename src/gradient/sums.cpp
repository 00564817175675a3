#include "gradient/sums.hpp"

#include <array>

#include "kernels/lanes.hpp"

namespace evengrad {

namespace {

constexpr std::uint32_t magnitude_mask = 0x7fffffffu;

std::uint32_t magnitude_bits(float value) {
    return std::bit_cast<std::uint32_t>(value) & magnitude_mask;
}

/// round(value) as an integer modulo 2^64, for |value| < 2^51: adding 1.5 * 2^52 leaves it in the
/// last bits of the mantissa. (Conversion of doubles to 64-bit integers isn't vectorized by AVX2.)
std::uint64_t rounded(double value) {
    constexpr double magic = 0x1.8p52;
    return std::bit_cast<std::uint64_t>(value + magic) - std::bit_cast<std::uint64_t>(magic);
}

}  // namespace

PieceFacts add_rounded(const float* values, Index count, double inverse_quantum, Index first,
                       std::uint64_t* sums) {
    constexpr Index lanes = 8;
    std::array<std::uint64_t, lanes> checksum{};
    std::array<std::uint32_t, lanes> largest{};
    std::array<double, lanes> squared{};
    std::array<std::uint64_t, lanes> lost{};
    const auto step = [&](Index i, Index l) {
        const auto lane = static_cast<std::size_t>(l);
        const double value = static_cast<double>(values[i]);
        const std::uint64_t addend = rounded(value * inverse_quantum);
        sums[i] += addend;
        checksum[lane] += addend * checksum_weight(first + i);
        const std::uint32_t magnitude = magnitude_bits(values[i]);
        largest[lane] = magnitude > largest[lane] ? magnitude : largest[lane];
        squared[lane] += value * value;
        lost[lane] +=
            static_cast<std::uint64_t>(addend == 0) & static_cast<std::uint64_t>(value != 0.0);
    };
    Index i = 0;
    for (; i + lanes <= count; i += lanes)
        for (Index l = 0; l < lanes; ++l) step(i + l, l);
    for (Index l = 0; i < count; ++i, ++l) step(i, l);
    PieceFacts facts;
    for (std::size_t l = 0; l < lanes; ++l) {
        facts.checksum += checksum[l];
        facts.largest = largest[l] > facts.largest ? largest[l] : facts.largest;
        facts.squared += squared[l];
        facts.lost += lost[l];
    }
    return facts;
}

PieceFacts observe(const float* values, Index count) {
    PieceFacts facts;
    for (Index i = 0; i < count; ++i) {
        const std::uint32_t magnitude = magnitude_bits(values[i]);
        facts.largest = magnitude > facts.largest ? magnitude : facts.largest;
    }
    facts.squared = lane_sum<double>(count, [&](Index i) {
        return static_cast<double>(values[i]) * static_cast<double>(values[i]);
    });
    return facts;
}

SumFacts examine(const std::uint64_t* sums, Index count, Index first) {
    SumFacts facts;
    for (Index i = 0; i < count; ++i) facts.checksum += sums[i] * checksum_weight(first + i);
    facts.squared = lane_sum<double>(count, [&](Index i) {
        const double sum = sum_to_double(sums[i]);
        return sum * sum;
    });
    return facts;
}

}  // namespace evengrad
