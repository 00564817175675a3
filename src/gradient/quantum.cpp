#include "gradient/quantum.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace evengrad {

double QuantumTable::quantum(Index tensor) const {
    return std::ldexp(1.0, exponent(tensor));
}

int QuantumTable::addend_bits(Index addends) {
    const auto count = static_cast<std::uint64_t>(std::max<Index>(addends, 1));
    const int log2_count = static_cast<int>(std::bit_width(count - 1));  // rounded up
    EVENGRAD_CHECK(log2_count < 20, "{} addends for one sum", addends);
    return std::min(50, 62 - log2_count);
}

bool QuantumTable::misfit(Index tensor, float largest, Index addends) const {
    if (largest == 0.0f) return false;
    if (!is_set(tensor)) return true;
    return static_cast<double>(largest) > std::ldexp(1.0, exponent(tensor) + addend_bits(addends));
}

void QuantumTable::follow(Index tensor, float largest) {
    if (largest == 0.0f) return;
    int exponent = 0;
    const float mantissa = std::frexp(largest, &exponent);  // largest = mantissa 2^exponent
    if (mantissa == 0.5f) --exponent;                       // an exact power of two
    set(tensor, exponent - target_bits);
}

}  // namespace evengrad
