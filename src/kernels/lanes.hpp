// Sums and maxima whose order of operations is fixed, and which vectorize all the same.
#pragma once

#include <array>

#include "base/aligned.hpp"

namespace evengrad {

/// f(0) + ... + f(n-1), summed in `lanes` interleaved partial sums that are then added pairwise.
/// The order depends on n alone, so neither address nor vector width can change the result.
template <class T, class Function>
inline T lane_sum(Index n, Function&& f) {
    constexpr Index lanes = 128 / static_cast<Index>(sizeof(T));
    alignas(cache_line) std::array<T, static_cast<std::size_t>(lanes)> sum{};
    T* const s = sum.data();
    Index i = 0;
    for (; i + lanes <= n; i += lanes)
        for (Index l = 0; l < lanes; ++l) s[l] += f(i + l);
    for (Index l = 0; i < n; ++i, ++l) s[l] += f(i);
    for (Index width = lanes / 2; width > 0; width /= 2)
        for (Index l = 0; l < width; ++l) s[l] += s[l + width];
    return s[0];
}

/// The largest of x[0] ... x[n-1], n at least 1.
template <class T>
inline T lane_max(const T* x, Index n) {
    constexpr Index lanes = 64 / static_cast<Index>(sizeof(T));
    alignas(cache_line) std::array<T, static_cast<std::size_t>(lanes)> most;
    T* const m = most.data();
    for (Index l = 0; l < lanes; ++l) m[l] = x[0];
    Index i = 0;
    for (; i + lanes <= n; i += lanes)
        for (Index l = 0; l < lanes; ++l) m[l] = x[i + l] > m[l] ? x[i + l] : m[l];
    for (Index l = 0; i < n; ++i, ++l) m[l] = x[i] > m[l] ? x[i] : m[l];
    T result = m[0];
    for (Index l = 1; l < lanes; ++l) result = m[l] > result ? m[l] : result;
    return result;
}

}  // namespace evengrad
