#include "base/arch.hpp"

namespace evengrad {

// Constants known at compile time: reading them runs no code of this file.
const unsigned built_for = 0u
#if defined(__AVX2__)
                           | arch_avx2
#endif
#if defined(__FMA__)
                           | arch_fma
#endif
#if defined(__BMI2__)
                           | arch_bmi2
#endif
#if defined(__AVX512F__)
                           | arch_avx512f
#endif
#if defined(__AVX512VL__)
                           | arch_avx512vl
#endif
    ;
const char* const built_for_name = EVENGRAD_ARCH_NAME;

}  // namespace evengrad
