#include <cmath>
#include <map>

#include "base/digest.hpp"
#include "kernels/attention.hpp"
#include "kernels/exponential.hpp"
#include "train/state.hpp"

namespace evengrad {

std::string arithmetic_fingerprint() {
    // Shapes that reach the main loop and the edges of a BLAS kernel; values from Philox.
    constexpr Index m = 67, n = 129, k = 300;
    AlignedBuffer<float> a(m * k), b(k * n), c(m * n);
    const Philox philox(1, RandomPurpose::test);
    const auto fill = [&](AlignedBuffer<float>& values, std::uint32_t stream) {
        for (Index i = 0; i < values.size(); ++i)
            values[i] = static_cast<float>(
                uniform_open(philox(static_cast<std::uint32_t>(i), stream)[0]) - 0.5);
    };
    fill(a, 0);
    fill(b, 1);
    Digest digest;
    for (const Transpose transpose : {Transpose::no, Transpose::yes}) {
        const bool yes = transpose == Transpose::yes;
        const auto right = yes ? matrix(b.data(), n, k) : matrix(b.data(), k, n);
        multiply<float>(matrix(a.data(), m, k), Transpose::no, right, transpose,
                        matrix(c.data(), m, n));
        digest.add(std::span<const float>(c.span()));
    }
    // The math library's functions that touch a result, and our own exp.
    for (Index i = 0; i < m * k; ++i) {
        const double x = static_cast<double>(a[i]) * 8.0;
        digest.add(exponential(a[i] * 40.0f));
        digest.add(std::exp(x));
        digest.add(std::tanh(x));
        digest.add(std::log(x * x + 1e-3));
        digest.add(std::log(std::fabs(a[i]) + 1e-6f));
        digest.add(std::cos(x));
        digest.add(std::sin(x));
        digest.add(std::pow(std::fabs(x) + 0.1, 3.3));
    }
    // Whether numbers below 1.2e-38 are flushed to 0.
    volatile float small = 1e-30f;
    digest.add(small * 1e-10f);
    return digest.hex();
}

bool check_fingerprints(const Communicator& world, bool allow_mixed) {
    const auto prints = world.all_gather(arithmetic_fingerprint());
    const auto hosts = world.all_gather(Session::host_name());
    std::map<std::string, std::string> groups;  // fingerprint -> who
    for (std::size_t r = 0; r < prints.size(); ++r) {
        std::string& who = groups[prints[r]];
        if (who.size() < 120) who += fmt::format("{}{} ({})", who.empty() ? "" : ", ", r, hosts[r]);
    }
    if (groups.size() == 1) return true;
    if (allow_mixed) return false;
    std::string message = "the ranks' processors don't compute the same bits:";
    for (const auto& [print, who] : groups)
        message += fmt::format("\n  arithmetic {}: ranks {}", print.substr(0, 8), who);
    throw Error(message,
                "set the same OPENBLAS_CORETYPE (e.g. Haswell) on all ranks so that BLAS uses one "
                "kernel, or pass --allow-mixed-cpus to go on without bit-identical results");
}

}  // namespace evengrad
