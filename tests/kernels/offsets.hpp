// The same numbers at other addresses.
#pragma once

#include <cstring>
#include <vector>

#include "base/aligned.hpp"
#include "base/philox.hpp"

namespace evengrad::test {

inline constexpr Index offsets = 16;

/// `count` values that begin `offset` elements behind a 64-byte boundary.
template <class T>
class Shifted {
  public:
    Shifted(Index offset, Index count) : memory_(offset + count), offset_(offset), count_(count) {}
    Shifted(Index offset, const std::vector<T>& values)
        : Shifted(offset, static_cast<Index>(values.size())) {
        std::copy(values.begin(), values.end(), data());
    }
    T* data() { return memory_.data() + offset_; }
    std::vector<T> values() { return std::vector<T>(data(), data() + count_); }

  private:
    AlignedBuffer<T> memory_;
    Index offset_, count_;
};

template <class T>
std::vector<T> normal_numbers(Index count, double scale, std::uint32_t stream) {
    std::vector<T> values;
    const Philox philox(3, RandomPurpose::test);
    for (Index i = 0; i < count; ++i) {
        const auto words = philox(static_cast<std::uint32_t>(i), stream);
        values.push_back(static_cast<T>(scale * normal_pair(words[0], words[1])[0]));
    }
    return values;
}

/// Equal bytes: unlike ==, NaN equals itself and 0 differs from -0.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace evengrad::test
