#include <algorithm>
#include <cstddef>
#include <limits>

#include "mpi/exchange.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

using Values = std::vector<std::int64_t>;

std::size_t index(int i) {
    return static_cast<std::size_t>(i);
}

/// One addend is 2^53 + 1, which a sum by way of doubles would lose.
bool integer_sums(const Topology& topology) {
    const Communicator& world = topology.world();
    const std::int64_t large = (std::int64_t{1} << 53) + 1;
    Values values{world.rank() == 0 ? large : 1, -large, world.rank()};
    world.sum(std::span(values));
    const std::int64_t ranks = world.size();
    return values == Values{large + ranks - 1, -large * ranks, ranks * (ranks - 1) / 2};
}

bool sums_modulo_2_64(const Topology& topology) {
    const Communicator& world = topology.world();
    const auto ranks = static_cast<std::uint64_t>(world.size());
    std::vector<std::uint64_t> values{std::numeric_limits<std::uint64_t>::max(),
                                      (std::uint64_t{1} << 63) + 3};
    const std::vector<std::uint64_t> expected{values[0] * ranks, values[1] * ranks};
    world.sum(std::span(values));
    return values == expected;
}

/// Keys that differ in their last bits only, above 2^63.
bool minima_of_keys(const Topology& topology) {
    const Communicator& world = topology.world();
    const std::uint64_t base = std::numeric_limits<std::uint64_t>::max() - 1'000'000;
    std::uint64_t key = base + static_cast<std::uint64_t>(world.size() - world.rank());
    world.min(std::span(&key, 1));
    std::int64_t largest = std::numeric_limits<std::int64_t>::max() - world.rank();
    world.max(std::span(&largest, 1));
    return key == base + 1 && largest == std::numeric_limits<std::int64_t>::max();
}

/// Around the ring, sizes from nothing to several internal buffers of the library.
bool uneven_messages(const Topology& topology) {
    const Communicator& world = topology.world();
    const int next = (world.rank() + 1) % world.size();
    const int previous = (world.rank() + world.size() - 1) % world.size();
    bool good = true;
    for (const std::size_t unit : {std::size_t{1}, std::size_t{40'000}}) {
        const auto size = [&](int rank) { return index(rank % 3) * unit; };
        const std::vector<std::int32_t> out(size(world.rank()), world.rank());
        std::vector<std::int32_t> in(size(previous), -1);
        world.exchange(std::span<const std::int32_t>(out), next, std::span(in), previous);
        good &= in == std::vector<std::int32_t>(size(previous), previous);
    }
    const auto texts = world.all_gather(std::string(index(world.rank() % 3), 'x'));
    for (int rank = 0; rank < world.size(); ++rank)
        good &= texts[index(rank)] == std::string(index(rank % 3), 'x');
    return good;
}

/// Every rank writes a value of its own (other nodes of this machine write others), all read all.
bool shared_memory(const Topology& topology) {
    constexpr std::size_t rounds = 4;
    const std::size_t ranks = index(topology.node().size());
    const NodeMemory memory(topology.node(), rounds * ranks * sizeof(std::uint64_t), "self-test");
    auto* words = reinterpret_cast<std::uint64_t*>(memory.bytes().data());
    bool good = std::all_of(words, words + rounds * ranks, [](auto word) { return word == 0; });
    memory.barrier();
    const auto value = [&](std::size_t round, std::size_t rank) {
        return (index(topology.node_index()) + 1) * 1'000'000'007 + round * ranks + rank;
    };
    for (std::size_t round = 0; round < rounds; ++round) {
        std::uint64_t* slots = words + round * ranks;
        slots[index(topology.node().rank())] = value(round, index(topology.node().rank()));
        memory.barrier();
        for (std::size_t rank = 0; rank < ranks; ++rank) good &= slots[rank] == value(round, rank);
    }
    memory.barrier();
    return good;
}

bool atomic_tickets(const Topology& topology) {
    constexpr std::size_t draws = 200;
    const std::size_t total = draws * index(topology.node().size());
    const NodeMemory memory(topology.node(), (1 + total) * sizeof(std::uint64_t), "self-test");
    auto* words = reinterpret_cast<std::uint64_t*>(memory.bytes().data());
    const Ticket ticket(words[0]);
    bool good = true;
    for (std::size_t i = 0; i < draws; ++i) {
        const std::uint64_t number = ticket.draw();
        good &= number < total;
        if (number < total) std::atomic_ref(words[1 + number]).fetch_add(1);
    }
    memory.barrier();
    good &= std::all_of(words + 1, words + 1 + total, [](auto times) { return times == 1; });
    memory.barrier();
    return good;
}

struct Check {
    const char* what;
    bool (*holds)(const Topology&);
};

constexpr Check checks[] = {
    {"integer sums beyond 2^53", integer_sums},
    {"sums modulo 2^64", sums_modulo_2_64},
    {"extremes of 64-bit keys", minima_of_keys},
    {"messages of uneven and zero size", uneven_messages},
    {"writes to shared memory seen after a barrier", shared_memory},
    {"atomic tickets in shared memory", atomic_tickets},
};

}  // namespace

void self_test(const Topology& topology) {
    for (const Check& check : checks) {
        // Every rank tells every other, so that all of them throw or none.
        const auto results =
            topology.world().all_gather(static_cast<std::int64_t>(check.holds(topology)));
        const auto failed = std::find(results.begin(), results.end(), 0);
        if (failed != results.end())
            throw Error(fmt::format("MPI self-test: {} went wrong on rank {} with {}", check.what,
                                    failed - results.begin(), Session::library_version()),
                        "Results of this MPI library on this machine can't be trusted: use "
                        "another version, or start fewer ranks per machine.");
    }
}

}  // namespace evengrad
