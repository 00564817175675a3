// Nodes: which ranks share memory, and the memory they share.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <evengrad/communicator.hpp>

namespace evengrad {

/// Where this rank stands, and where everybody does. Nodes are numbered by their lowest world rank.
class Topology {
  public:
    /// @collective Groups the ranks of `world` into nodes: those that can share memory, cut into
    /// groups of `ranks_per_node` consecutive ones (0: not cut; the last group may be smaller).
    Topology(const Communicator& world, int ranks_per_node);

    const Communicator& world() const { return world_; }  ///< a duplicate of the one given
    const Communicator& node() const { return node_; }

    int node_index() const { return node_of_[static_cast<std::size_t>(world_.rank())]; }
    int node_count() const { return static_cast<int>(ranks_of_.size()); }
    /// World ranks of a node, in node-rank order.
    const std::vector<int>& ranks_of(int node) const {
        return ranks_of_[static_cast<std::size_t>(node)];
    }
    int node_of(int world_rank) const { return node_of_[static_cast<std::size_t>(world_rank)]; }

  private:
    Communicator world_;
    Communicator node_;
    std::vector<int> node_of_;
    std::vector<std::vector<int>> ranks_of_;
};

/// One allocation that all ranks of a node see, zeroed, 64-byte aligned.
///
/// MPI_Win_allocate_shared under lock_all for its whole life. Reads and writes of different ranks
/// are ordered by `barrier()` (Win_sync, Barrier, Win_sync) or by atomics in the memory itself.
class NodeMemory {
  public:
    /// @collective over `node`. `bytes` must agree on all its ranks. `purpose` names it in errors.
    /// Each rank touches (and zeroes) its own equal share of the pages first. A node of one rank
    /// gets ordinary memory, without a segment.
    /// @throws Error, the same on every rank of the node, when /dev/shm (Open MPI: or
    /// osc_sm_backing_directory) has too little room: how much is needed, how much is free, what to
    /// change. Other nodes may have succeeded: the job must then be ended with `abort`.
    /// For tests: EVENGRAD_SHM_FREE_BYTES in the environment of node rank 0 replaces the measured
    /// free bytes (also for a node of one rank).
    NodeMemory(const Communicator& node, std::size_t bytes, const std::string& purpose);
    ~NodeMemory();
    NodeMemory(NodeMemory&&) noexcept;
    NodeMemory& operator=(NodeMemory&&) noexcept;

    std::span<std::byte> bytes() const;  ///< @local the same memory on every rank of the node
    void barrier() const;                ///< @collective over the node

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Where the memory of a node of so many ranks comes from, and how much is free there.
struct SharedMemoryRoom {
    std::string folder;
    std::int64_t free_bytes;  ///< the largest number where no limit is known: for one rank
};
SharedMemoryRoom shared_memory_room(int ranks);  ///< @local

/// Numbers drawn once each by the ranks of a node: 0, 1, 2, ... Lives in NodeMemory.
class Ticket {
  public:
    explicit Ticket(std::uint64_t& counter) : counter_(&counter) {}
    /// @local The next number; no two calls on any rank get the same one.
    std::uint64_t draw() const {
        return std::atomic_ref(*counter_).fetch_add(1, std::memory_order_relaxed);
    }
    /// @local By one rank, between barriers.
    void reset() const { std::atomic_ref(*counter_).store(0, std::memory_order_relaxed); }

  private:
    std::uint64_t* counter_;
};

/// A lock in shared memory (a zeroed 32-bit word is an open lock). Held for microseconds; yields
/// the core when it isn't free soon, since ranks may outnumber cores.
class SpinLock {
  public:
    explicit SpinLock(std::uint32_t& word);  ///< waits until it has the lock
    ~SpinLock();
    SpinLock(const SpinLock&) = delete;
    SpinLock& operator=(const SpinLock&) = delete;

  private:
    std::uint32_t* word_;
};

}  // namespace evengrad
