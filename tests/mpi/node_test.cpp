#include "mpi/node.hpp"

#include <algorithm>
#include <cstdlib>
#include <set>

#include <gtest/gtest.h>

#include "mpi/exchange.hpp"
#include "mpi_main.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

using test::world;

TEST(Topology, OneNodeOnOneMachine) {
    const Topology topology(world(), 0);
    EXPECT_EQ(topology.node_count(), 1);
    EXPECT_EQ(topology.node_index(), 0);
    EXPECT_EQ(topology.node().size(), world().size());
    EXPECT_EQ(topology.node().rank(), world().rank());
}

TEST(Topology, CutIntoConsecutiveGroups) {
    for (const int ranks_per_node : {1, 2, 3}) {
        const Topology topology(world(), ranks_per_node);
        const int size = world().size();
        EXPECT_EQ(topology.node_count(), (size + ranks_per_node - 1) / ranks_per_node);
        EXPECT_EQ(topology.node_index(), world().rank() / ranks_per_node);
        EXPECT_EQ(topology.node().rank(), world().rank() % ranks_per_node);
        int next = 0;
        for (int node = 0; node < topology.node_count(); ++node) {
            for (const int rank : topology.ranks_of(node)) {
                EXPECT_EQ(rank, next++);
                EXPECT_EQ(topology.node_of(rank), node);
            }
        }
        EXPECT_EQ(next, size);
        EXPECT_EQ(static_cast<int>(topology.ranks_of(topology.node_index()).size()),
                  topology.node().size());
    }
}

TEST(Topology, NodesAreNumberedByTheirLowestRank) {
    // The world turned around: its ranks count down, nodes must still be numbered upwards.
    const Communicator reversed = world().split(0, -world().rank());
    const Topology topology(reversed, 2);
    for (int node = 1; node < topology.node_count(); ++node)
        EXPECT_LT(topology.ranks_of(node - 1).front(), topology.ranks_of(node).front());
    EXPECT_EQ(
        topology.ranks_of(topology.node_index())[static_cast<std::size_t>(topology.node().rank())],
        reversed.rank());
}

TEST(Topology, NegativeRanksPerNodeAreRefused) {
    EXPECT_THROW(Topology(world(), -1), UsageError);
}

TEST(NodeMemory, IsZeroedAlignedAndSeenByAll) {
    for (const int ranks_per_node : {0, 1, 2, 3}) {
        const Topology topology(world(), ranks_per_node);
        for (const std::size_t count : {std::size_t{1}, std::size_t{5}, std::size_t{1'000'003}}) {
            const NodeMemory memory(topology.node(), count * sizeof(std::uint64_t), "test");
            ASSERT_EQ(memory.bytes().size(), count * sizeof(std::uint64_t));
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.bytes().data()) % 64, 0u);
            auto* words = reinterpret_cast<std::uint64_t*>(memory.bytes().data());
            EXPECT_TRUE(std::all_of(words, words + count, [](auto word) { return word == 0; }));
            memory.barrier();
            const auto ranks = static_cast<std::size_t>(topology.node().size());
            const auto value = [&](std::size_t i) {
                return i * 8 + static_cast<std::size_t>(topology.node_index()) + 1;
            };
            for (auto i = static_cast<std::size_t>(topology.node().rank()); i < count; i += ranks)
                words[i] = value(i);
            memory.barrier();
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < count; ++i) wrong += words[i] != value(i);
            EXPECT_EQ(wrong, 0u);
            memory.barrier();
        }
    }
}

TEST(NodeMemory, MayBeEmptyAndMayMove) {
    const Topology topology(world(), 0);
    const NodeMemory empty(topology.node(), 0, "nothing");
    EXPECT_TRUE(empty.bytes().empty());
    NodeMemory first(topology.node(), 64, "test");
    std::byte* const place = first.bytes().data();
    NodeMemory second(std::move(first));
    EXPECT_EQ(second.bytes().data(), place);
    second = NodeMemory(topology.node(), 128, "test");
    EXPECT_EQ(second.bytes().size(), 128u);
    second.barrier();
}

TEST(NodeMemory, TooLittleRoomIsOneErrorOnAllRanks) {
    const Topology topology(world(), 2);
    // Only node rank 0 measures; the others must hear of it.
    if (topology.node().rank() == 0) setenv("EVENGRAD_SHM_FREE_BYTES", "1234567", 1);
    std::string text;
    std::string hint;
    try {
        const NodeMemory memory(topology.node(), 2'000'000, "weights");
    } catch (const Error& error) {
        text = error.what();
        hint = error.hint();
    }
    EXPECT_NE(text.find("weights"), std::string::npos) << text;
    EXPECT_NE(text.find("2000064"), std::string::npos) << text;
    EXPECT_NE(text.find("1234567"), std::string::npos) << text;
    EXPECT_NE(hint.find("--shm-size"), std::string::npos) << hint;
    EXPECT_NE(hint.find("--ranks-per-node"), std::string::npos) << hint;
    for (const std::string& other : topology.node().all_gather(text)) EXPECT_EQ(other, text);
    // What fits is still given.
    const NodeMemory memory(topology.node(), 1'000'000, "weights");
    EXPECT_EQ(memory.bytes().size(), 1'000'000u);
    unsetenv("EVENGRAD_SHM_FREE_BYTES");
}

TEST(NodeMemory, MoreThanTheMachineHasIsAnErrorToo) {
    const Topology topology(world(), 0);
    EXPECT_THROW(NodeMemory(topology.node(), std::size_t{1} << 50, "weights"), Error);
}

TEST(Ticket, EveryNumberIsDrawnOnce) {
    const Topology topology(world(), 0);
    const NodeMemory memory(topology.node(), 64, "tickets");
    const Ticket ticket(*reinterpret_cast<std::uint64_t*>(memory.bytes().data()));
    for (int round = 0; round < 2; ++round) {
        constexpr std::uint64_t total = 20'000;
        std::string drawn(total, '0');
        for (std::uint64_t number = ticket.draw(); number < total; number = ticket.draw())
            ++drawn[number];
        std::vector<int> times(total);
        for (const std::string& of_rank : topology.node().all_gather(drawn))
            for (std::size_t i = 0; i < total; ++i) times[i] += of_rank[i] - '0';
        EXPECT_EQ(std::count(times.begin(), times.end(), 1), static_cast<std::ptrdiff_t>(total));
        memory.barrier();
        if (topology.node().rank() == 0) ticket.reset();
        memory.barrier();
    }
}

TEST(SpinLock, OneHolderAtATime) {
    const Topology topology(world(), 0);
    const NodeMemory memory(topology.node(), 128, "lock");
    auto* word = reinterpret_cast<std::uint32_t*>(memory.bytes().data());
    auto* counter = reinterpret_cast<volatile std::uint64_t*>(memory.bytes().data() + 64);
    constexpr int times = 50'000;
    for (int i = 0; i < times; ++i) {
        const SpinLock lock(*word);
        const std::uint64_t before = *counter;
        *counter = before + 1;
    }
    memory.barrier();
    EXPECT_EQ(*counter, static_cast<std::uint64_t>(times * topology.node().size()));
    EXPECT_EQ(*word, 0u);
    memory.barrier();
}

TEST(SelfTest, R23PassesOnThisMachine) {
    for (const int ranks_per_node : {0, 1, 2, 3}) {
        const Topology topology(world(), ranks_per_node);
        EXPECT_NO_THROW(self_test(topology));
    }
}

}  // namespace
}  // namespace evengrad
