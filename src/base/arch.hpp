// What the library was compiled for, as main.cpp can ask before it runs any of it.
#pragma once

namespace evengrad {

enum : unsigned {
    arch_avx2 = 1,
    arch_fma = 2,
    arch_bmi2 = 4,
    arch_avx512f = 8,
    arch_avx512vl = 16,
};
extern const unsigned built_for;          ///< the features above that the compiler could use
extern const char* const built_for_name;  ///< -march=, e.g. "x86-64-v3"

}  // namespace evengrad
