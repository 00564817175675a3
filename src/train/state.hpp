// The inside of a Trainer: what a run consists of between two steps.
#pragma once

#include "checkpoint/save.hpp"
#include "gradient/accumulator.hpp"
#include "gradient/ledger.hpp"
#include "gradient/quantum.hpp"
#include "model/model.hpp"
#include "mpi/exchange.hpp"
#include "mpi/node.hpp"
#include "optimizer/optimizer.hpp"
#include "statistics/recent_steps.hpp"
#include "train/node_speeds.hpp"
#include "train/verification.hpp"
#include <evengrad/train.hpp>

namespace evengrad {

/// What the ranks of a node share: one copy of the weights, and when training one of the integer
/// sums.
class NodeStore {
  public:
    /// What is in it: an evaluation needs no sums.
    enum class Holds { weights, weights_and_sums };

    /// @collective over the node.
    NodeStore(const Topology& topology, const ParameterTable& table,
              Holds holds = Holds::weights_and_sums);

    std::span<float> weights() const { return weights_; }
    NodeSum sum() const { return {sums_, locks_}; }
    Ticket ticket() const { return Ticket(*counter_); }
    const NodeMemory& memory() const { return memory_; }
    void barrier() const { memory_.barrier(); }  ///< @collective over the node

  private:
    NodeMemory memory_;
    std::span<float> weights_;
    std::span<std::uint64_t> sums_;
    std::span<std::uint32_t> locks_;
    std::uint64_t* counter_;
};

/// Adds up the seconds of a step's phases, and tells the watchdog which one it is. One phase runs
/// at a time; accumulation happens inside compute and is moved from there.
class PhaseClock {
  public:
    /// `step` is in Phase::plan.
    explicit PhaseClock(std::int64_t step);
    /// The phase so far ends, another begins.
    void enter(Phase phase);
    void end();
    void move(Phase from, Phase to, double seconds);
    const std::array<double, phase_count>& seconds() const { return seconds_; }

  private:
    std::int64_t step_;
    Phase phase_ = Phase::plan;
    double last_;
    std::array<double, phase_count> seconds_{};
};

/// Seconds of a clock that never goes back.
double monotonic_seconds();

/// @collective Weights that rank 0's node holds, on every node.
void share_weights_from_root(const Topology& topology, const NodeStore& store);

struct Trainer::State {
    State(const Communicator& world, const TrainConfig& config, const Dataset* data,
          TestHooks hooks);

    bool is_root() const { return topology.world().rank() == 0; }
    BlockRun owned() const { return ownership.of_rank(topology.world().rank()); }
    /// @local State of the run; the options' text is the caller's to add.
    CheckpointState checkpoint_state() const;
    RunTensors tensors() { return {topology, ownership, table, store.weights(), optimizer}; }
    void reserve_scratch();  ///< @collective
    void share_weights_from_root() { evengrad::share_weights_from_root(topology, store); }

    TrainConfig config;
    TestHooks hooks;
    Topology topology;
    NodeSpeeds speeds;
    ParameterTable table;
    Ownership ownership;
    NodeStore store;
    QuantumTable quanta;
    Optimizer optimizer;
    std::unique_ptr<Model<float>> model;
    Accumulator accumulator;
    const Dataset* data;
    std::optional<Planner> planner;  ///< rank 0
    std::string data_digest;         ///< rank 0: so that resuming on other data is noticed
    std::int64_t steps_done = 0;
    std::int64_t updates_done = 0;  ///< steps that had a gradient: Adam's t
    /// Times that reduce_on_plateau has lowered the rate: a function of the evaluations, which are
    /// the loop's.
    std::int64_t lr_reductions = 0;
    RecentSteps recent;  ///< before the next step; alike on all ranks
    Ledger ledger;
    std::vector<LedgerEntry> entries;
    Verification verification;
    bool ranks_compute_alike = true;
};

/// A step's line in the history of its run. @local
void append(TrainingHistory& history, const StepRecord& record);

/// @collective All that a checkpoint of the run as it is now will hold; `snapshot` is rank 0's,
/// null elsewhere. `history` and `options` matter on rank 0 only.
void take_snapshot(Trainer::State& state, const TrainingHistory& history,
                   const std::string& options, Snapshot* snapshot);

/// @collective Throws Error (naming ranks, hosts and what to do) unless all ranks have one
/// fingerprint; with `allow_mixed` it only says whether they do.
bool check_fingerprints(const Communicator& world, bool allow_mixed);

}  // namespace evengrad
