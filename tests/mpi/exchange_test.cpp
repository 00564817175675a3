#include "mpi/exchange.hpp"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/narrow.hpp"
#include "mpi_main.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

using test::world;

/// Tensors of very different sizes, cut into blocks, each tensor at a multiple of 16 elements.
std::vector<ElementRange> blocks_of(const std::vector<std::int64_t>& tensors) {
    constexpr std::int64_t largest = 65'536;
    std::vector<ElementRange> blocks;
    std::int64_t begin = 0;
    for (const std::int64_t size : tensors) {
        for (std::int64_t done = 0; done < size; done += largest)
            blocks.push_back({begin + done, std::min(largest, size - done)});
        begin += (size + 15) / 16 * 16;
    }
    return blocks;
}

std::int64_t end_of(const std::vector<ElementRange>& blocks) {
    return blocks.empty() ? 0 : blocks.back().begin + blocks.back().count;
}

const std::vector<std::vector<ElementRange>>& layouts() {
    static const std::vector<std::vector<ElementRange>> all{
        {},                                             // nothing at all
        blocks_of({5}),                                 // fewer blocks than ranks
        blocks_of({7, 100, 3}),                         // small, with gaps
        blocks_of({400'000, 9, 131'072, 65'537, 1}),    // pieces longer than a chunk
        blocks_of({1, 1, 1, 1, 1, 1, 1, 1, 300'000})};  // one side heavy
    return all;
}

std::uint64_t addend(int node, std::int64_t element) {
    return static_cast<std::uint64_t>(element + 1) * 0x9e37'79b9'7f4a'7c15u *
           static_cast<std::uint64_t>(2 * node + 1);
}

TEST(Ownership, EveryBlockHasOneOwnerInNodeOrder) {
    for (const int ranks_per_node : {0, 1, 2, 3}) {
        const Topology topology(world(), ranks_per_node);
        for (const auto& blocks : layouts()) {
            const Ownership ownership(topology, blocks);
            std::int64_t next = 0;
            for (int node = 0; node < topology.node_count(); ++node) {
                for (const int rank : topology.ranks_of(node)) {
                    EXPECT_EQ(ownership.of_rank(rank).begin, next);
                    EXPECT_LE(next, ownership.of_rank(rank).end);
                    next = ownership.of_rank(rank).end;
                }
            }
            EXPECT_EQ(next, static_cast<std::int64_t>(blocks.size()));
        }
    }
}

TEST(Ownership, SharesAreInProportionToElements) {
    // 1,000 blocks of uneven size; no rank is off its share by more than two blocks.
    std::vector<ElementRange> blocks;
    std::int64_t total = 0;
    for (std::int64_t b = 0; b < 1000; ++b) {
        blocks.push_back({total, b % 7 == 0 ? 65'536 : 1 + b});
        total += blocks.back().count;
    }
    for (const int ranks_per_node : {0, 1, 2, 3}) {
        const Topology topology(world(), ranks_per_node);
        const Ownership ownership(topology, blocks);
        for (int rank = 0; rank < world().size(); ++rank) {
            const BlockRun run = ownership.of_rank(rank);
            std::int64_t own = 0;
            for (std::int64_t b = run.begin; b < run.end; ++b) own += blocks[at(b)].count;
            EXPECT_NEAR(static_cast<double>(own), static_cast<double>(total) / world().size(),
                        2 * 65'536.0);
        }
    }
}

TEST(Ownership, OverlappingBlocksAreRefused) {
    const Topology topology(world(), 0);
    const std::vector<ElementRange> blocks{{0, 10}, {9, 5}};
    EXPECT_THROW(Ownership(topology, blocks), std::logic_error);
}

/// Fills every node's array, reduces, and compares with the sum computed here.
void check_reduction(const Topology& topology, const std::vector<ElementRange>& blocks,
                     const std::vector<char>& contributed) {
    const Ownership ownership(topology, blocks);
    const std::int64_t size = end_of(blocks) + 3;
    const NodeMemory memory(topology.node(), at(size) * sizeof(std::uint64_t), "sums");
    const std::span sums(reinterpret_cast<std::uint64_t*>(memory.bytes().data()), at(size));
    const int node = topology.node_index();
    if (topology.node().rank() == 0 && contributed[at(node)] != 0)
        for (const ElementRange& block : blocks)
            for (std::int64_t i = block.begin; i < block.begin + block.count; ++i)
                sums[at(i)] = addend(node, i);
    memory.barrier();

    reduce_to_owners(topology, ownership, sums, contributed);
    memory.barrier();

    std::vector<int> owner_node(blocks.size(), -1);
    for (int rank = 0; rank < world().size(); ++rank)
        for (auto b = ownership.of_rank(rank).begin; b < ownership.of_rank(rank).end; ++b)
            owner_node[at(b)] = topology.node_of(rank);
    std::int64_t wrong = 0;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
        for (std::int64_t i = blocks[b].begin; i < blocks[b].begin + blocks[b].count; ++i) {
            std::uint64_t expected = 0;
            for (int other = 0; other < topology.node_count(); ++other)
                if (owner_node[b] == node && contributed[at(other)] != 0)
                    expected += addend(other, i);
            wrong += sums[at(i)] != expected;
        }
    }
    EXPECT_EQ(wrong, 0) << topology.node_count() << " nodes, " << blocks.size() << " blocks";
    memory.barrier();
}

TEST(ReduceToOwners, EqualsTheLocallyComputedSum) {
    for (const int ranks_per_node : {0, 1, 2, 3}) {
        const Topology topology(world(), ranks_per_node);
        for (const auto& blocks : layouts())
            check_reduction(topology, blocks, std::vector<char>(at(topology.node_count()), 1));
    }
}

TEST(ReduceToOwners, IdleNodesSendNothing) {
    for (const int ranks_per_node : {0, 1, 2, 3}) {
        const Topology topology(world(), ranks_per_node);
        const int nodes = topology.node_count();
        for (int pattern = 0; pattern < 1 << nodes; ++pattern) {
            std::vector<char> contributed;
            for (int node = 0; node < nodes; ++node)
                contributed.push_back(static_cast<char>(pattern >> node & 1));
            check_reduction(topology, layouts()[2], contributed);
            if (pattern < 3) check_reduction(topology, layouts()[3], contributed);
        }
    }
}

TEST(ShareFromOwners, AllNodesHoldAllBlocks) {
    for (const int ranks_per_node : {0, 1, 2, 3}) {
        const Topology topology(world(), ranks_per_node);
        for (const auto& blocks : layouts()) {
            const Ownership ownership(topology, blocks);
            const std::int64_t size = end_of(blocks) + 3;
            const NodeMemory memory(topology.node(), at(size) * sizeof(float), "weights");
            const std::span values(reinterpret_cast<float*>(memory.bytes().data()), at(size));
            if (topology.node().rank() == 0) std::fill(values.begin(), values.end(), -1.0f);
            memory.barrier();
            const BlockRun run = ownership.of_rank(world().rank());
            for (std::int64_t b = run.begin; b < run.end; ++b)
                for (std::int64_t i = 0; i < blocks[at(b)].count; ++i)
                    values[at(blocks[at(b)].begin + i)] = static_cast<float>(b * 70'000 + i);
            memory.barrier();
            share_from_owners(topology, ownership, values, memory);

            std::vector<float> expected(at(size), -1.0f);  // gaps stay as they were
            for (std::size_t b = 0; b < blocks.size(); ++b)
                for (std::int64_t i = 0; i < blocks[b].count; ++i)
                    expected[at(blocks[b].begin + i)] =
                        static_cast<float>(static_cast<std::int64_t>(b) * 70'000 + i);
            EXPECT_TRUE(std::equal(values.begin(), values.end(), expected.begin()))
                << topology.node_count() << " nodes, " << blocks.size() << " blocks";
            memory.barrier();
        }
    }
}

TEST(GatherOwned, CollectsARangeAndGivesItBack) {
    for (const int ranks_per_node : {0, 1, 2, 3}) {
        const Topology topology(world(), ranks_per_node);
        for (const auto& blocks : layouts()) {
            const Ownership ownership(topology, blocks);
            const auto value = [](std::int64_t b, std::int64_t i) {
                return static_cast<float>(b * 70'000 + i);
            };
            const BlockRun run = ownership.of_rank(world().rank());
            std::vector<float> owned;
            for (std::int64_t b = run.begin; b < run.end; ++b)
                for (std::int64_t i = 0; i < blocks[at(b)].count; ++i) owned.push_back(value(b, i));

            const auto count = static_cast<std::int64_t>(blocks.size());
            for (const BlockRun range : {BlockRun{0, count}, BlockRun{count / 3, count / 2},
                                         BlockRun{count / 2, count}, BlockRun{0, 0}}) {
                std::vector<float> expected;
                for (std::int64_t b = range.begin; b < range.end; ++b)
                    for (std::int64_t i = 0; i < blocks[at(b)].count; ++i)
                        expected.push_back(value(b, i));
                std::vector<float> whole;
                if (world().rank() == 0) whole.resize(expected.size());
                gather_owned(topology, ownership, owned, range, whole);
                if (world().rank() == 0) {
                    EXPECT_EQ(whole, expected);
                }

                std::vector<float> back = owned;
                std::int64_t offset = 0;
                for (std::int64_t b = run.begin; b < run.end; ++b) {
                    const auto block = std::span(back).subspan(at(offset), at(blocks[at(b)].count));
                    if (b >= range.begin && b < range.end)
                        std::fill(block.begin(), block.end(), -1.0f);
                    offset += blocks[at(b)].count;
                }
                scatter_owned(topology, ownership, whole, range, back);
                EXPECT_EQ(back, owned);
            }
        }
    }
}

}  // namespace
}  // namespace evengrad
