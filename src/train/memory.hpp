// What a run takes of memory, before there is one.
#pragma once

#include "mpi/exchange.hpp"
#include <evengrad/train.hpp>

namespace evengrad {

/// A configuration as a trainer uses it: the plan gets the model's sequence length and the seed.
/// @throws UsageError with all that makes no sense in it.
TrainConfig config_in_force(TrainConfig config);

/// Blocks as runs of the flat array, for whoever shares them out.
std::vector<ElementRange> block_ranges(const ParameterTable& table);

/// Sizes in bytes of what the ranks of a node share, in this order.
struct StoreSizes {
    explicit StoreSizes(const ParameterTable& table);
    std::size_t counter, weights, sums, locks;
    std::size_t without_sums() const { return counter + weights; }
    std::size_t all() const { return counter + weights + sums + locks; }
};

/// Moments that a rank owns.
std::size_t moment_bytes(const Ownership& ownership, int rank, const ParameterTable& table,
                         int moments);

/// Of one node, and of a rank with this much scratch.
Trainer::Memory memory_of(const Topology& topology, const Ownership& ownership,
                          const ParameterTable& table, int moments, int node,
                          std::size_t scratch_per_rank);

}  // namespace evengrad
