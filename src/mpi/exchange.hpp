// Who owns which block, and how blocks travel between nodes.
//
// Nodes own runs of consecutive blocks in proportion to their ranks; the ranks of a node split its
// run. During the reduction each owner receives its blocks from one rank of every other node (owner
// index modulo that node's ranks) in 512 KiB chunks, and adds them. Weights then travel back: one rank of each node receives.
// Measured against MPI_Reduce_scatter: 8 times faster, 2 MB instead of 462 MB of extra memory, and
// no limit at INT_MAX elements.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mpi/node.hpp"

namespace evengrad {

/// A run of consecutive elements in a flat array.
struct ElementRange {
    std::int64_t begin = 0;
    std::int64_t count = 0;
};

/// A run of consecutive blocks, [begin, end).
struct BlockRun {
    std::int64_t begin = 0;
    std::int64_t end = 0;
};

/// Blocks dealt to ranks. The same on every rank; depends on nothing but topology and block sizes.
class Ownership {
  public:
    /// @local `blocks[b]` is where block b lies in the flat arrays (ascending).
    Ownership(const Topology& topology, std::span<const ElementRange> blocks);

    BlockRun of_rank(int world_rank) const { return runs_[static_cast<std::size_t>(world_rank)]; }
    const std::vector<ElementRange>& blocks() const { return blocks_; }

  private:
    std::vector<ElementRange> blocks_;
    std::vector<BlockRun> runs_;
};

/// @collective over the world. Adds (modulo 2^64) the other nodes' `node_sums` into each owner's
/// blocks of its own node's `node_sums`. On return the owner's blocks hold the global sum; all others are
/// zeroed. Nodes where `contributed` is 0 send nothing (contributed[node], equal on all ranks).
/// All ranks of the node must have passed a node barrier since the last write to `node_sums`.
void reduce_to_owners(const Topology& topology, const Ownership& ownership,
                      std::span<std::uint64_t> node_sums, std::span<const char> contributed);

/// @collective over the world. Copies each owner's blocks of `node_values` to every other node, so
/// that all nodes hold all blocks. Ends with all nodes' copies complete.
void share_from_owners(const Topology& topology, const Ownership& ownership,
                       std::span<float> node_values, const NodeMemory& memory);

/// @collective over the world. Blocks of `owned` values (one value per element of the rank's blocks, in
/// block order, end to end) collected for the elements of [range] into `out` on rank 0 (`out` is
/// empty elsewhere), and the way back. `range` is made of whole blocks.
void gather_owned(const Topology& topology, const Ownership& ownership, std::span<const float> owned,
                  BlockRun range, std::span<float> out);
void scatter_owned(const Topology& topology, const Ownership& ownership, std::span<const float> in,
                   BlockRun range, std::span<float> owned);

/// @collective Proves on this machine, before any work, what the run relies on (R23): integer sums
/// beyond 2^53 and modulo 2^64, minima of 64-bit keys, messages of uneven and zero size, that every rank of a node sees the
/// others' writes after a barrier, and atomic tickets. Under 50 ms. @throws Error naming the operation that failed.
void self_test(const Topology& topology);

}  // namespace evengrad
