// What a checkpoint file will hold, in rank 0's memory: taken between two steps, and written while
// training goes on.
#pragma once

#include "base/aligned.hpp"
#include "checkpoint/ledger_file.hpp"
#include "mpi/exchange.hpp"
#include "optimizer/optimizer.hpp"
#include <evengrad/checkpoint.hpp>

namespace evengrad {

/// Where the tensors of a run live while it runs.
struct RunTensors {
    const Topology& topology;
    const Ownership& ownership;
    const ParameterTable& table;
    std::span<float> weights;  ///< the node's flat array
    Optimizer& optimizer;
};

class Snapshot {
  public:
    /// Takes the memory for all tensors at once and touches it, so that too little of it shows
    /// here and not at the first save. @throws Error saying how much.
    Snapshot(const ParameterTable& table, int moments);

    const ParameterTable& table() const { return table_; }
    int moments() const { return moments_; }
    std::span<float> values(const Tensor& tensor, TensorPart part) {
        return values_.span().subspan(first(tensor, part), static_cast<std::size_t>(tensor.count));
    }
    std::span<const float> values(const Tensor& tensor, TensorPart part) const {
        return values_.span().subspan(first(tensor, part), static_cast<std::size_t>(tensor.count));
    }

    ModelConfig model;
    OptimizerKind optimizer = OptimizerKind::adamw;
    CheckpointState state;
    TrainingHistory history;
    LedgerPart ledger;  ///< of the steps that no segment has yet

  private:
    std::size_t first(const Tensor& tensor, TensorPart part) const {
        return static_cast<std::size_t>(static_cast<Index>(part) * table_.flat_size() +
                                        tensor.offset);
    }

    ParameterTable table_;
    int moments_;
    AlignedBuffer<float> values_;  ///< [1 + moments, flat_size]
};

/// @collective The run's tensors into rank 0's `snapshot` (null on the other ranks, which send
/// their moments, tensor by tensor). Its other fields are the caller's to fill.
void gather_tensors(const RunTensors& tensors, Snapshot* snapshot);

/// Writes `file` atomically. @local @throws Error when it can't be written; an earlier file of this
/// name is then untouched, and no part of the new one stays.
void write_checkpoint(const std::filesystem::path& file, const Snapshot& snapshot);

}  // namespace evengrad
