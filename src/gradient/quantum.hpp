// The grid on which a tensor's gradient is summed: one power of two per tensor, the quantum.
//
// An element g becomes the integer round(g / quantum). Integer addition is associative, so a sum
// doesn't depend on who added what, when. The quantum follows from the largest |element| of any
// single contribution of the step before, which is the same on every layout.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "base/aligned.hpp"

namespace evengrad {

class QuantumTable {
  public:
    /// A tensor's exponent before its first step with a gradient.
    static constexpr std::int32_t unset = std::numeric_limits<std::int32_t>::min();
    /// The largest element of the step before becomes about 2^40 quanta.
    static constexpr int target_bits = 40;

    explicit QuantumTable(Index tensors) : exponents_(static_cast<std::size_t>(tensors), unset) {}

    std::span<const std::int32_t> exponents() const { return exponents_; }
    void restore(std::span<const std::int32_t> exponents) {
        EVENGRAD_CHECK(exponents.size() == exponents_.size(), "{} exponents for {} tensors",
                       exponents.size(), exponents_.size());
        exponents_.assign(exponents.begin(), exponents.end());
    }
    void set(Index tensor, std::int32_t exponent) {
        exponents_[static_cast<std::size_t>(tensor)] = exponent;
    }

    std::int32_t exponent(Index tensor) const {
        return exponents_[static_cast<std::size_t>(tensor)];
    }
    bool is_set(Index tensor) const { return exponent(tensor) != unset; }
    /// The quantum, 2^exponent.
    double quantum(Index tensor) const;

    /// Bits that one addend may have, so that `addends` of them cannot overflow 62 bits.
    static int addend_bits(Index addends);

    /// Whether a largest |element| of `largest` needs a new quantum before it can be summed.
    bool misfit(Index tensor, float largest, Index addends) const;

    /// The exponent for a largest |element|: ceil(log2 largest) - 40. 0 keeps what there is.
    void follow(Index tensor, float largest);

  private:
    std::vector<std::int32_t> exponents_;
};

}  // namespace evengrad
