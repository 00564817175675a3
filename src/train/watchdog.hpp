// Ends a job that stands still, and says who is at fault.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "mpi/node.hpp"
#include "train/stall.hpp"

namespace evengrad {

/// The main thread begins something in a step. (For tests: EVENGRAD_STALL="RANK STEP ACTIVITY" in
/// the environment of a watched rank makes its main thread stand still there.)
void begin_activity(std::int64_t step, Activity activity);

/// Watches the ranks of this rank's host as long as it lives, from a thread that never calls MPI
/// and gets no signals.
class Watchdog {
  public:
    /// Ends the job with this message, which is empty on the ranks of a host that don't speak. An
    /// empty function means end_job().
    using Ending = std::function<void(const std::string& what, const std::string& hint)>;

    /// @collective over `world`. `host`: the ranks that share memory, however `--ranks-per-node`
    /// cuts them.
    Watchdog(const Communicator& world, const Communicator& host, double patience,
             Ending ending = {});
    ~Watchdog();  ///< @collective over the host, unless an exception unwinds
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    void set_patience(double seconds) { patience_ = seconds; }  ///< @local

    /// Says it and ends this process in a way that a launcher takes for a failure of the job. Calls
    /// nothing that the stall could hold up.
    [[noreturn]] static void end_job(const std::string& what, const std::string& hint);

  private:
    void watch();
    void publish();

    NodeMemory memory_;
    std::span<Heartbeat> table_;
    std::uint64_t* speaker_;  ///< after the table: 1 once a rank of the host speaks
    std::vector<int> ranks_;  ///< of the host, in the job
    std::size_t own_;
    std::string host_;
    std::vector<std::string> others_;
    std::atomic<double> patience_;
    Ending ending_;

    std::mutex mutex_;
    std::condition_variable end_of_watch_;
    bool ends_ = false;
    std::thread thread_;
};

}  // namespace evengrad
