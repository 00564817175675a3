#include "base/cpu.hpp"

#include <fstream>

#include <sched.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace evengrad {

std::string cpu_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.rfind("model name", 0) == 0) {
            const auto colon = line.find(": ");
            if (colon != std::string::npos) return line.substr(colon + 2);
        }
    return "unknown";
}

int allowed_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

void set_arithmetic_mode() {
#if defined(__SSE2__)
    constexpr unsigned all_masked_to_nearest = 0x1f80, flush_to_zero = 0x8000,
                       denormals_are_zero = 0x0040;
    _mm_setcsr(all_masked_to_nearest | flush_to_zero | denormals_are_zero);
#endif
}

bool has_avx512() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") != 0;
#else
    return false;
#endif
}

}  // namespace evengrad
