// Nodes of unequal speed: how micro-batches are dealt, and that nothing else changes.
#include <algorithm>
#include <numeric>

#include "tiny_run.hpp"
#include "train/node_speeds.hpp"
#include "train/work.hpp"

namespace evengrad::test {
namespace {

std::size_t at(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

/// A pass in which rank r computes micro-batch k = r, of cost `costs[k]`, in `seconds[k]`.
void follow(NodeSpeeds& speeds, const std::vector<double>& costs,
            const std::vector<double>& seconds) {
    Ledger ledger(static_cast<std::int64_t>(costs.size()));
    for (std::size_t k = 0; k < costs.size(); ++k) {
        LedgerRow row;
        row.rank = static_cast<std::int64_t>(k);
        row.nanoseconds = static_cast<std::int64_t>(seconds[k] * 1e9);
        ledger.record(static_cast<std::int64_t>(k), row);
    }
    speeds.follow(ledger, costs);
}

TEST(NodeSpeeds, RanksAtFirstThenWhatWasMeasured) {
    if (world().size() < 3) GTEST_SKIP() << "with three ranks only";
    const Communicator three = world().split(world().rank() < 3 ? 0 : 1, world().rank());
    if (world().rank() >= 3) return;
    const Topology topology(three, 2);  // ranks 0 and 1; rank 2
    NodeSpeeds speeds(topology);
    EXPECT_EQ(speeds.of_nodes(), (std::vector<double>{2.0, 1.0}));
    // Rank 2 has done nothing yet: as fast as the others.
    follow(speeds, {6.0, 2.0}, {2.0, 2.0});
    EXPECT_EQ(speeds.of_nodes(), (std::vector<double>{4.0, 2.0}));
    // What had nothing to do is nearly as fast as before.
    follow(speeds, {3.0, 0.0, 8.0}, {1.0, 0.0, 1.0});
    EXPECT_NEAR(speeds.of_nodes()[0], 4.0, 0.05);
    EXPECT_EQ(speeds.of_nodes()[1], 8.0);
}

// A node that took a hundred times as long once gets nothing for a while, but not for good.
TEST(NodeSpeeds, WhatPassesIsForgiven) {
    const Communicator two = world().split(world().rank() < 2 ? 0 : 1, world().rank());
    if (world().rank() >= 2) return;
    const Topology topology(two, 1);
    NodeSpeeds speeds(topology);
    const std::vector<double> costs(4, 1.0);
    std::vector<std::size_t> share;  // by step: micro-batches of the second node
    for (int step = 0; step < 100; ++step) {
        const auto dealt = deal_to_nodes(costs, speeds.of_nodes());
        share.push_back(dealt[1].size());
        Ledger ledger(4);
        for (std::size_t node = 0; node < 2; ++node)
            for (const std::int64_t k : dealt[node]) {
                LedgerRow row;
                row.rank = static_cast<std::int64_t>(node);
                row.nanoseconds = node == 1 && step == 10 ? 100'000'000'000 : 1'000'000'000;
                ledger.record(k, row);
            }
        speeds.follow(ledger, costs);
    }
    EXPECT_EQ(share[10], 2u);
    EXPECT_EQ(share[11], 0u);
    EXPECT_TRUE(std::all_of(share.begin() + 60, share.end(), [](auto n) { return n == 2; }));
}

TEST(NodeSpeeds, OneHiccupMovesLittleAndWhatStaysIsKnownSoon) {
    const Communicator alone = world().split(world().rank(), 0);
    const Topology topology(alone, 0);
    NodeSpeeds speeds(topology);
    for (int i = 0; i < 20; ++i) follow(speeds, {1.0}, {1.0});
    const double before = speeds.of_nodes()[0];
    // A node's share of a step is what it was thought to manage: slower, it takes longer.
    follow(speeds, {1.0}, {2.0});
    EXPECT_GT(speeds.of_nodes()[0], 0.75 * before);
    for (int i = 0; i < 5; ++i) follow(speeds, {1.0}, {2.0});
    EXPECT_LT(speeds.of_nodes()[0], 0.56 * before);
}

/// What a step's nodes got done, as a share of the sum of their ranks' speeds in that step.
double share_of_speeds(const Trainer& trainer, const StepRecord& record,
                       const std::vector<double>& costs) {
    const auto ranks = record.idle.size();
    std::vector<double> cost(ranks), seconds(ranks);
    for (std::size_t k = 0; k < trainer.ledger().size(); ++k) {
        const LedgerEntry& entry = trainer.ledger()[k];
        cost[at(entry.rank)] += costs[k];
        seconds[at(entry.rank)] += entry.seconds;
    }
    double speeds = 0.0;
    for (std::size_t r = 0; r < ranks; ++r) speeds += cost[r] / seconds[r];
    const double whole = record.idle[0] + seconds[0];
    return std::accumulate(cost.begin(), cost.end(), 0.0) / whole / speeds;
}

/// [steps, micro-batches]
std::vector<std::vector<double>> costs_of(const Dataset& data, const TrainConfig& config,
                                          std::int64_t steps) {
    std::vector<std::vector<double>> costs;
    const Planner planner(data, config.plan);
    for (std::int64_t step = 0; step < steps; ++step) {
        const StepPlan plan = planner.plan(step);
        costs.emplace_back();
        for (std::int64_t k = 0; k < plan.size(); ++k)
            costs.back().push_back(micro_batch_cost(config.model, plan.micro_batch(k)));
    }
    return costs;
}

// Two nodes, of which one has half the speed: equal shares keep the faster waiting, and 67 % of the
// sum of their speeds is what comes out; shares by speed give nearly all of it. The micro-batches
// are real; most of their time is waited, so that a busy machine doesn't decide.
TEST(UnequalNodes, GetSharesByTheirSpeedAndGiveTheSameBits) {
    constexpr std::int64_t steps = 12;
    TrainConfig config = tiny_config(steps);
    config.plan.global_batch_size = 48;
    config.plan.micro_batch_size = 1;
    const Dataset data(uneven_documents(400, 96));
    const auto costs = costs_of(data, config, steps);
    const double flops = std::accumulate(costs[0].begin(), costs[0].end(), 0.0);

    std::string straight;
    if (world().rank() == 0) {
        const Communicator alone = world().split(0, 0);
        Trainer trainer(alone, config, &data);
        straight = run_steps(trainer, steps).bits;
    } else {
        world().split(1, world().rank());
    }
    world().broadcast(straight, 0);

    config.ranks_per_node = (world().size() + 1) / 2;
    TestHooks hooks;
    // Half a second of waiting a step, if all nodes were as fast as the first.
    const double ranks = world().size();
    hooks.pace = [=, first = config.ranks_per_node](int rank, double cost) {
        return 0.5 * ranks * (rank < first ? 1.0 : 2.0) * cost / flops;
    };
    Trainer trainer(world(), config, &data, hooks);
    std::string bits;
    std::vector<double> shares;
    for (std::int64_t i = 0; i < steps; ++i) {
        const RunResult one = run_steps(trainer, 1);
        bits += one.bits.substr(0, one.bits.rfind('\n') + 1);
        const StepRecord& record = one.records[0];
        ASSERT_EQ(record.idle.size(), at(world().size()));
        shares.push_back(share_of_speeds(trainer, record, costs[at(i)]));
        EXPECT_GE(*std::min_element(record.idle.begin(), record.idle.end()), -1e-3);
    }
    EXPECT_EQ(bits + trainer.digest(), straight);
    const double first = shares[0];
    std::sort(shares.begin() + steps / 2, shares.end());
    const double later = shares[steps * 3 / 4];
    if (world().rank() == 0)
        fmt::print("shares of the nodes' speeds: {:.3f} at first, {:.3f} later (median)\n", first,
                   later);
    EXPECT_LT(first, 0.8) << "equal shares keep the faster node waiting";
    // (On nodes of several ranks, whole micro-batches fill the step's end less well.)
    EXPECT_GT(later, world().size() == 2 ? 0.9 : 0.85);
}

}  // namespace
}  // namespace evengrad::test
