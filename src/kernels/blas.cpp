#include "kernels/blas.hpp"

#include <cstdlib>

#include "base/cpu.hpp"
#include <evengrad/error.hpp>

// Of the libraries one may meet; those that aren't linked stay null.
extern "C" {
__attribute__((weak)) void openblas_set_num_threads(int);
__attribute__((weak)) int openblas_get_num_threads(void);
__attribute__((weak)) char* openblas_get_corename(void);
__attribute__((weak)) char* openblas_get_config(void);
__attribute__((weak)) void MKL_Set_Num_Threads(int);
__attribute__((weak)) int MKL_Get_Max_Threads(void);
__attribute__((weak)) void bli_thread_set_num_threads(long);
__attribute__((weak)) long bli_thread_get_num_threads(void);
}

namespace evengrad {

BlasInfo use_one_blas_thread() {
    BlasInfo info{"BLAS", "", 1};
    if (openblas_set_num_threads) {
        openblas_set_num_threads(1);
        info.name = "OpenBLAS";
        if (openblas_get_num_threads) info.threads = openblas_get_num_threads();
        if (openblas_get_corename) info.kernel = openblas_get_corename();
        if (openblas_get_config) {  // "OpenBLAS 0.3.21 NO_LAPACKE ..."
            const std::string config = openblas_get_config();
            info.name = config.substr(0, config.find(' ', config.find(' ') + 1));
        }
    } else if (MKL_Set_Num_Threads) {
        MKL_Set_Num_Threads(1);
        info.name = "MKL";
        if (MKL_Get_Max_Threads) info.threads = MKL_Get_Max_Threads();
    } else if (bli_thread_set_num_threads) {
        bli_thread_set_num_threads(1);
        info.name = "BLIS";
        if (bli_thread_get_num_threads)
            info.threads = static_cast<int>(bli_thread_get_num_threads());
    }
    if (info.threads > 1)
        throw Error(fmt::format("{} still uses {} threads after it was told to use one", info.name,
                                info.threads),
                    "evengrad's ranks are single-threaded: set OMP_NUM_THREADS=1 or link a serial "
                    "BLAS (Debian: libopenblas-serial-dev)");
    return info;
}

std::string blas_hint(const BlasInfo& info) {
    const bool narrow = info.kernel == "Haswell" || info.kernel == "Zen" ||
                        info.kernel == "Sandybridge" || info.kernel == "Prescott";
    if (!has_avx512() || !narrow || std::getenv("OPENBLAS_CORETYPE")) return {};
    return fmt::format(
        "this processor has AVX-512 but {} chose its {} kernels; OPENBLAS_CORETYPE=SkylakeX on all "
        "ranks may be faster (and gives other bits)",
        info.name, info.kernel);
}

}  // namespace evengrad
