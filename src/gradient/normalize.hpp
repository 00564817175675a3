// From a node's sums to the gradient that may be used: three types, one direction.
//
//     NodeSum  --reduce-->  GlobalSum  --normalize-->  MeanGradient
//
// Clipping, statistics and the optimizer accept a MeanGradient only, so they can't see a sum that
// is local, or not yet divided.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gradient/accumulator.hpp"
#include "mpi/exchange.hpp"

namespace evengrad {

/// What a step's sums are divided by, and which step that is: a denominator of another window than
/// the optimizer's is an error, not a silent factor (R18).
struct Denominator {
    double value = 0.0;
    std::int64_t step = 0;
};

/// Sums over all ranks, in the blocks that this rank owns; quanta, undivided.
class GlobalSum {
  public:
    /// @collective See reduce_to_owners. All ranks of the node are past a barrier since their last
    /// contribution.
    static GlobalSum reduce(const NodeSum& node_sum, const Topology& topology,
                            const Ownership& ownership, std::span<const char> contributed,
                            std::int64_t step);

  private:
    friend class MeanGradient;
    GlobalSum(std::span<std::uint64_t> sums, BlockRun owned, std::int64_t step)
        : sums_(sums), owned_(owned), step_(step) {}
    std::span<std::uint64_t> sums_;
    BlockRun owned_;
    std::int64_t step_;
};

/// The global, normalized, unclipped gradient: sum / denominator.
class MeanGradient {
  public:
    /// @collective One pass over the owned blocks: norm, and checksum against the ledger's.
    /// @throws Error (on every rank) when they differ: an addend, a sum or a message was corrupted.
    static MeanGradient normalize(GlobalSum&& sum, const ParameterTable& table,
                                  const QuantumTable& quanta, Denominator denominator,
                                  std::uint64_t ledger_checksum, const Communicator& world);

    /// Global L2 norm over all tensors, from block sums in block order: the same on every layout.
    double norm() const { return norm_; }
    /// Of the global sums, which was that of all contributions.
    std::uint64_t checksum() const { return checksum_; }
    /// @collective What was taken of the probed tensors measures (gradient/probe.hpp), added up in
    /// the order of tensors: the same on every layout.
    double probe_of_taken(const Communicator& world) const;
    BlockRun owned() const { return owned_; }

    /// Scalar products with `values`, elements [begin, begin + size) of the flat array inside
    /// `tensor`, of the part in each block that this rank owns: added to by_block[block]. @local
    void add_products(const ParameterTable& table, Index tensor, Index begin,
                      std::span<const float> values, std::span<double> by_block) const;

    /// Elements [begin, begin + count) of the flat array, inside `tensor` and an owned block, as
    /// floats. Not after they were taken. @local
    void look(Index tensor, Index begin, Index count, float* out) const;

    /// Elements [begin, begin + count) of the flat array, inside `tensor` and an owned block, times
    /// `factor`, as floats; their sums are zeroed for the next step. Each may be taken once.
    void take(Index tensor, Index begin, Index count, double factor, float* out) const;

  private:
    MeanGradient() = default;
    std::span<std::uint64_t> sums_;
    BlockRun owned_;
    const QuantumTable* quanta_ = nullptr;
    double denominator_ = 1.0;
    double norm_ = 0.0;
    std::uint64_t checksum_ = 0;
    const ParameterTable* table_ = nullptr;
    mutable std::vector<double> probes_;  ///< [tensors], of what this rank took
};

/// Factor that brings the gradient's norm to at most `largest` (0: no limit); as PyTorch's
/// clip_grad_norm_: min(1, largest / (norm + 1e-6)).
double clip_factor(const MeanGradient& gradient, double largest);

}  // namespace evengrad
