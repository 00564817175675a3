// Training: one step at a time, over all ranks of a communicator.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <evengrad/communicator.hpp>
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>
#include <evengrad/evaluate.hpp>
#include <evengrad/model.hpp>
#include <evengrad/optimizer.hpp>
#include <evengrad/plan.hpp>
#include <evengrad/statistics.hpp>

namespace evengrad {

template <class T>
struct LayerValues;  // model/layer_sink.hpp

/// Everything that decides what a run computes, and how it is spread.
struct TrainConfig {
    ModelConfig model;
    PlanConfig plan;
    OptimizerConfig optimizer;
    ScheduleConfig schedule;
    std::uint64_t seed = 1234;
    int ranks_per_node = 0;  ///< cut machines into nodes of this many ranks; 0: whole machines
    bool allow_mixed_cpus = false;  ///< go on when ranks don't compute the same bits
    /// A step whose gradient norm is so many standard deviations above the usual (StepRecord::
    /// norm_score) is explained: which documents it comes from. 0: never.
    double report_spike = 6.0;
    double skip_on_spike = 0.0;  ///< and its update is left out. 0: never
    /// Statistics of every tensor are recorded in the first step and every so many. 0: never
    std::int64_t stats_interval = 10;
    /// Steps (from 1, ascending) whose whole gradient is kept: StepRecord::gradient.
    std::vector<std::int64_t> save_gradients;
    /// Every so many steps the weights in memory are compared with what was written, and a micro-
    /// batch is computed by a second rank and compared. 0: never
    std::int64_t verify_interval = 100;

    std::vector<std::string> validate() const;  ///< all problems at once
};

/// Parts of a step, for timing.
enum class Phase { plan, compute, accumulate, wait, reduce, update, share };
inline constexpr std::size_t phase_count = 7;
inline constexpr std::array<const char*, phase_count> phase_names = {
    "plan", "compute", "accumulate", "wait", "reduce", "update", "share"};

/// A document of the training data.
struct DocumentId {
    std::int64_t part = 0;  ///< of Dataset::parts()
    std::int64_t document = 0;
    bool operator==(const DocumentId&) const = default;
};

/// What one document has of a step's gradient g: g_d . g / |g|^2, where g_d is what it adds to g.
struct DocumentShare {
    DocumentId document;      ///< on rank 0
    std::string description;  ///< on rank 0: file, line, how it begins
    double share = 0.0;
};

/// A step with an unusual gradient, and the micro-batch with the largest part of it.
struct Spike {
    double usual_norm = 0.0;  ///< the median of the recent steps'
    std::int64_t micro_batch = 0;
    std::vector<DocumentShare> documents;  ///< of that micro-batch, by falling share
};

/// One of the micro-batches whose gradient is largest.
struct LargeMicroBatch {
    std::int64_t micro_batch = 0;
    double norm = 0.0;                   ///< of what it adds to the mean gradient
    std::vector<std::string> documents;  ///< on rank 0: "FILE line 12", eight at most, then "..."
};

/// What is known after a step; the same on every rank (times are rank 0's), but for `phases`.
struct StepRecord {
    std::int64_t step = 0;  ///< 1 for the first
    std::int64_t epoch = 0;
    std::optional<double> loss;  ///< weighted mean, nats per token; none when no token had a loss
    std::int64_t loss_tokens = 0;
    std::int64_t tokens = 0;  ///< positions computed
    std::int64_t sequences = 0;
    std::int64_t micro_batches = 0;
    double denominator = 0.0;  ///< what summed losses and gradients were divided by; 0: no token
                               ///< had a loss, so there is no gradient
    double grad_norm = 0.0;    ///< global, of the mean gradient, before clipping
    double clipped_grad_norm = 0.0;  ///< after; 0 when the update was skipped
    /// So many standard deviations the norm is above the usual (statistics/recent_steps.hpp); none
    /// for the first steps.
    std::optional<double> norm_score;
    bool skipped = false;                  ///< no update, because of TrainConfig::skip_on_spike
    std::optional<Spike> spike;            ///< from TrainConfig::report_spike on
    std::vector<LargeMicroBatch> largest;  ///< three at most, by falling norm
    /// Unbiased estimates from this step (gradient/noise.hpp): the squared norm of the true
    /// gradient, and the summed variance of one token's. None with fewer than two micro-batches.
    std::optional<double> gradient_signal, gradient_noise;
    /// Gradient noise scale of the recent steps, tokens, and its standard error.
    std::optional<double> noise_scale, noise_scale_error;
    double lr = 0.0;
    /// Elements of all contributions that weren't 0 but too small for their tensor's quantum (about
    /// 2^-41 of its largest): they count as 0.
    std::int64_t rounded_to_zero = 0;
    double rounding = 0.0;       ///< by how much rounding can have changed the norm of the gradient
                                 ///< before it was divided, at most
    std::uint64_t checksum = 0;  ///< of the global gradient sums
    double probe = 0.0;          ///< of the gradient that the optimizer took (gradient/probe.hpp)
    bool updated = false;        ///< the weights were
    /// Of a step that updated the weights, when TrainConfig::stats_interval asks for them.
    std::optional<StepStatistics> statistics;
    /// Of a step in TrainConfig::save_gradients, on rank 0: [flat size] the gradient that grad_norm
    /// is the norm of. Empty when no token had a loss.
    std::vector<float> gradient;
    bool recomputed = false;  ///< a tensor's quantum didn't fit and the step was computed twice
    double seconds = 0.0;     ///< wall time (rank 0's)
    std::array<double, 3>
        busy{};                ///< share of the compute phase that ranks computed: min, mean, max
    std::vector<double> idle;  ///< [ranks] seconds of that phase in which a rank computed nothing
    std::array<double, phase_count> phases{};  ///< seconds
};

/// One line of the ledger, as the public sees it: who computed which micro-batch.
struct LedgerEntry {
    double loss = 0.0;
    double weight = 0.0;
    std::int64_t tokens = 0;
    double squared_norm = 0.0;
    std::int64_t rank = 0;
    double seconds = 0.0;
};

/// Places where tests put in what must not happen by itself. Steps are counted from 1, and all
/// ranks must be given the same hooks.
struct TestHooks {
    /// Another order of a node's micro-batches.
    std::function<void(std::vector<std::int64_t>&)> order;
    std::int64_t misfit_at_step = 0;    ///< pretend that quanta are 2^30 too fine
    bool misfit_twice = false;          ///< and again when the step is computed once more
    std::int64_t nan_at_step = 0;       ///< plant a NaN in
    std::int64_t nan_micro_batch = 0;   ///<   this micro-batch's
    std::string nan_tensor;             ///<   gradient of this tensor
    std::int64_t lose_row_at_step = 0;  ///< forget one ledger row
    /// Bits that flip in memory: of a node's sums before they are reduced, of its weights before a
    /// step's micro-batches, of the values that pass through a layer. Called on every rank.
    std::function<void(std::int64_t step, int rank, std::span<std::uint64_t> sums)> sums;
    std::function<void(std::int64_t step, int rank, std::span<float> weights)> weights;
    std::function<void(std::int64_t step, int rank, std::int64_t micro_batch, std::int64_t layer,
                       const LayerValues<float>& values)>
        layer;
    /// Seconds that a micro-batch of so many operations takes at least on this rank: a slow
    /// machine.
    std::function<double(int rank, double flops)> pace;
    /// Instead of ending a job that stands still: what would be said (train/watchdog.hpp).
    std::function<void(const std::string& what, const std::string& hint)> end_job;
};

/// A run's numbers have outgrown their type: a gradient, a weight or a held-out loss is not a
/// number. Thrown by all ranks of the trainer's communicator alike, which then can do no more than
/// go away.
class DivergedError : public Error {
    using Error::Error;
};

/// Trains a model. All ranks of the communicator make one and call its @collective functions in the
/// same order; only rank 0 needs data.
class Trainer {
  public:
    /// @collective Weights are initialized from the seed. `data` matters on rank 0 only, and must
    /// outlive the trainer. @throws Error: configuration, shared memory, mixed CPUs, self-test.
    Trainer(const Communicator& world, const TrainConfig& config, const Dataset* data,
            TestHooks hooks = {});
    ~Trainer();
    Trainer(Trainer&&) noexcept;

