// exp, as a loop over floats can vectorize it: always inlined, since a call in a loop prevents
// that.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/select.hpp"

namespace evengrad {

/// e^x, and e^x - 1 with the precision that the difference alone loses near 0.
template <class T>
struct Exponentials {
    T power, minus_one;
};

/// In float, both within 2 units in the last place for x in [-87.3, 88.3]; smaller x give about
/// 1e-38, larger ones about 2e38, NaN gives NaN.
///
/// Range reduction after Cody and Waite (1980) with ln 2 in two parts, then a polynomial of degree
/// 6 (Taylor's coefficients, adjusted at the end of the range by the error bound above). Only IEEE
/// operations and explicit fused multiply-adds, so the scalar and every vector version agree.
[[gnu::always_inline]] inline Exponentials<float> exponentials(float x) {
    constexpr float log2_e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    constexpr float round_magic = 0x1.8p23f;
    const float clamped = at_most(88.3f, at_least(-87.3f, x));
    const float shifted = std::fma(clamped, log2_e, round_magic);
    const float n = shifted - round_magic;
    float r = std::fma(-n, ln2_high, clamped);
    r = std::fma(-n, ln2_low, r);
    // Coefficients of Cephes' expf (S. Moshier, "Methods and programs for mathematical functions").
    float p = 1.9875691500e-4f;
    p = std::fma(p, r, 1.3981999507e-3f);
    p = std::fma(p, r, 8.3334519073e-3f);
    p = std::fma(p, r, 4.1665795894e-2f);
    p = std::fma(p, r, 1.6666665459e-1f);
    p = std::fma(p, r, 5.0000001201e-1f);
    p = std::fma(p, r * r, r);  // e^r - 1
    // 2^n from n in the last bits of `shifted`. A product, since adding to p's exponent field could
    // make a number of a NaN.
    const auto scale = std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) + 127u) << 23);
    return {(p + 1.0f) * scale, std::fma(p, scale, scale - 1.0f)};
}

[[gnu::always_inline]] inline Exponentials<double> exponentials(double x) {
    return {std::exp(x), std::expm1(x)};
}

/// e^x.
[[gnu::always_inline]] inline float exponential(float x) {
    return exponentials(x).power;
}
[[gnu::always_inline]] inline double exponential(double x) {
    return std::exp(x);
}

/// 1 / (1 + e^-x).
template <class T>
[[gnu::always_inline]] inline T sigmoid(T x) {
    return T(1) / (T(1) + exponential(-x));
}

}  // namespace evengrad
