// When a run stands still: who is at fault, from what the ranks of a host say of themselves.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <evengrad/train.hpp>

namespace evengrad {

/// What a rank is at: a step's phase (as Phase), or what comes between steps.
enum class Activity : std::uint32_t {
    plan,
    compute,
    accumulate,
    wait,
    reduce,
    update,
    share,
    evaluate,
    save,
    report,
};
inline constexpr std::array<const char*, phase_count + 3> activity_names = {
    phase_names[0], phase_names[1], phase_names[2], phase_names[3], phase_names[4],
    phase_names[5], phase_names[6], "evaluate",     "save",         "report"};
static_assert(static_cast<std::size_t>(Activity::evaluate) == phase_count);

/// A rank's line in the table of its host, one cache line. Written by its watchdog's thread alone,
/// so that a process that is stopped shows in `alive`, and a main thread that is stuck in `beats`.
struct alignas(64) Heartbeat {
    std::uint64_t alive = 0;  ///< grows with every look; 0: isn't watched, or isn't any more
    std::uint64_t beats = 0;  ///< grows as the rank gets on (Pulse)
    std::uint64_t waits = 0;  ///< 1: the main thread waits for other ranks
    std::uint64_t step = 0;
    std::uint64_t activity = 0;
};

/// Whose fault it is that nothing goes on.
struct Stall {
    enum class Fault {
        silent,    ///< a rank whose process is stopped or frozen
        stuck,     ///< a rank that runs, doesn't wait for others, and gets nothing done
        elsewhere  ///< no rank of this host: all of them wait
    };
    Fault fault;
    std::size_t rank;  ///< in the host; of `elsewhere` the first
    double seconds;    ///< for so long
};

/// One rank's view of the heartbeats of its host. Knows no clock and no threads.
class StallWatch {
  public:
    /// How often it looks, seconds.
    static constexpr double interval = 1.0;

    /// `beats`: the table as it is, `now`: seconds of a clock that never goes back. A rank that has
    /// been at fault for `patience` seconds is named. A host where all only wait says so after
    /// twice as long: another one, where the fault is, can then name the rank.
    ///
    /// What went by between two looks counts as one interval at most: while this process didn't
    /// run, the others may not have, either. So a job that was suspended as a whole doesn't stand
    /// still.
    std::optional<Stall> look(std::span<const Heartbeat> beats, double now, double patience);

  private:
    struct Rank {
        Heartbeat last;
        double alive_at = 0.0, beat_at = 0.0;  ///< when it changed
    };
    std::vector<Rank> ranks_;
    double last_look_ = 0.0, watched_ = 0.0;
};

/// Seconds without a sign of progress that make a stall: as asked, or ten times the median of the
/// last steps and at least 300. As long as no step is done, nobody knows: an hour.
double stall_patience(std::optional<double> asked, std::optional<double> median_step);

/// What is said of it. The ranks are those of the host `host`, by their ranks in the job; `others`
/// are the hosts that it could be waiting for.
std::string stall_text(const Stall& stall, const Heartbeat& beat, std::span<const int> ranks,
                       const std::string& host, std::span<const std::string> others);

}  // namespace evengrad
