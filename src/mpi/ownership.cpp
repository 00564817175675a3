#include <algorithm>
#include <cstddef>

#include "mpi/exchange.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

std::vector<BlockRun> cut_blocks(std::span<const ElementRange> blocks, BlockRun run,
                                 std::span<const std::int64_t> weights) {
    std::int64_t elements = 0;
    for (std::int64_t b = run.begin; b < run.end; ++b)
        elements += blocks[static_cast<std::size_t>(b)].count;
    std::int64_t total_weight = 0;
    for (const std::int64_t weight : weights) total_weight += weight;
    EVENGRAD_CHECK(elements < (std::int64_t{1} << 61) / std::max<std::int64_t>(total_weight, 1),
                   "{} elements over {} ranks", elements, total_weight);

    std::vector<BlockRun> parts;
    std::int64_t block = run.begin;
    std::int64_t before = 0;  // elements of the run ahead of `block`
    std::int64_t weight_so_far = 0;
    for (std::size_t part = 0; part < weights.size(); ++part) {
        weight_so_far += weights[part];
        const bool last = part + 1 == weights.size();
        const std::int64_t first = block;
        for (; block < run.end; ++block) {
            const std::int64_t count = blocks[static_cast<std::size_t>(block)].count;
            if (!last && (2 * before + count) * total_weight >= 2 * elements * weight_so_far) break;
            before += count;
        }
        parts.push_back({first, block});
    }
    return parts;
}

Ownership::Ownership(const Topology& topology, std::span<const ElementRange> blocks)
    : blocks_(blocks.begin(), blocks.end()),
      runs_(static_cast<std::size_t>(topology.world().size())) {
    std::int64_t end = 0;
    for (const ElementRange& block : blocks_) {
        EVENGRAD_CHECK(block.begin >= end && block.count >= 0, "block at {} overlaps its neighbor",
                       block.begin);
        end = block.begin + block.count;
    }

    std::vector<std::int64_t> node_ranks;
    for (int node = 0; node < topology.node_count(); ++node)
        node_ranks.push_back(static_cast<std::int64_t>(topology.ranks_of(node).size()));
    const BlockRun all{0, static_cast<std::int64_t>(blocks_.size())};
    const std::vector<BlockRun> of_node = cut_blocks(blocks_, all, node_ranks);

    for (int node = 0; node < topology.node_count(); ++node) {
        const std::vector<int>& ranks = topology.ranks_of(node);
        const std::vector<std::int64_t> equal(ranks.size(), 1);
        const auto of_rank = cut_blocks(blocks_, of_node[static_cast<std::size_t>(node)], equal);
        for (std::size_t i = 0; i < ranks.size(); ++i)
            runs_[static_cast<std::size_t>(ranks[i])] = of_rank[i];
    }
}

}  // namespace evengrad
