#include "train/memory.hpp"

#include "base/aligned.hpp"
#include "gradient/accumulator.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

TrainConfig config_in_force(TrainConfig config) {
    config.plan.seq_length = config.model.seq_length();
    config.plan.seed = config.seed;
    const auto problems = config.validate();
    if (!problems.empty()) throw UsageError(fmt::format("{}", fmt::join(problems, "\n")));
    return config;
}

std::vector<ElementRange> block_ranges(const ParameterTable& table) {
    std::vector<ElementRange> ranges;
    for (const Block& block : table.blocks()) ranges.push_back({block.begin, block.count});
    return ranges;
}

StoreSizes::StoreSizes(const ParameterTable& table) {
    const auto flat = static_cast<std::size_t>(table.flat_size());
    const std::size_t words =
        table.blocks().size() * static_cast<std::size_t>(NodeSum::lock_stride);
    sums = round_up(flat * sizeof(std::uint64_t), cache_line);
    weights = round_up(flat * sizeof(float), cache_line);
    locks = words * sizeof(std::uint32_t);
    counter = cache_line;
}

std::size_t moment_bytes(const Ownership& ownership, int rank, const ParameterTable& table,
                         int moments) {
    std::size_t owned = 0;
    const BlockRun run = ownership.of_rank(rank);
    for (Index b = run.begin; b < run.end; ++b)
        owned += static_cast<std::size_t>(table.blocks()[static_cast<std::size_t>(b)].count);
    return owned * sizeof(float) * static_cast<std::size_t>(moments);
}

Trainer::Memory memory_of(const Topology& topology, const Ownership& ownership,
                          const ParameterTable& table, int moments, int node,
                          std::size_t scratch_per_rank) {
    const StoreSizes store(table);
    std::size_t owned = 0;
    for (const int rank : topology.ranks_of(node))
        owned += moment_bytes(ownership, rank, table, moments);
    return {store.weights, store.sums,       store.locks + store.counter,
            owned,         scratch_per_rank, snapshot_bytes(table, moments)};
}

}  // namespace evengrad
