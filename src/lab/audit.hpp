// What a run's gradient is worth, and what other denominators would have made of it.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lab/reference.hpp"
#include <evengrad/train.hpp>

namespace evengrad {

struct AuditConfig {
    TrainConfig train;
    std::filesystem::path resume;  ///< checkpoint whose weights are looked at; empty: initial ones
    std::vector<std::string> overrides;  ///< as LoopConfig's
    std::int64_t batches = 4;            ///< global batches looked at, from the next step on
    /// Compared with the token mean. Empty: one of each kind (reductions_to_audit).
    std::vector<LossReduction> reductions;
    std::int64_t train_iters = 0;  ///< trains each reduction so many steps; 0: none
};

/// What a weighing made of loss and gradient, measured by the double-precision token mean.
struct Weighed {
    std::string name;
    Deviation gradient;
    double loss = 0.0;          ///< nats
    double loss_shift = 0.0;    ///< from the token mean
    double weight_ratio = 1.0;  ///< Weighing::largest_ratio()
};

/// One way to cut a batch into micro-batches, and what each weighing made of it.
struct Cut {
    std::int64_t micro_batch_size = 0;  ///< sequences; 0: the run's own, packed by tokens
    std::int64_t micro_batches = 0;     ///< a step: accumulation steps, of one rank
    Unevenness unevenness;              ///< of their loss tokens
    std::vector<Weighed> weighed;       ///< the reductions, then the counts
};

/// The batch with completions cut short, which makes it more even.
struct Shortened {
    std::int64_t most = 0;  ///< loss tokens a sequence; 0: all
    Unevenness unevenness;  ///< of the sequences' loss tokens
    Cut cut;                ///< into micro-batches of the run's size
};

/// The gradient of the run itself, over all ranks, and its deviation from the double-precision
/// gradient of the run's own reduction and micro-batches.
struct Production {
    Deviation gradient;
    double loss = 0.0;
    double loss_error = 0.0;  ///< relative
};

struct AuditedBatch {
    std::int64_t step = 0;  ///< 1 for the first
    std::int64_t sequences = 0, loss_tokens = 0;
    Unevenness unevenness;  ///< of the sequences' loss tokens
    /// The largest ratio of two sequences' sums of token weights, of those that have any.
    double sequence_ratio = 1.0;
    Production production;
    std::vector<Cut> cuts;  ///< by rising number of micro-batches
    std::optional<Cut> packed;
    std::vector<Shortened> shortened;  ///< by rising length; the last is whole
};

/// Held-out losses after training with one reduction.
struct TrainedReduction {
    std::string reduction;
    std::uint64_t seed = 0;
    Evaluation evaluation;
};

struct Audit {
    std::int64_t parameters = 0;
    std::filesystem::path checkpoint;  ///< the file; empty: initial weights
    std::int64_t batches_without_loss = 0;
    std::size_t main_cut = 0;  ///< of `cuts`: micro-batches of the run's --micro-batch-size
    std::vector<AuditedBatch> batches;
    AuditedBatch mean;  ///< over batches, number by number; but the largest weight_ratio of all
    /// First the token mean, then the others; last the token mean from another seed, which says how
    /// much chance there is in the differences. Empty unless trained.
    std::vector<TrainedReduction> trained;
    /// All sequences of a step have the same weight: reductions differ in scale alone, or by ranks
    /// that get fewer micro-batches than others.
    bool is_even() const;
};

/// The token mean first, then those asked for, or one of each kind: constant with the longest
/// sequence, 4 pretended ranks.
std::vector<LossReduction> reductions_to_audit(const AuditConfig& config);

/// Told on rank 0: what is going on, how much is done, of how much.
using AuditProgress =
    std::function<void(const std::string& what, std::int64_t done, std::int64_t all)>;

/// @collective Measures, then trains if asked to. References are computed by rank 0 alone, in
/// double precision, while the others wait; the production gradient by all. `data`, `valid` (which
/// may be null without train_iters) and `progress` matter on rank 0, which alone gets the result;
/// it is the same on every layout. @throws Error as a run does; when no batch has a loss.
Audit run_audit(const Communicator& world, const AuditConfig& config, const Dataset* data,
                const Dataset* valid, const AuditProgress& progress);

}  // namespace evengrad
