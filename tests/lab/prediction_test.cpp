// The model of a step on many nodes, by hand.
#include "lab/prediction.hpp"

#include <sstream>

#include <gtest/gtest.h>

#include "gradient/ledger.hpp"
#include "lab/step_costs.hpp"
#include "report/prediction_report.hpp"
#include "train/work.hpp"

namespace evengrad {
namespace {

constexpr std::int64_t block = 65'536;
/// Payload bytes a second of 1 Gbit/s.
constexpr double rate = 1e9 / 8.0 * 1448.0 / 1538.0;

std::vector<ElementRange> blocks_of(std::int64_t count) {
    std::vector<ElementRange> blocks;
    for (std::int64_t b = 0; b < count; ++b) blocks.push_back({b * block, block});
    return blocks;
}

/// Eight full blocks, nothing that costs but what a test says.
StepModel model_of(std::int64_t ranks) {
    StepModel model;
    model.shape = {blocks_of(8), 1, ranks, 2, 100};
    return model;
}

const Network fast{1e30, 0.0};

TEST(Traffic, OwnersAreThoseOfARun) {
    StepShape shape = model_of(1).shape;
    Traffic two = traffic_of(shape, 2, 2);
    EXPECT_EQ(two.node_elements, 4 * block);
    EXPECT_EQ(two.rank_elements, 4 * block);
    EXPECT_EQ(two.sum_messages, 4);     // 512 KiB each
    EXPECT_EQ(two.weight_messages, 2);  // two blocks fit into one
    shape.ranks = 2;
    two = traffic_of(shape, 2, 2);
    EXPECT_EQ(two.node_elements, 4 * block);
    EXPECT_EQ(two.rank_elements, 2 * block);
    EXPECT_EQ(two.sum_messages, 2);
    EXPECT_EQ(two.weight_messages, 1);
}

TEST(Traffic, MoreRanksThanBlocksDontMakeThemSmaller) {
    StepShape shape = model_of(1).shape;
    for (const std::int64_t nodes : {8, 9, 100, 1024}) {
        const Traffic traffic = traffic_of(shape, nodes, nodes);
        EXPECT_EQ(traffic.node_elements, block);
        EXPECT_EQ(traffic.sum_messages, 1);
    }
    shape.blocks = blocks_of(3);
    EXPECT_EQ(traffic_of(shape, 2, 2).node_elements, 2 * block);
}

TEST(Traffic, GapsCutMessages) {
    StepShape shape;
    shape.blocks = {{0, 10}, {10, 6}, {32, 100}};
    EXPECT_EQ(traffic_of(shape, 1, 1).sum_messages, 2);
    EXPECT_EQ(traffic_of(shape, 1, 1).weight_messages, 2);
}

TEST(Traffic, PlanAndLedger) {
    const Traffic traffic = traffic_of(model_of(2).shape, 3, 5);
    std::int64_t bytes = 0;
    for (const std::int64_t of_one : traffic.broadcasts) bytes += of_one;
    // 5 micro-batches of 2 sequences and 100 tokens; twelve sizes; six times three ranks' times.
    EXPECT_EQ(bytes, 24 + 12 * 8 + (6 + 6 + 5 + 5) * 8 + 10 * 16 + 500 * 12 + 8 + 24 + 6 * 8);
    EXPECT_EQ(traffic.all_reduces.front(), 5 * 104);
    EXPECT_EQ(sizeof(LedgerRow), 104u);
}

TEST(Predict, OneNodeSendsNothing) {
    StepModel model = model_of(2);
    model.costs = {3.0, 1e-3, 1e-4, 1e-6, 1.0};
    const PredictedStep step = predict(model, {1e-9, 1e9}, 1, 4);
    EXPECT_DOUBLE_EQ(step.plan, 0.4 + 4e-4);
    EXPECT_DOUBLE_EQ(step.compute, 6.0);
    EXPECT_EQ(step.agree, 0.0);
    EXPECT_EQ(step.exchange, 0.0);
    EXPECT_DOUBLE_EQ(step.update, 4 * block * 1e-6);
    EXPECT_DOUBLE_EQ(step.seconds(), 6.4004 + 4 * block * 1e-6);
    EXPECT_DOUBLE_EQ(step.speed(), 400.0 / step.seconds());
}

TEST(Predict, SumsAndWeightsAtTheSpeedOfTheLink) {
    for (const std::int64_t nodes : {2, 4, 8}) {
        const PredictedStep step = predict(model_of(1), {1.0, 0.0}, nodes, nodes);
        const auto parameters = static_cast<double>(8 * block), n = static_cast<double>(nodes);
        EXPECT_NEAR(step.exchange, (8.0 + 4.0) * parameters * (n - 1.0) / n / rate, 1e-12);
        EXPECT_NEAR(predict(model_of(1), {10.0, 0.0}, nodes, nodes).exchange, step.exchange / 10.0,
                    1e-12);
    }
    // Where one node has all blocks but one, its link decides.
    StepModel model = model_of(1);
    model.shape.blocks = blocks_of(3);
    EXPECT_NEAR(predict(model, {1.0, 0.0}, 2, 2).exchange, 12.0 * 2 * block / rate, 1e-12);
}

TEST(Predict, RanksFillTheLinkWhileOthersAddUp) {
    const double sums = 8.0 * 4 * block / rate, weights = sums / 2.0;
    StepModel model = model_of(1);
    model.costs.add = 1e-8;
    const double adding = 4 * block * 1e-8;
    EXPECT_NEAR(predict(model, {1.0, 0.0}, 2, 2).exchange, sums + weights + adding, 1e-12);
    model.shape.ranks = 4;
    EXPECT_NEAR(predict(model, {1.0, 0.0}, 2, 8).exchange, sums + weights, 1e-12);
    // Four messages of sums and two of weights, three trips each; of four ranks one and one.
    model.costs.add = 0.0;
    EXPECT_NEAR(predict(model, {1e30, 1e-3}, 2, 8).exchange, 2 * 3e-3, 1e-12);
    model.shape.ranks = 1;
    EXPECT_NEAR(predict(model, {1e30, 1e-3}, 2, 2).exchange, 6 * 3e-3, 1e-12);
}

TEST(Predict, CollectivesTakeTurns) {
    StepModel model = model_of(4);
    // Nothing but latency: a tree of ten levels at 1,024 nodes.
    const Network slow{1e30, 1e-3};
    const auto broadcasts = std::ssize(traffic_of(model.shape, 1024, 4096).broadcasts);
    EXPECT_NEAR(predict(model, slow, 1024, 4096).plan, static_cast<double>(broadcasts) * 1e-2,
                1e-9);
    EXPECT_NEAR(predict(model, slow, 1024, 4096).agree, 7 * 1e-2, 1e-9);
    EXPECT_NEAR(predict(model, slow, 3, 12).agree, 7 * 2e-3, 1e-9);
    // Nothing but bytes: the ledger doubles among 4 nodes with 1 rank, 2 rounds, as it does in
    // scattering and gathering 3/4 of it twice; with 4 ranks only the latter is used.
    double bytes = 0.0;
    for (const std::int64_t of_one : traffic_of(model.shape, 4, 16).all_reduces)
        bytes += static_cast<double>(of_one);
    EXPECT_NEAR(predict(model, {1.0, 0.0}, 4, 16).agree, 1.5 * bytes / rate, 1e-12);
}

TEST(Predict, AnEndlesslyFastNetworkCostsNothing) {
    StepModel model = model_of(2);
    model.costs = {3.0, 0.0, 0.0, 1e-6, 0.0};
    const PredictedStep one = predict(model, fast, 1, 6), four = predict(model, fast, 4, 24);
    EXPECT_NEAR(four.seconds(), 9.0 + block * 1e-6, 1e-9);
    EXPECT_NEAR(one.seconds(), 9.0 + 4 * block * 1e-6, 1e-9);
    EXPECT_GT(four.speed(), 4.0 * one.speed());
}

TEST(Predict, TheBusiestRankDecides) {
    StepModel model = model_of(2);
    model.costs.micro_batch = 1.0;
    const auto compute = [&](std::int64_t nodes, std::int64_t micro_batches) {
        return predict(model, fast, nodes, micro_batches).compute;
    };
    EXPECT_EQ(compute(1, 7), 4.0);
    EXPECT_EQ(compute(2, 5), 2.0);  // three on one node
    EXPECT_EQ(compute(2, 8), 2.0);
    EXPECT_EQ(compute(3, 6), 1.0);
    for (const std::int64_t nodes : {8, 100, 1024}) EXPECT_EQ(compute(nodes, 5), 1.0);
    EXPECT_EQ(compute(1024, 1), 1.0);
}

TEST(Predict, TheFewestMicroBatchesThatWillDo) {
    StepModel model = model_of(2);
    model.costs.micro_batch = 1e-2;
    const Network network{1.0, 50e-6};
    EXPECT_EQ(micro_batches_for(0.8, model, network, 1), 1);
    std::int64_t before = 1;
    for (const std::int64_t nodes : {2, 4, 8}) {
        const std::int64_t least = micro_batches_for(0.8, model, network, nodes);
        EXPECT_GT(least, before);
        before = least;
        const auto efficiency = [&](std::int64_t of_rank) {
            return predict(model, network, nodes, of_rank * 2 * nodes).speed() /
                   (static_cast<double>(nodes) * predict(model, network, 1, of_rank * 2).speed());
        };
        EXPECT_GE(efficiency(least), 0.8);
        EXPECT_LT(efficiency(least - 1), 0.8);
    }
    // Where rank 0 takes as long to plan as the others to compute, no batch is large enough.
    model.costs.plan_token = 1e-5;
    EXPECT_EQ(micro_batches_for(0.8, model, network, 8), 0);
}

TEST(Predict, NoMoreMicroBatchesThanAStepMayHave) {
    StepModel model = model_of(2);
    const Network network{1.0, 0.0};
    // A rank's share of the most is computed in four times the time that the exchange takes, or a
    // little less: 80 % is in reach, or just out of it.
    constexpr std::int64_t nodes = 4, most = most_micro_batches_of_step / (2 * nodes);
    const PredictedStep step = predict(model, network, nodes, most * 2 * nodes);
    const double enough = 4.0 * (step.seconds() - step.compute) / static_cast<double>(most);
    model.costs.micro_batch = 1.001 * enough;
    const std::int64_t least = micro_batches_for(0.8, model, network, nodes);
    EXPECT_GT(least, 0);
    EXPECT_LE(least, most);
    model.costs.micro_batch = 0.999 * enough;
    EXPECT_EQ(micro_batches_for(0.8, model, network, nodes), 0);
    // More ranks than a step may have micro-batches: some would have none.
    EXPECT_EQ(micro_batches_for(0.8, model, fast, most_micro_batches_of_step), 0);
}

TEST(StepCosts, ARankIsAsSlowAsItsOwnMicroBatches) {
    // Rank 0 drew three, rank 1 one, which took longer; rank 2 came too late.
    const auto of = [](std::int64_t rank, double seconds) {
        LedgerEntry entry;
        entry.rank = rank;
        entry.seconds = seconds;
        return entry;
    };
    EXPECT_DOUBLE_EQ(seconds_of_slowest({of(0, 1.0), of(1, 2.5), of(0, 1.5), of(0, 2.0)}), 2.5);
    EXPECT_DOUBLE_EQ(seconds_of_slowest({of(0, 1.0), of(1, 1.25), of(0, 1.5), of(0, 2.0)}), 1.5);
}

/// Lines of what is said, without those of the head.
std::vector<std::string> rows_of(const PredictionReport& report) {
    std::istringstream text(prediction_tables(report));
    std::vector<std::string> rows;
    for (std::string line; std::getline(text, line);)
        if (std::size_t begin = line.find_first_not_of(' ');
            begin != std::string::npos && begin > 0 && line.find("nodes") == std::string::npos)
            rows.push_back(line);
    return rows;
}

TEST(PredictionTables, EndWithTheNodesAskedFor) {
    StepModel model = model_of(2);
    model.costs.micro_batch = 1.0;
    const auto rows = rows_of({model, {fast}, 3, 1, 0});
    ASSERT_EQ(rows.size(), 3u);
    // Nodes, five parts, their sum, tokens a second, efficiency; micro-batches, sequences of two.
    EXPECT_EQ(rows[0],
              "     1    0.0000    1.0000    0.0000    0.0000    0.0000    1.0000"
              "         200  100 %          1         4");
    EXPECT_EQ(rows[1],
              "     2    0.0000    1.0000    0.0000    0.0000    0.0000    1.0000"
              "         400  100 %          1         8");
    EXPECT_EQ(rows[2],
              "     3    0.0000    1.0000    0.0000    0.0000    0.0000    1.0000"
              "         600  100 %          1        12");
}

TEST(PredictionTables, ABatchThatDoesntGrow) {
    StepModel model = model_of(2);
    model.costs.micro_batch = 1.0;
    const auto rows = rows_of({model, {fast}, 3, 1, 5});
    ASSERT_EQ(rows.size(), 3u);  // five micro-batches of 100 tokens: in 3, 2, 1 seconds
    EXPECT_TRUE(rows[0].ends_with("    3.0000         167  100 %")) << rows[0];
    EXPECT_TRUE(rows[1].ends_with("    2.0000         250   75 %")) << rows[1];
    EXPECT_TRUE(rows[2].ends_with("    1.0000         500  100 %")) << rows[2];
}

TEST(PredictionTables, NoBatchIsEnough) {
    StepModel model = model_of(2);
    model.costs.micro_batch = 1e-3;
    model.costs.plan_token = 1e-5;  // planning takes as long as computing
    const auto rows = rows_of({model, {{1.0, 0.0}}, 2, 1, 0});
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_TRUE(rows[0].ends_with(" %          1         4")) << rows[0];
    EXPECT_TRUE(rows[1].ends_with(" %          -         -")) << rows[1];
}

}  // namespace
}  // namespace evengrad
