// The command: checks the processor, finds the verb, reports what went wrong.
//
// Compiled for the oldest processor of the family (CMakeLists.txt), so that the check below runs
// where the rest would die of an illegal instruction.
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <system_error>

#include <fmt/core.h>
#include <unistd.h>

#include "base/arch.hpp"
#include "base/log.hpp"
#include "base/output_file.hpp"
#include "commands/verbs.hpp"
#include <evengrad/error.hpp>
#include <evengrad/version.hpp>

namespace {

using evengrad::Arguments;

enum ExitCode { success = 0, failure = 1, usage = 2 };

constexpr const char* overview =
    "evengrad {}: trains language models over MPI ranks, every token of a batch weighing the same\n"
    "\n"
    "  evengrad prepare --input FILE... --output DATA.h5 [options]\n"
    "  mpirun -n R evengrad train --data FILE --save DIR [--config RECIPE] [options]\n"
    "  evengrad generate --checkpoint DIR [--prompt TEXT | --prompts FILE] [options]\n"
    "  evengrad inspect CHECKPOINT|DATA.h5 [--digest | --print-config | --verify]\n"
    "  mpirun -n R evengrad evaluate --checkpoint DIR --data FILE... [options]\n"
    "  mpirun -n R evengrad audit --data FILE... [--config RECIPE] [--resume DIR] [options]\n"
    "  evengrad diagnose RUN|CHECKPOINT [--json FILE]\n"
    "  mpirun -n R evengrad diagnose --data FILE... [--config RECIPE] [--resume DIR] [options]\n"
    "  mpirun -n R evengrad sweep --data FILE... --grid NAME=VALUE,VALUE... [options]\n"
    "  mpirun -n R evengrad bench [options]\n"
    "\n"
    "Each verb has --help. Exit codes: 0 done, 1 failed, 2 wrong use, 3 stopped early on request\n"
    "(a signal, --exit-duration-in-mins) and saved: train --resume goes on; 4 diagnose found\n"
    "something that vanishes, explodes, is saturated or dead.\n";

/// The processor must have what the library was compiled for.
bool processor_is_able() {
#if defined(__x86_64__)
    const unsigned needs = evengrad::built_for;
    std::string missing;
    const auto check = [&](unsigned feature, bool there, const char* name) {
        if ((needs & feature) && !there) missing += std::string(" ") + name;
    };
    __builtin_cpu_init();
    check(evengrad::arch_avx2, __builtin_cpu_supports("avx2"), "AVX2");
    check(evengrad::arch_fma, __builtin_cpu_supports("fma"), "FMA");
    check(evengrad::arch_bmi2, __builtin_cpu_supports("bmi2"), "BMI2");
    check(evengrad::arch_avx512f, __builtin_cpu_supports("avx512f"), "AVX512F");
    check(evengrad::arch_avx512vl, __builtin_cpu_supports("avx512vl"), "AVX512VL");
    if (!missing.empty()) {
        // Not by log_message: what says this must run on such a processor.
        fmt::print(
            stderr,
            "evengrad: error: this processor lacks{}, which this build (-march={}) needs\n"
            "hint: build on this machine: cmake -B build -DEVENGRAD_ARCH=native, or =x86-64\n",
            missing, evengrad::built_for_name);
        return false;
    }
#endif
    return true;
}

int run_local(const std::string& verb, const Arguments& arguments) {
    if (verb == "prepare") return evengrad::prepare_command(arguments);
    if (verb == "inspect") return evengrad::inspect_command(arguments);
    return evengrad::generate_command(arguments);
}

int run_collective(const std::string& verb, const evengrad::Communicator& world,
                   const Arguments& arguments) {
    if (verb == "train") return evengrad::train_command(world, arguments);
    if (verb == "evaluate") return evengrad::evaluate_command(world, arguments);
    if (verb == "audit") return evengrad::audit_command(world, arguments);
    if (verb == "diagnose") return evengrad::diagnose_command(world, arguments);
    if (verb == "sweep") return evengrad::sweep_command(world, arguments);
    return evengrad::bench_command(world, arguments);
}

/// Runs `verb`; an exception is printed once and becomes an exit code.
///
/// Many failures are found by all ranks at once. Rank 0 then speaks for them: it ends the job while
/// the others still wait. A rank that is alone with its failure speaks after that wait.
template <class Function>
int guarded(const evengrad::Communicator* world, Function&& function) {
    constexpr unsigned wait_for_rank_0_seconds = 2;
    const auto report = [&](int code, const std::string& message, const std::string& hint) {
        const bool many = world && world->size() > 1;
        if (many && world->rank() != 0) sleep(wait_for_rank_0_seconds);
        const std::string who =
            many && world->rank() != 0 ? fmt::format("rank {}: ", world->rank()) : "";
        evengrad::log_message(evengrad::LogLevel::error, who + message, hint);
        if (many) world->abort(code);
        return code;
    };
    const auto unless_output_is_lost = [&](int code) {
        const std::string lost = evengrad::lost_output();
        return lost.empty() ? code : report(failure, lost, evengrad::lost_output_hint);
    };
    try {
        return unless_output_is_lost(function());
    } catch (const evengrad::UsageError& error) {
        return report(usage, error.what(), error.hint());
    } catch (const evengrad::Error& error) {
        return report(failure, error.what(), error.hint());
    } catch (const std::bad_alloc&) {
        return report(failure, "there is not enough memory",
                      "fewer ranks a machine, a smaller model, micro-batch or --seq-length need "
                      "less; train --dry-run shows the memory of each part");
    } catch (const std::system_error& error) {
        if (std::ferror(stdout) != 0) return unless_output_is_lost(failure);  // as fmt tells of it
        return report(failure, error.what(), "");
    } catch (const std::exception& error) {
        return report(failure, error.what(), "");
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (!processor_is_able()) return failure;
    const std::string verb = argc > 1 ? argv[1] : "";
    const Arguments arguments(argv + (argc > 1 ? 2 : 1), argv + argc);
    if (verb == "--help" || verb == "-h" || verb == "help")
        return guarded(nullptr, [] {
            fmt::print(overview, evengrad::version);
            return success;
        });
    if (verb == "--version")
        return guarded(nullptr, [] {
            fmt::print("evengrad {}\n", evengrad::version);
            return success;
        });
    if (verb == "prepare" || verb == "inspect" || verb == "generate")
        return guarded(nullptr, [&] { return run_local(verb, arguments); });
    if (verb != "train" && verb != "evaluate" && verb != "audit" && verb != "diagnose" &&
        verb != "sweep" && verb != "bench") {
        if (verb.empty())
            fmt::print(stderr, overview, evengrad::version);
        else
            evengrad::log_message(evengrad::LogLevel::error,
                                  fmt::format("there is no verb '{}'", verb),
                                  "evengrad --help lists them");
        return usage;
    }
    std::optional<evengrad::Session> session;
    const int started = guarded(nullptr, [&] {
        session.emplace(argc, argv);
        if (session->world().rank() != 0) evengrad::set_log_level(evengrad::LogLevel::error);
        return success;
    });
    if (started != success) return started;
    return guarded(&session->world(),
                   [&] { return run_collective(verb, session->world(), arguments); });
}
