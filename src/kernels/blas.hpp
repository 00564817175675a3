// The BLAS library behind multiply(): which it is, and that it uses one thread.
#pragma once

#include <string>

namespace evengrad {

struct BlasInfo {
    std::string name;    ///< e.g. "OpenBLAS 0.3.21", "BLAS" when the library doesn't say
    std::string kernel;  ///< what it was tuned for, e.g. "Haswell"; empty when it doesn't say
    int threads = 1;
};

/// Tells the library to use one thread, and asks what it is. A serial package doesn't give a serial
/// BLAS: OpenBLAS flavors share a name and the threaded one may be loaded instead.
/// @local @throws Error when it still reports more than one thread: results would depend on
/// binding.
BlasInfo use_one_blas_thread();

/// What OPENBLAS_CORETYPE could do for this processor, or empty.
std::string blas_hint(const BlasInfo& info);

}  // namespace evengrad
