#include "lab/prediction.hpp"

#include <algorithm>
#include <bit>

#include "base/narrow.hpp"
#include "gradient/ledger.hpp"
#include "train/work.hpp"

namespace evengrad {

namespace {

/// Of a link's bits, those that are payload of TCP/IP in Ethernet frames of 1500 bytes: 1448 of
/// 1538.
constexpr double payload = 1448.0 / 1538.0;
/// Sender and receiver of a message above Open MPI's eager limit (64 KiB over TCP) greet each other
/// first: there, back, and there with the content.
constexpr double trips_of_large_message = 3.0;

constexpr std::int64_t word = 8;

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

/// Rounds in which twice as many nodes each time know something.
double doublings(std::int64_t nodes) {
    return static_cast<double>(std::bit_width(static_cast<std::uint64_t>(nodes - 1)));
}

class Wires {
  public:
    Wires(const Network& network, std::int64_t nodes, std::int64_t ranks)
        : rate_(network.gigabits * 1e9 / 8.0 * payload),
          latency_(network.latency),
          nodes_(static_cast<double>(nodes)),
          ranks_(static_cast<double>(ranks)),
          doublings_(doublings(nodes)) {}

    double seconds(double bytes) const { return bytes / rate_; }

    /// A tree's latency; the content is scattered and gathered, so it passes a link twice.
    double broadcast(std::int64_t bytes) const {
        return doublings_ * latency_ + 2.0 * others_share() * seconds(static_cast<double>(bytes));
    }

    /// The better one of recursive doubling, where all ranks of a node use its link in each round,
    /// and Rabenseifner's algorithm, where the ranks of a node come together first.
    double all_reduce(std::int64_t bytes) const {
        const double once = seconds(static_cast<double>(bytes));
        return std::min(doublings_ * (latency_ + ranks_ * once),
                        2.0 * doublings_ * latency_ + 2.0 * others_share() * once);
    }

    /// Rounds of an exchange in which the fullest node moves `node_elements` and its busiest rank
    /// `rank_elements`: the link is full, or a rank is late, which can't do anything but wait while
    /// a message is under way, nor use the link while it does something else.
    double rounds(std::int64_t element_size, std::int64_t node_elements, std::int64_t rank_elements,
                  std::int64_t messages, double work) const {
        const double of_link = seconds(static_cast<double>(element_size * node_elements));
        const double of_rank = seconds(static_cast<double>(element_size * rank_elements)) +
                               static_cast<double>(messages) * trips_of_large_message * latency_ +
                               static_cast<double>(rank_elements) * work;
        return (nodes_ - 1.0) * std::max(of_link, of_rank);
    }

  private:
    double others_share() const { return (nodes_ - 1.0) / nodes_; }

