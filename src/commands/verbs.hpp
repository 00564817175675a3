// The verbs of the command line. Each returns the process's exit code.
#pragma once

#include <string>
#include <vector>

#include "report/progress.hpp"
#include <evengrad/communicator.hpp>

namespace evengrad {

using Arguments = std::vector<std::string>;

/// Exit code of a run that was asked to end before its last step: saved, to be resumed.
inline constexpr int stopped_early = 3;
/// Exit code of a diagnosis that found something wrong.
inline constexpr int unsound = 4;

/// @collective
int train_command(const Communicator& world, const Arguments& arguments);
int evaluate_command(const Communicator& world, const Arguments& arguments);
int audit_command(const Communicator& world, const Arguments& arguments);
int diagnose_command(const Communicator& world, const Arguments& arguments);
int sweep_command(const Communicator& world, const Arguments& arguments);
int bench_command(const Communicator& world, const Arguments& arguments);

/// @local These need no MPI.
int prepare_command(const Arguments& arguments);
int inspect_command(const Arguments& arguments);
int generate_command(const Arguments& arguments);

/// Prepares this process for work: rounding mode, one BLAS thread. Every verb that computes calls
/// it first. Returns what the banner says. @local
MachineSummary prepare_machine();

}  // namespace evengrad
