// Runs that end before their last step, in good order: on a signal, or when their time is up.
#pragma once

#include <csignal>
#include <deque>
#include <optional>
#include <string>

#include <evengrad/communicator.hpp>

namespace evengrad {

/// While one lives, SIGUSR1, SIGUSR2 and SIGTERM only ask this process's run to end after the step
/// at hand, and SIGXFSZ is ignored (a file at its limit is then a failed write like any other). The
/// destructor puts back what was there. One at a time; the main thread's. @local
class StopSignals {
  public:
    StopSignals();
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

    /// What was asked so far, and from now on, ends the process at once: for who has nothing to
    /// finish. (Not what the handlers of before do: Open MPI's swallows SIGUSR1.)
    void end_at_once();

    /// From now on the three are ignored, also afterwards: the process ends, and with its own exit
    /// code. (Who asks may ask again; srun -K1 sends SIGTERM to all other ranks when the first has
    /// ended with one.)
    void ignore_for_good();

  private:
    void set_for_good(void (*handler)(int));

    static constexpr int handled = 4;
    struct sigaction before_[handled] {};
};

/// Decides between steps whether the run is to end, the same on all ranks.
class StopRule {
  public:
    /// `minutes`: of the life of rank 0's process; 0: as long as it takes.
    StopRule(const Communicator& world, double minutes);

    /// @collective After each step. Empty: go on. Otherwise why not, e.g. "SIGUSR2 on rank 1".
    /// `step_seconds`: what this step took, `save_seconds`: what saving is going to take. The time
    /// limit counts as reached when another step as long as the median of the last ones, and the
    /// save, would exceed it.
    std::string reason(double step_seconds, double save_seconds);

    /// Of the last steps, seconds; none before the first.
    std::optional<double> median_step() const;

  private:
    const Communicator& world_;
    double minutes_;
    std::deque<double> steps_;  ///< seconds of the last ones
};

/// Median of the values. [at least one]
double median(std::deque<double> values);

/// What remains of a time limit decides: seconds used, of one more step, of a save, allowed.
bool leaves_no_time(double used, double step, double save, double allowed);

}  // namespace evengrad
