// Checkpoints written while training goes on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "checkpoint/snapshot.hpp"

namespace evengrad {

/// What became of a checkpoint.
struct SaveResult {
    std::int64_t step = 0;
    std::filesystem::path file;
    bool saved = false;         ///< `file` is complete, on the disk, and `latest` points to it
    std::string problem, hint;  ///< why not; or what else went wrong (an old file that can't go)
    double seconds = 0.0;       ///< that writing took
};

/// Writes snapshots to a run's folder, one at a time, in a thread of its own. HDF5 is not
/// thread-safe: between `start` and the end of `wait` nobody else in this process may call it. The
/// thread never calls MPI, gets no signals, and ends the process on no error. Used on rank 0.
class CheckpointWriter {
  public:
    /// `step`: where the run begins or goes on; files of later steps in `folder` aren't its own.
    CheckpointWriter(std::filesystem::path folder, const Retention& retention, std::int64_t step,
                     Snapshot snapshot);
    ~CheckpointWriter();  ///< waits
    CheckpointWriter(const CheckpointWriter&) = delete;
    CheckpointWriter& operator=(const CheckpointWriter&) = delete;

    /// What is written. To be touched only when nothing is being written.
    Snapshot& snapshot() { return snapshot_; }

    /// Begins to write the snapshot's ledger, and the rest of it as folder/step-NNNNNNNN.h5, then
    /// to move `latest` and `best`, then to remove what the retention says. When it fails nothing
    /// has changed, but for ledger segments that are written: what the snapshot's ledger still has
    /// is for the next attempt.
    void start();
    /// The result of what was started, once, and only if it has ended.
    std::optional<SaveResult> poll();
    /// Waits for the end, so long at most. True when nothing is being written.
    bool ends_within(double seconds);
    /// Waits for the end; the result unless `poll` gave it.
    std::optional<SaveResult> wait();

  private:
    void write() noexcept;
    void publish();

    std::filesystem::path folder_;
    Retention retention_;
    std::int64_t newest_;  ///< step of the newest checkpoint that belongs to this run's past
    Snapshot snapshot_;
    std::thread thread_;
    std::atomic<bool> ended_ = false;
    std::mutex mutex_;
    std::condition_variable end_;
    SaveResult result_;  ///< the thread's until `ended_`
};

}  // namespace evengrad
