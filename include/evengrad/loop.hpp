// A whole training run: steps, evaluations, checkpoints, and those who watch.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <evengrad/checkpoint.hpp>
#include <evengrad/history.hpp>
#include <evengrad/train.hpp>

namespace evengrad {

/// Options that decide which tokens a step sees and how they count. A run that goes on from a
/// checkpoint has the same, unless LoopConfig::overrides names what changes.
inline constexpr std::array<const char*, 7> overridable_options = {"data",
                                                                   "seed",
                                                                   "dropout",
                                                                   "sequences",
                                                                   "global-batch-size",
                                                                   "micro-batch-size",
                                                                   "micro-batch-tokens"};

/// Where a run saves, and how often it does what. Intervals are in steps; 0: never.
struct LoopConfig {
    std::filesystem::path save_dir;
    bool overwrite = false;        ///< a folder with an earlier run is emptied of it
    std::filesystem::path resume;  ///< checkpoint or run folder to go on from; empty: start anew
    std::vector<std::string> overrides;  ///< of overridable_options, what may change on resuming
    std::int64_t save_interval = 0;      ///< the last step is always saved
    Retention retention;                 ///< which checkpoints stay when newer ones are there
    std::int64_t eval_interval = 0;      ///< with held-out data the last step is always evaluated
    /// An evaluation looks at so many global batches of sequences at most, the same ones every time
    /// (EvaluateConfig::most_sequences). 0: all.
    std::int64_t eval_iters = 0;
    std::int64_t early_stop_patience = 0;  ///< stops_early()
    double early_stop_min_delta = 0.0;     ///< nats per token
    /// End in good order before rank 0's process is this old. 0: no limit.
    double exit_duration_in_mins = 0.0;
    /// Where nothing gets on for so many seconds the job is ended, with a message that names the
    /// rank at fault (train/watchdog.hpp). 0: never; none: ten times the median step, at least 300.
    std::optional<double> stall_timeout = 0.0;
    std::string options;  ///< the resolved recipe, kept in checkpoints
};

/// How a run ended. The same on every rank, but for `saved`, which only rank 0 knows.
struct RunEnd {
    std::int64_t step = 0;
    std::string stopped_by;       ///< e.g. "SIGUSR2 on rank 1"; empty: nothing is left to do
    std::filesystem::path saved;  ///< the newest checkpoint
};

/// What is known when a run begins. The same on every rank, but for what only rank 0 knows.
struct RunStart {
    const Trainer& trainer;
    const TrainingHistory& history;
    std::int64_t first_step = 1;  ///< the step that comes next
    std::int64_t sequences = 0;   ///< in the training data
    std::int64_t steps_per_epoch = 0;
    std::int64_t train_tokens = 0, valid_tokens = 0;
    std::filesystem::path save_dir;
    std::filesystem::path resumed_from;  ///< empty: a new run
};

/// Watches a run. Called on rank 0 only, between steps, in the order the observers were given;
/// nothing an observer sees may be changed by it. To add one: one file, one line in commands/train.
class Observer {
  public:
    virtual ~Observer() = default;
    virtual void on_start(const RunStart&) {}
    virtual void on_step(const StepRecord&) {}
    virtual void on_evaluation(std::int64_t /*step*/, const Evaluation&) {}
    /// The file is published. It was taken after `step`; training may have gone on since.
    virtual void on_checkpoint(std::int64_t /*step*/, const std::filesystem::path&) {}
    virtual void on_end(std::int64_t /*steps*/) {}
};

/// @collective Trains up to schedule.train_iters steps, resuming first when asked to. `valid` may
/// be null; like `observers` it matters on rank 0 only. Every checkpoint is
/// save_dir/step-NNNNNNNN.h5, published atomically, with `latest` a link to the newest.
/// With held-out data `best` is a link to the one with the lowest held-out loss of those that are
/// there; when evaluations come at an interval each that is the best so far is saved.
///
/// Checkpoints are written by a thread of rank 0 while training goes on: until this returns, nobody
/// else on rank 0 may use HDF5. One that can't be written is a warning, and the next interval tries
/// again; only the last one of a run must be.
///
/// The run ends early, after a save, when a signal or the time limit asks for it (train/stop.hpp:
/// whoever wants signals to count holds a StopSignals meanwhile).
/// @throws Error
RunEnd run_training(Trainer& trainer, const LoopConfig& config, const Dataset* valid,
                    const std::vector<Observer*>& observers);

/// @collective Puts the trainer where a checkpoint was, on any number of ranks. Architecture,
/// optimizer and loss reduction must be the checkpoint's, and overridable_options unless named in
/// `overrides`; rank 0 reads, and its arguments count. Of a folder it is the newest checkpoint that
/// is sound (open_checkpoint). Returns the file, on rank 0. @throws Error naming both values where
/// they differ.
std::filesystem::path restore(Trainer& trainer, const std::filesystem::path& checkpoint,
                              TrainingHistory& history,
                              const std::vector<std::string>& overrides = {});

/// @collective Saves to save_dir/step-NNNNNNNN.h5 and moves the `latest` link. Returns the file.
/// @throws Error on rank 0 when it can't be written.
std::filesystem::path save(Trainer& trainer, const std::filesystem::path& save_dir,
                           const TrainingHistory& history, const std::string& options);

}  // namespace evengrad
