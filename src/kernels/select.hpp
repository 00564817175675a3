// Choices between numbers that never become branches, so that loops over them vectorize.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

namespace evengrad {

/// condition ? a : b, by masks: of ?: the compiler would make branches, and no vector loop.
template <class T>
[[gnu::always_inline]] inline T select(bool condition, T a, T b) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    const Bits mask = Bits(0) - static_cast<Bits>(condition);
    return std::bit_cast<T>((std::bit_cast<Bits>(a) & mask) | (std::bit_cast<Bits>(b) & ~mask));
}

/// x, but at most `limit`; NaN stays.
template <class T>
[[gnu::always_inline]] inline T at_most(T limit, T x) {
    return select(x > limit, limit, x);
}

/// x, but at least `limit`; NaN stays.
template <class T>
[[gnu::always_inline]] inline T at_least(T limit, T x) {
    return select(x < limit, limit, x);
}

}  // namespace evengrad