    /// @collective One global batch: plan, compute, sum, normalize, clip, update.
    /// @throws DivergedError: a gradient or weight that is no number (naming tensor, step,
    /// micro-batch, documents). Error: corrupted sums, a second misfit, a ledger that isn't as
    /// planned.
    StepRecord step();

    /// @collective The loss of `data` (rank 0's), or of `most_sequences` of it
    /// (EvaluateConfig::most_sequences). @throws Error as evaluate_checkpoint does.
    Evaluation evaluate(const Dataset* data, std::int64_t most_sequences = 0);

    std::int64_t steps_done() const;  ///< @local
    const TrainConfig& config() const;
    const ParameterTable& parameters() const;
    std::span<const float> weights() const;          ///< @local the flat array, shared in the node
    const std::vector<LedgerEntry>& ledger() const;  ///< @local of the last step, in plan order

    /// @collective Digest of weights, moments and resume state, on every rank.
    std::string digest();

    /// Memory of one node, bytes, by part (the first three shared); this rank's scratch; and what
    /// rank 0 saves from.
    struct Memory {
        std::size_t weights, sums, locks, moments, scratch_per_rank, snapshot;
    };
    Memory memory() const;   ///< @local
    int node_count() const;  ///< @local
    /// @local False when --allow-mixed-cpus let different arithmetic pass: no bit-identity then.
    bool ranks_compute_alike() const;

    struct State;  ///< for the rooms that save and restore a run (train/state.hpp)
    State& state() { return *state_; }

  private:
    std::unique_ptr<State> state_;
};

/// Digest of this machine's arithmetic: a real matrix product, exp, tanh and their like. @local
std::string arithmetic_fingerprint();

}  // namespace evengrad
