#include "mpi/exchange.hpp"

#include <algorithm>
#include <cstddef>

#include "base/narrow.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr std::int64_t chunk_bytes = 512 * 1024;

/// The elements of a run of blocks, piece by piece: neighbors without a gap are joined, and a piece
/// has at most chunk_bytes. Sender and receiver walk the same pieces.
class Pieces {
  public:
    Pieces() = default;
    Pieces(std::span<const ElementRange> blocks, BlockRun run, std::size_t element_size)
        : blocks_(blocks),
          block_(run.begin),
          end_(run.end),
          limit_(chunk_bytes / static_cast<std::int64_t>(element_size)) {}

    /// The next piece; a count of 0 says that there is none.
    ElementRange next() {
        ElementRange piece;
        while (block_ < end_ && piece.count < limit_) {
            const ElementRange& block = blocks_[static_cast<std::size_t>(block_)];
            const std::int64_t from = block.begin + used_;
            if (piece.count == 0) piece.begin = from;
            if (piece.begin + piece.count != from) break;
            const std::int64_t taken = std::min(limit_ - piece.count, block.count - used_);
            piece.count += taken;
            used_ += taken;
            if (used_ == block.count) {
                ++block_;
                used_ = 0;
            }
        }
        return piece;
    }

  private:
    std::span<const ElementRange> blocks_;
    std::int64_t block_ = 0;
    std::int64_t end_ = 0;
    std::int64_t limit_ = 0;
    std::int64_t used_ = 0;  // elements of `block_` that are gone already
};

/// Which of its ranks a node lets talk to the owner with this index in another node.
std::size_t partner(std::size_t owner_index, const std::vector<int>& ranks) {
    return owner_index % ranks.size();
}

/// One turn of one rank: where it sends and from where it receives (-1: nowhere).
struct Turn {
    int destination = -1;
    int source = -1;
};

/// Calls `take(turn)` for this rank's turns, in an order that can't deadlock.
///
/// Round d = 1 .. nodes-1: every node sends to the node d ahead and receives from the one d behind.
/// Within a round one side has one peer per rank, the other (`many`: the side of the partners) one
/// per owner that it serves; turn k of the round takes the owners k*ranks .. k*ranks+ranks-1.
/// A message belongs to the same (round, turn, piece) for both its ends, every rank goes through
/// these in ascending order, and within one it sends and receives at the same time. So the ranks
/// at the lowest place can always go on.
template <class Take>
void for_each_turn(const Topology& topology, bool owners_receive, Take&& take) {
    const int nodes = topology.node_count();
    const int here = topology.node_index();
    const auto own_index = static_cast<std::size_t>(topology.node().rank());
    const std::vector<int>& own = topology.ranks_of(here);

    // The peer in turn k when this rank is the owner, and when it is the partner of owners.
    const auto as_owner = [&](const std::vector<int>& other, std::size_t turn) {
        return own_index / other.size() == turn ? other[partner(own_index, other)] : -1;
    };
    const auto as_partner = [&](const std::vector<int>& other, std::size_t turn) {
        const std::size_t owner = turn * own.size() + own_index;
        return owner < other.size() ? other[owner] : -1;
    };
    for (int round = 1; round < nodes; ++round) {
        const std::vector<int>& ahead = topology.ranks_of((here + round) % nodes);
        const std::vector<int>& behind = topology.ranks_of((here + nodes - round) % nodes);
        const std::size_t most = std::max({own.size(), ahead.size(), behind.size()});
        for (std::size_t turn = 0; turn < most; ++turn) {
            Turn now;
            now.destination = owners_receive ? as_partner(ahead, turn) : as_owner(ahead, turn);
            now.source = owners_receive ? as_owner(behind, turn) : as_partner(behind, turn);
            if (now.destination >= 0 || now.source >= 0) take(now);
        }
    }
}

void check_room(const Ownership& ownership, std::size_t size) {
    const auto& blocks = ownership.blocks();
    EVENGRAD_CHECK(blocks.empty() || at(blocks.back().begin + blocks.back().count) <= size,
                   "the blocks end behind an array of {} elements", size);
}

/// Elements of blocks [begin, end).
std::int64_t elements(const Ownership& ownership, std::int64_t begin, std::int64_t end) {
    std::int64_t count = 0;
    for (std::int64_t b = begin; b < end; ++b) count += ownership.blocks()[at(b)].count;
    return count;
}

/// A rank's part of `range`: where it begins in the rank's own values and in those of the range.
struct Part {
    std::size_t in_owned = 0;
    std::size_t in_range = 0;
    std::size_t count = 0;
};

Part part_of(const Ownership& ownership, int rank, BlockRun range) {
    const BlockRun run = ownership.of_rank(rank);
    const std::int64_t begin = std::max(run.begin, range.begin);
    const std::int64_t end = std::min(run.end, range.end);
    if (begin >= end) return {};
    return {at(elements(ownership, run.begin, begin)), at(elements(ownership, range.begin, begin)),
            at(elements(ownership, begin, end))};
}

