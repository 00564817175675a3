#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "mpi_main.hpp"
#include <evengrad/communicator.hpp>
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

using test::world;

TEST(Communicator, RankAndSizeAgreeOnAllRanks) {
    const auto ranks = world().all_gather(std::int64_t{world().rank()});
    std::vector<std::int64_t> expected(static_cast<std::size_t>(world().size()));
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(ranks, expected);
}

TEST(Communicator, DuplicateHasItsOwnMessageSpace) {
    const Communicator copy = world().duplicate();
    EXPECT_EQ(copy.rank(), world().rank());
    EXPECT_EQ(copy.size(), world().size());
    if (world().size() < 2) return;
    const std::vector<std::int32_t> first{1};
    const std::vector<std::int32_t> second{2};
    std::vector<std::int32_t> in(1);
    if (world().rank() == 0) {
        world().send(std::span<const std::int32_t>(first), 1);
        copy.send(std::span<const std::int32_t>(second), 1);
    } else if (world().rank() == 1) {
        copy.receive(std::span(in), 0);
        EXPECT_EQ(in, second);
        world().receive(std::span(in), 0);
        EXPECT_EQ(in, first);
    }
}

TEST(Communicator, SplitOrdersByKeyThenRank) {
    const int size = world().size();
    const Communicator reversed = world().split(0, -world().rank());
    EXPECT_EQ(reversed.size(), size);
    EXPECT_EQ(reversed.rank(), size - 1 - world().rank());
    const Communicator parity = world().split(world().rank() % 2, 0);
    EXPECT_EQ(parity.rank(), world().rank() / 2);
    EXPECT_EQ(parity.size(), (size + 1 - world().rank() % 2) / 2);
}

TEST(Communicator, MoveKeepsTheMembers) {
    Communicator first = world().duplicate();
    Communicator second = std::move(first);
    EXPECT_EQ(second.size(), world().size());
    second = world().split(world().rank(), 0);
    EXPECT_EQ(second.size(), 1);
}

TEST(Communicator, BroadcastFromEveryRoot) {
    for (int root = 0; root < world().size(); ++root) {
        for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100'000}}) {
            std::vector<double> values(size, world().rank() == root ? root + 0.5 : -1.0);
            world().broadcast(std::span(values), root);
            EXPECT_EQ(values, std::vector<double>(size, root + 0.5));
        }
    }
}

TEST(Communicator, BroadcastResizedCarriesTheSize) {
    const int root = world().size() - 1;
    const std::vector<std::int64_t> sent{1, std::int64_t{1} << 60, -3};
    std::vector<std::int64_t> values(static_cast<std::size_t>(world().rank()) + 5, 9);
    if (world().rank() == root) values = sent;
    world().broadcast_resized(values, root);
    EXPECT_EQ(values, sent);

    if (world().rank() == root) values.clear();
    world().broadcast_resized(values, root);
    EXPECT_TRUE(values.empty());

    const std::string message("zero \0 inside", 13);
    std::string text = world().rank() == root ? message : "other";
    world().broadcast(text, root);
    EXPECT_EQ(text, message);
    if (world().rank() == root) text.clear();
    world().broadcast(text, root);
    EXPECT_EQ(text, "");
}

TEST(Communicator, SumsAreExactIntegers) {
    const std::int64_t n = world().size();
    const std::int64_t large = (std::int64_t{1} << 60) / n + 1;
    std::vector<std::int64_t> values{large, -1, world().rank()};
    world().sum(std::span(values));
    EXPECT_EQ(values, (std::vector<std::int64_t>{n * large, -n, n * (n - 1) / 2}));

    std::vector<std::uint64_t> modulo{std::numeric_limits<std::uint64_t>::max() - 4};
    world().sum(std::span(modulo));
    EXPECT_EQ(modulo[0], 0 - std::uint64_t{5} * static_cast<std::uint64_t>(n));

    world().sum(std::span<std::int64_t>{});
}

