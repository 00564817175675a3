// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011), from Random123.
//
// A number is a pure function of what it is for (seed, purpose, counter), never of rank, order or
// time. This is what lets any rank compute any micro-batch and get the same bits.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

#include <Random123/philox.h>

namespace evengrad {

/// What a stream of random numbers is for. Two purposes never share a counter.
enum class RandomPurpose : std::uint32_t {
    initialization = 1,
    shuffle = 2,
    dropout = 3,
    sampling = 4,
    test = 5,
    data = 6,  ///< rows that are made here
    verification = 7,
};

/// Seeds must be below this: the key's last byte says the purpose.
inline constexpr std::uint64_t seed_limit = std::uint64_t{1} << 56;

/// Four independent uniform 32-bit words for one counter.
class Philox {
  public:
    Philox(std::uint64_t seed, RandomPurpose purpose)
        : key_{{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32) |
                                                      static_cast<std::uint32_t>(purpose) << 24}} {}

    std::array<std::uint32_t, 4> operator()(std::uint32_t a, std::uint32_t b = 0,
                                            std::uint32_t c = 0, std::uint32_t d = 0) const {
        const r123::Philox4x32::ctr_type out = r123::Philox4x32{}({{a, b, c, d}}, key_);
        return {out[0], out[1], out[2], out[3]};
    }

  private:
    r123::Philox4x32::key_type key_;
};

/// Uniform in (0, 1), from 32 random bits: (bits + 1/2) / 2^32.
inline double uniform_open(std::uint32_t bits) {
    return (static_cast<double>(bits) + 0.5) * 0x1p-32;
}

/// Two independent standard normal numbers (Box and Muller 1958).
inline std::array<double, 2> normal_pair(std::uint32_t first, std::uint32_t second) {
    const double radius = std::sqrt(-2.0 * std::log(uniform_open(first)));
    const double angle = 2.0 * std::numbers::pi * uniform_open(second);
    return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace evengrad