    double rate_, latency_, nodes_, ranks_, doublings_;
};

/// Bytes of what broadcast_plan() sends, and of the times that a step's record ends with.
std::vector<std::int64_t> broadcasts_of(const StepShape& shape, std::int64_t nodes,
                                        std::int64_t micro_batches) {
    const std::int64_t sequences = micro_batches * shape.sequences;
    const std::int64_t tokens = micro_batches * shape.tokens;
    std::vector<std::int64_t> all{2 * word, word};  // step and epoch, denominator
    for (const std::int64_t bytes :
         {word * (micro_batches + 1), word * (micro_batches + 1),  // where each begins
          word * micro_batches, word * micro_batches,              // loss tokens, weights
          word * sequences, 4 * sequences, 4 * sequences,          // numbers, lengths, keys
          4 * tokens, 4 * tokens, 4 * tokens,                      // tokens, targets, weights
          std::int64_t{0}, std::int64_t{0}}) {                     // rows of numbers
        all.push_back(word);                                       // the size
        if (bytes > 0) all.push_back(bytes);
    }
    all.insert(all.end(), {word, 3 * word, word * nodes * shape.ranks});  // seconds, busy, idle
    return all;
}

}  // namespace

Traffic traffic_of(const StepShape& shape, std::int64_t nodes, std::int64_t micro_batches) {
    Traffic traffic;
    const auto elements = [&](BlockRun run) {
        std::int64_t count = 0;
        for (std::int64_t b = run.begin; b < run.end; ++b) count += shape.blocks[at(b)].count;
        return count;
    };
    const std::vector<std::int64_t> equal_nodes(at(nodes), shape.ranks);
    const std::vector<std::int64_t> equal_ranks(at(shape.ranks), 1);
    for (const BlockRun of_node :
         cut_blocks(shape.blocks, {0, std::ssize(shape.blocks)}, equal_nodes)) {
        traffic.node_elements = std::max(traffic.node_elements, elements(of_node));
        for (const BlockRun run : cut_blocks(shape.blocks, of_node, equal_ranks)) {
            traffic.rank_elements = std::max(traffic.rank_elements, elements(run));
            traffic.sum_messages = std::max(traffic.sum_messages,
                                            messages_of(shape.blocks, run, sizeof(std::uint64_t)));
            traffic.weight_messages =
                std::max(traffic.weight_messages, messages_of(shape.blocks, run, sizeof(float)));
        }
    }
    traffic.broadcasts = broadcasts_of(shape, nodes, micro_batches);
    traffic.all_reduces = {static_cast<std::int64_t>(sizeof(LedgerRow)) * micro_batches,
                           4 * shape.tensors,
                           word * shape.tensors,
                           word,                                   // largest, lost, not finite
                           word * (std::ssize(shape.blocks) + 1),  // norms and a checksum
                           word,
                           word * shape.tensors};  // weights not finite, probes
    return traffic;
}

PredictedStep predict(const StepModel& model, const Network& network, std::int64_t nodes,
                      std::int64_t micro_batches) {
    const StepShape& shape = model.shape;
    const StepCosts& costs = model.costs;
    const Traffic traffic = traffic_of(shape, nodes, micro_batches);
    const auto work = static_cast<double>(micro_batches);
    PredictedStep step;
    step.tokens = work * static_cast<double>(shape.tokens);
    step.plan = step.tokens * costs.plan_token + work * static_cast<double>(nodes) * costs.deal;
    const std::int64_t in_a_row = ceil_divide(ceil_divide(micro_batches, nodes), shape.ranks);
    step.compute = static_cast<double>(in_a_row) * costs.micro_batch;
    step.update = static_cast<double>(traffic.rank_elements) * costs.update;
    if (nodes == 1) return step;

    const Wires wires(network, nodes, shape.ranks);
    for (const std::int64_t bytes : traffic.broadcasts) step.plan += wires.broadcast(bytes);
    for (const std::int64_t bytes : traffic.all_reduces) step.agree += wires.all_reduce(bytes);
    step.exchange = wires.rounds(sizeof(std::uint64_t), traffic.node_elements,
                                 traffic.rank_elements, traffic.sum_messages, costs.add) +
                    wires.rounds(sizeof(float), traffic.node_elements, traffic.rank_elements,
                                 traffic.weight_messages, 0.0);
    return step;
}

std::int64_t micro_batches_for(double efficiency, const StepModel& model, const Network& network,
                               std::int64_t nodes) {
    const auto enough = [&](std::int64_t of_rank) {
        const std::int64_t of_node = of_rank * model.shape.ranks;
        return predict(model, network, nodes, of_node * nodes).speed() >=
               efficiency * static_cast<double>(nodes) *
                   predict(model, network, 1, of_node).speed();
    };
    const std::int64_t most = most_micro_batches_of_step / (nodes * model.shape.ranks);
    if (most == 0 || !enough(most)) return 0;
    std::int64_t too_few = 0, will_do = most;
    while (will_do - too_few > 1) {
        const std::int64_t between = too_few + (will_do - too_few) / 2;
        (enough(between) ? will_do : too_few) = between;
    }
    return will_do;
}

}  // namespace evengrad