TEST(Communicator, Extremes) {
    const int rank = world().rank();
    const int last = world().size() - 1;
    std::vector<std::uint32_t> words{0xffff'fff0u + static_cast<std::uint32_t>(rank), 7};
    world().max(std::span(words));
    EXPECT_EQ(words,
              (std::vector<std::uint32_t>{0xffff'fff0u + static_cast<std::uint32_t>(last), 7}));

    std::vector<std::int64_t> signed_values{-rank, rank};
    world().max(std::span(signed_values));
    EXPECT_EQ(signed_values, (std::vector<std::int64_t>{0, last}));
    signed_values = {-rank, rank};
    world().min(std::span(signed_values));
    EXPECT_EQ(signed_values, (std::vector<std::int64_t>{-last, 0}));

    std::uint64_t key = std::numeric_limits<std::uint64_t>::max() - static_cast<unsigned>(rank);
    world().min(std::span(&key, 1));
    EXPECT_EQ(key, std::numeric_limits<std::uint64_t>::max() - static_cast<unsigned>(last));

    std::vector<double> reals{rank * 0.25, -rank * 0.25};
    world().max(std::span(reals));
    EXPECT_EQ(reals, (std::vector<double>{last * 0.25, 0.0}));
    reals = {rank * 0.25, -rank * 0.25};
    world().min(std::span(reals));
    EXPECT_EQ(reals, (std::vector<double>{0.0, -last * 0.25}));
}

TEST(Communicator, AllGatherKeepsRankOrder) {
    const auto reals = world().all_gather(std::ldexp(1.0, -world().rank()));
    const auto texts =
        world().all_gather(std::string(static_cast<std::size_t>(world().rank() * 3 % 4), 'a'));
    ASSERT_EQ(reals.size(), static_cast<std::size_t>(world().size()));
    ASSERT_EQ(texts.size(), reals.size());
    for (int rank = 0; rank < world().size(); ++rank) {
        const auto i = static_cast<std::size_t>(rank);
        EXPECT_EQ(reals[i], std::ldexp(1.0, -rank));
        EXPECT_EQ(texts[i], std::string(static_cast<std::size_t>(rank * 3 % 4), 'a'));
    }
}

TEST(Communicator, SendAndReceiveUnevenSizes) {
    for (int source = 1; source < world().size(); ++source) {
        const auto size = static_cast<std::size_t>((source - 1) * 300'001);
        if (world().rank() == source) {
            const std::vector<float> out(size, static_cast<float>(source));
            world().send(std::span<const float>(out), 0);
        } else if (world().rank() == 0) {
            std::vector<float> in(size, -1.0f);
            world().receive(std::span(in), source);
            EXPECT_EQ(in, std::vector<float>(size, static_cast<float>(source)));
        }
    }
}

TEST(Communicator, ExchangeAroundTheRing) {
    const int size = world().size();
    const int rank = world().rank();
    const int previous = (rank + size - 1) % size;
    const auto length = [](int of) { return static_cast<std::size_t>(of) * 200'003; };
    const std::vector<std::uint64_t> out(length(rank), static_cast<std::uint64_t>(rank) << 40);
    std::vector<std::uint64_t> in(length(previous), 1);
    world().exchange(std::span<const std::uint64_t>(out), (rank + 1) % size, std::span(in),
                     previous);
    EXPECT_EQ(in, std::vector<std::uint64_t>(length(previous), static_cast<std::uint64_t>(previous)
                                                                   << 40));
}

TEST(Communicator, ExchangeWithNobodyChangesNothing) {
    const std::vector<char> out(10, 'o');
    std::vector<char> in(10, 'i');
    world().exchange(std::span<const char>(out), -1, std::span(in), -1);
    EXPECT_EQ(in, std::vector<char>(10, 'i'));
    // A line instead of a ring: its ends have one neighbor.
    const int rank = world().rank();
    const bool last = rank == world().size() - 1;
    world().exchange(std::span<const char>(out), last ? -1 : rank + 1, std::span(in), rank - 1);
    EXPECT_EQ(in, std::vector<char>(10, rank == 0 ? 'i' : 'o'));
}

TEST(Communicator, ErrorsNameCallRankAndReason) {
    std::vector<char> values(1);
    try {
        world().send(std::span<const char>(values), world().size() + 7);
        ADD_FAILURE() << "a message to a rank that isn't there was accepted";
    } catch (const Error& error) {
        const std::string text = error.what();
        EXPECT_NE(text.find("MPI_Send"), std::string::npos) << text;
        EXPECT_NE(text.find(fmt::format("rank {}", world().rank())), std::string::npos) << text;
        EXPECT_NE(text.find("MPI_ERR_RANK"), std::string::npos) << text;
    }
}

TEST(Communicator, MessagesOfAnotherLengthAreErrors) {
    // Open MPI 4.1.4 cuts a short message to oneself without a word, hence the ring.
    const int next = (world().rank() + 1) % world().size();
    const int previous = (world().rank() + world().size() - 1) % world().size();
    const std::vector<std::int32_t> out(3);
    std::vector<std::int32_t> large(4);
    EXPECT_THROW(
        world().exchange(std::span<const std::int32_t>(out), next, std::span(large), previous),
        Error);
    if (world().size() == 1) return;
    std::vector<std::int32_t> small(2);
    EXPECT_THROW(
        world().exchange(std::span<const std::int32_t>(out), next, std::span(small), previous),
        Error);
}

TEST(Session, NamesTheLibraryAndTheHost) {
    EXPECT_FALSE(Session::library_version().empty());
    EXPECT_EQ(Session::library_version().find('\n'), std::string::npos);
    EXPECT_FALSE(Session::host_name().empty());
}

}  // namespace
}  // namespace evengrad
