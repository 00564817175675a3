#include "train/verification.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "base/digest.hpp"
#include "base/philox.hpp"
#include "train/timed_sink.hpp"
#include "train/work.hpp"

namespace evengrad {

namespace {

constexpr const char* hint =
    "nothing of this step was used; look after that machine's memory and processors or leave it "
    "out, and go on from the last checkpoint with --resume";

std::array<std::uint32_t, 4> random_words(std::uint64_t seed, std::int64_t step) {
    const Philox philox(seed, RandomPurpose::verification);
    return philox(static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32));
}

std::uint64_t hash_of_block(const Trainer::State& s, std::size_t block) {
    const ElementRange& range = s.ownership.blocks()[block];
    return hash_of(std::as_bytes(std::span(s.store.weights())
                                     .subspan(static_cast<std::size_t>(range.begin),
                                              static_cast<std::size_t>(range.count))));
}

int owner_of(const Trainer::State& s, std::int64_t block) {
    int rank = 0;
    while (block >= s.ownership.of_rank(rank).end || block < s.ownership.of_rank(rank).begin)
        ++rank;
    return rank;
}

/// What a micro-batch came to, as bits: a result that is no number is a result, too.
using Outcome = std::array<std::uint64_t, 5>;
constexpr std::array<const char*, 5> outcome_names = {"loss", "correct", "gradient norm",
                                                      "gradient", "sum of the gradient"};

Outcome outcome_of(const LedgerRow& row) {
    const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value); };
    return {bits(row.loss), bits(row.correct), bits(row.squared_norm), bits(row.probe),
            row.checksum};
}

/// The first thing in which they differ.
const char* difference(const Outcome& one, const Outcome& other) {
    const auto at = std::mismatch(one.begin(), one.end(), other.begin()).first - one.begin();
    return outcome_names[static_cast<std::size_t>(at)];
}

/// A rank other than these, of other nodes if there are such; the only one when it is alone.
int another_rank(const Topology& topology, const std::vector<int>& taken, std::uint32_t random) {
    std::vector<int> elsewhere, here;
    for (int rank = 0; rank < topology.world().size(); ++rank) {
        if (std::find(taken.begin(), taken.end(), rank) != taken.end()) continue;
        here.push_back(rank);
        if (std::none_of(taken.begin(), taken.end(), [&](int other) {
                return topology.node_of(other) == topology.node_of(rank);
            }))
            elsewhere.push_back(rank);
    }
    const std::vector<int>& choice = elsewhere.empty() ? here : elsewhere;
    return choice.empty() ? taken.front() : choice[random % choice.size()];
}

/// @collective What `rank` gets from the micro-batch now, on every rank.
Outcome compute_again(Trainer::State& s, const StepPlan& plan, std::int64_t k, int rank) {
    Outcome outcome{};
    const Communicator& world = s.topology.world();
    if (world.rank() == rank) {
        Accumulator accumulator(s.table, s.quanta, {}, 0, 1);  // adds to nobody's sums
        accumulator.begin_pass();
        TimedSink sink(accumulator, s.table);
        outcome = outcome_of(compute_micro_batch(s, plan, k, accumulator, sink, nullptr));
    }
    world.broadcast(std::span<std::uint64_t>(outcome), rank);
    return outcome;
}

}  // namespace

std::int64_t verified_micro_batch(std::uint64_t seed, std::int64_t step,
                                  std::int64_t micro_batches) {
    return static_cast<std::int64_t>(random_words(seed, step)[0] %
                                     static_cast<std::uint64_t>(micro_batches));
}

void Verification::note_weights(const Trainer::State& s) {
    written_.assign(s.ownership.blocks().size(), 0);
    const BlockRun owned = s.owned();
    for (std::int64_t b = owned.begin; b < owned.end; ++b)
        written_[static_cast<std::size_t>(b)] = hash_of_block(s, static_cast<std::size_t>(b));
    s.topology.world().sum(written_);
}

void Verification::check_weights(const Trainer::State& s, std::int64_t step) {
    if (written_.empty()) return;
    const Topology& topology = s.topology;
    const Communicator& world = topology.world();
    const auto nodes = static_cast<std::size_t>(topology.node_count());
    const auto node = static_cast<std::size_t>(topology.node_index());
    std::vector<std::int64_t> wrong(nodes, 0);
    constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t first = none;  // of (block, node)
    for (auto b = static_cast<std::size_t>(topology.node().rank()); b < written_.size();
         b += static_cast<std::size_t>(topology.node().size())) {
        if (hash_of_block(s, b) == written_[b]) continue;
        ++wrong[node];
        first = std::min(first, static_cast<std::uint64_t>(b * nodes + node));
    }
    const std::size_t blocks = written_.size();
    written_.clear();
    world.sum(wrong);
    world.min(std::span(&first, 1));
    if (first == none) return;

    const auto hosts = world.all_gather(Session::host_name());
    const auto host_of = [&](int rank) { return hosts[static_cast<std::size_t>(rank)]; };
    const auto block = static_cast<std::int64_t>(first / nodes);
    const int bad_node = static_cast<int>(first % nodes);
    const Block& where = s.table.blocks()[static_cast<std::size_t>(block)];
    const Tensor& tensor = s.table[where.tensor];
    const int owner = owner_of(s, block);
    std::string counts;
    for (std::size_t n = 0; n < nodes; ++n)
        counts += fmt::format("{}{} of {} on node {}", n > 0 ? ", " : "", wrong[n], blocks, n);
    throw Error(
        fmt::format("step {}: node {} (host {}) doesn't hold the weights that rank {} (host {}) "
                    "wrote in step {}: {}, elements {} to {}; blocks that differ: {}",
                    step, bad_node, host_of(topology.ranks_of(bad_node).front()), owner,
                    host_of(owner), step - 1, tensor.name, where.begin - tensor.offset,
                    where.begin - tensor.offset + where.count - 1, counts),
        hint);
}

void Verification::check_micro_batch(Trainer::State& s, const StepPlan& plan, std::int64_t step) {
    if (plan.size() == 0) return;
    const auto random = random_words(s.config.seed, step);
    const std::int64_t k = verified_micro_batch(s.config.seed, step, plan.size());
    const LedgerRow& row = s.ledger.rows()[static_cast<std::size_t>(k)];
    std::vector<int> ranks{static_cast<int>(row.rank)};
    const Outcome first = outcome_of(row);
    ranks.push_back(another_rank(s.topology, ranks, random[1]));
    const Outcome second = compute_again(s, plan, k, ranks[1]);
    if (first == second) return;

    const Communicator& world = s.topology.world();
    std::string verdict = "one of them is wrong";
    if (world.size() >= 3) {
        ranks.push_back(another_rank(s.topology, ranks, random[2]));
        const Outcome third = compute_again(s, plan, k, ranks[2]);
        if (third == second)
            verdict = "the first is wrong";
        else if (third == first)
            verdict = "the second is wrong";
        else
            verdict = "no two agree";
    }
    const auto hosts = world.all_gather(Session::host_name());
    std::string who;
    for (std::size_t i = 0; i < ranks.size(); ++i)
        who += fmt::format("{}rank {} (host {})",
                           i == 0                 ? ""
                           : i + 1 < ranks.size() ? ", "
                                                  : " and ",
                           ranks[i], hosts[static_cast<std::size_t>(ranks[i])]);
    if (world.size() == 1) who += ", twice";
    throw Error(
        fmt::format("step {}: micro-batch {}, computed by {}, has not the same bits: the {} "
                    "differs; {}",
                    step, k, who, difference(first, second), verdict),
        hint);
}

}  // namespace evengrad