void check_sizes(const Topology& topology, const Ownership& ownership, std::size_t owned,
                 BlockRun range, std::size_t whole) {
    const int rank = topology.world().rank();
    const BlockRun run = ownership.of_rank(rank);
    EVENGRAD_CHECK(owned == at(elements(ownership, run.begin, run.end)),
                   "rank {} gives {} values for its blocks", rank, owned);
    EVENGRAD_CHECK(rank != 0 || whole == at(elements(ownership, range.begin, range.end)),
                   "{} values for blocks {} to {}", whole, range.begin, range.end);
}

}  // namespace

std::int64_t messages_of(std::span<const ElementRange> blocks, BlockRun run,
                         std::size_t element_size) {
    std::int64_t count = 0;
    for (Pieces pieces(blocks, run, element_size); pieces.next().count > 0;) ++count;
    return count;
}

void reduce_to_owners(const Topology& topology, const Ownership& ownership,
                      std::span<std::uint64_t> node_sums, std::span<const char> contributed) {
    EVENGRAD_CHECK(contributed.size() == at(topology.node_count()), "{} nodes, {} flags",
                   topology.node_count(), contributed.size());
    check_room(ownership, node_sums.size());
    if (topology.node_count() == 1) return;

    const int rank = topology.world().rank();
    const bool sends = contributed[at(topology.node_index())] != 0;
    std::vector<std::uint64_t> received(chunk_bytes / sizeof(std::uint64_t));

    // Ranks of a node touch disjoint elements here: its own blocks (adding), and the blocks that it
    // sends (zeroing). A block of another node is sent by exactly one rank of this node, which
    // zeroes it afterwards; where nothing was contributed it is zero already. So no barrier is
    // needed between, only the caller's before and after.
    for_each_turn(topology, true, [&](Turn turn) {
        const bool gives = turn.destination >= 0 && sends;
        const bool takes = turn.source >= 0 && contributed[at(topology.node_of(turn.source))] != 0;
        Pieces out;
        Pieces in;
        if (gives)
            out = Pieces(ownership.blocks(), ownership.of_rank(turn.destination),
                         sizeof(std::uint64_t));
        if (takes) in = Pieces(ownership.blocks(), ownership.of_rank(rank), sizeof(std::uint64_t));
        for (;;) {
            const ElementRange from = out.next();
            const ElementRange to = in.next();
            if (from.count == 0 && to.count == 0) break;
            const auto leaving = node_sums.subspan(at(from.begin), at(from.count));
            const auto arriving = std::span(received).first(at(to.count));
            topology.world().exchange(std::span<const std::uint64_t>(leaving), turn.destination,
                                      arriving, turn.source);
            std::fill(leaving.begin(), leaving.end(), 0);
            std::uint64_t* sums = node_sums.data() + to.begin;
            for (std::size_t i = 0; i < arriving.size(); ++i) sums[i] += arriving[i];
        }
    });
}

void share_from_owners(const Topology& topology, const Ownership& ownership,
                       std::span<float> node_values, const NodeMemory& memory) {
    check_room(ownership, node_values.size());
    const int rank = topology.world().rank();

    // An owner sends what it wrote itself, and each block of another node is written by the one
    // rank that receives it: no barrier is needed before the last one.
    for_each_turn(topology, false, [&](Turn turn) {
        Pieces out;
        Pieces in;
        if (turn.destination >= 0)
            out = Pieces(ownership.blocks(), ownership.of_rank(rank), sizeof(float));
        if (turn.source >= 0)
            in = Pieces(ownership.blocks(), ownership.of_rank(turn.source), sizeof(float));
        for (;;) {
            const ElementRange from = out.next();
            const ElementRange to = in.next();
            if (from.count == 0 && to.count == 0) break;
            topology.world().exchange(
                std::span<const float>(node_values.subspan(at(from.begin), at(from.count))),
                turn.destination, node_values.subspan(at(to.begin), at(to.count)), turn.source);
        }
    });
    memory.barrier();
}

void gather_owned(const Topology& topology, const Ownership& ownership,
                  std::span<const float> owned, BlockRun range, std::span<float> out) {
    check_sizes(topology, ownership, owned.size(), range, out.size());
    const Communicator& world = topology.world();
    const Part mine = part_of(ownership, world.rank(), range);
    const auto values = owned.subspan(mine.in_owned, mine.count);
    if (world.rank() != 0) {
        world.send(values, 0);
        return;
    }
    std::copy(values.begin(), values.end(), out.subspan(mine.in_range).begin());
    for (int rank = 1; rank < world.size(); ++rank) {
        const Part part = part_of(ownership, rank, range);
        world.receive(out.subspan(part.in_range, part.count), rank);
    }
}

void scatter_owned(const Topology& topology, const Ownership& ownership, std::span<const float> in,
                   BlockRun range, std::span<float> owned) {
    check_sizes(topology, ownership, owned.size(), range, in.size());
    const Communicator& world = topology.world();
    const Part mine = part_of(ownership, world.rank(), range);
    const auto values = owned.subspan(mine.in_owned, mine.count);
    if (world.rank() != 0) {
        world.receive(values, 0);
        return;
    }
    const auto kept = in.subspan(mine.in_range, mine.count);
    std::copy(kept.begin(), kept.end(), values.begin());
    for (int rank = 1; rank < world.size(); ++rank) {
        const Part part = part_of(ownership, rank, range);
        world.send(in.subspan(part.in_range, part.count), rank);
    }
}

}  // namespace evengrad
