// How large a checkpoint file will be.
#pragma once

#include <cstdint>

#include <evengrad/checkpoint.hpp>

namespace evengrad {

/// Bytes of a checkpoint of this model after so many steps and evaluations; of `state` the texts
/// count; without statistics. Within 1 % of the file, which HDF5's own bookkeeping keeps
/// from being exact. @local
std::size_t checkpoint_bytes(const ParameterTable& table, int moments, const CheckpointState& state,
                             std::int64_t steps, std::int64_t evaluations);

/// Bytes that the statistics of so many recorded steps, of tensors and of layers with an
/// activation, take in a checkpoint, and in history.h5; give or take what compression makes of
/// them. @local
std::size_t statistics_bytes(const ParameterTable& table, std::size_t layers,
                             std::int64_t recorded_steps);
/// And in rank 0's memory, the copy from which they are saved included. @local
std::size_t statistics_memory(const ParameterTable& table, std::size_t layers,
                              std::int64_t recorded_steps);

/// Bytes that the ledger of so many steps and micro-batches takes, in so many segments; give or
/// take what compression makes of it. @local
std::size_t ledger_bytes(std::int64_t steps, std::int64_t micro_batches, std::int64_t segments);

}  // namespace evengrad
