#include "mpi/node.hpp"

#include <algorithm>

#include <sched.h>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// The ranks of `world` that share memory, cut into groups of `ranks_per_node`.
Communicator node_of(const Communicator& world, int ranks_per_node) {
    Communicator shared = world.split_shared();
    if (ranks_per_node == 0) return shared;
    return shared.split(shared.rank() / ranks_per_node, shared.rank());
}

int refuse_negative(int ranks_per_node) {
    if (ranks_per_node < 0)
        throw UsageError(fmt::format("--ranks-per-node is {}", ranks_per_node),
                         "Give the ranks that share one copy of the weights, or 0 for all ranks of "
                         "a machine.");
    return ranks_per_node;
}

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

}  // namespace

Topology::Topology(const Communicator& world, int ranks_per_node)
    : world_((refuse_negative(ranks_per_node), world.duplicate())),
      node_(evengrad::node_of(world_, ranks_per_node)) {
    // Both splits keep the order of world ranks, so a node's rank 0 is its lowest.
    std::int64_t leader = world_.rank();
    node_.broadcast(std::span(&leader, 1), 0);
    const std::vector<std::int64_t> leaders = world_.all_gather(leader);

    std::vector<std::int64_t> nodes = leaders;
    std::sort(nodes.begin(), nodes.end());
    nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
    ranks_of_.resize(nodes.size());
    for (std::size_t rank = 0; rank < leaders.size(); ++rank) {
        const auto node = std::lower_bound(nodes.begin(), nodes.end(), leaders[rank]);
        const auto index = static_cast<std::size_t>(node - nodes.begin());
        node_of_.push_back(static_cast<int>(index));
        ranks_of_[index].push_back(static_cast<int>(rank));
    }
}

// Across processes an atomic must not hide a lock of one process.
static_assert(std::atomic_ref<std::uint32_t>::is_always_lock_free);
static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free);

SpinLock::SpinLock(std::uint32_t& word) : word_(&word) {
    constexpr int patience = 64;  // about 2 microseconds before the core is given away
    std::atomic_ref<std::uint32_t> lock(word);
    for (int spins = 0;; ++spins) {
        if (lock.load(std::memory_order_relaxed) == 0 &&
            lock.exchange(1, std::memory_order_acquire) == 0)
            return;
        if (spins < patience)
            pause();
        else
            sched_yield();
    }
}

SpinLock::~SpinLock() {
    std::atomic_ref(*word_).store(0, std::memory_order_release);
}

}  // namespace evengrad
