// The processor: what it is called, what it can do, and how it rounds.
#pragma once

#include <string>

namespace evengrad {

/// Model name as the system gives it, e.g. "AMD EPYC 9654 96-Core Processor". @local
std::string cpu_name();

/// Cores that this process may run on. @local
int allowed_cores();

/// Sets rounding and denormal handling of this thread alike on every rank: to nearest, results and
/// operands below 1.2e-38 become 0 (moments of unused embedding rows decay into that range, where
/// arithmetic is a hundred times slower). @local
void set_arithmetic_mode();

/// Whether the processor has 512-bit vectors. @local
bool has_avx512();

}  // namespace evengrad
