// Updates of whole tensors, block by block, and their state.
#include "optimizer/optimizer.hpp"

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "mpi_main.hpp"
#include "train/sums_of_ranks.hpp"

namespace evengrad {
namespace {

using test::world;

TEST(Optimizer, DecayOnlyWhereAsked) {
    for (const OptimizerFacts& facts : optimizers()) {
        OptimizerConfig config;
        config.kind = facts.kind;
        config.weight_decay = 0.5;
        std::vector<float> weights{2.0f, -4.0f}, m(2, 0.0f), v(2, 0.0f);
        const std::vector<float> nothing(2, 0.0f);
        update_elements({config, 0.1, 1}, false, 2, nothing.data(), weights.data(), m.data(),
                        v.data());
        EXPECT_EQ(weights, (std::vector<float>{2.0f, -4.0f})) << facts.name;
        update_elements({config, 0.1, 1}, true, 2, nothing.data(), weights.data(), m.data(),
                        v.data());
        EXPECT_LT(weights[0], 2.0f) << facts.name;
        EXPECT_GT(weights[1], -4.0f) << facts.name;
    }
    // And it is asked for on matrices, not on biases and norms.
    const ParameterTable table(GptConfig{});
    for (const Tensor& tensor : table.tensors())
        EXPECT_EQ(tensor.decay, tensor.shape.size() == 2) << tensor.name;
}

/// Weights after three updates of all blocks by this many ranks.
std::vector<float> updated_by(const Communicator& ranks, int per_node, OptimizerKind kind) {
    const GptConfig model{.num_layers = 1,
                          .hidden_size = 64,
                          .num_attention_heads = 2,
                          .seq_length = 24,
                          .vocab_size = 2500};
    const ParameterTable table(model);
    OptimizerConfig config;
    config.kind = kind;
    test::SumsOfRanks sums(ranks, per_node, table);
    const auto start = test::initial_weights(table, 3);
    if (sums.topology.node().rank() == 0)
        std::copy(start.begin(), start.end(), sums.store.weights().begin());
    sums.store.barrier();
    Optimizer optimizer(config, table, sums.ownership.of_rank(ranks.rank()));
    StepPlan plan;
    plan.loss_tokens = {3};
    plan.weight = {3.0};
    for (std::int64_t step = 1; step <= 3; ++step) {
        sums.run(
            plan, [](std::int64_t) { return 0; },
            [&](std::int64_t k) {
                std::mt19937 random(static_cast<unsigned>(step));
                std::normal_distribution<float> normal;
                for (Index t = 0; t < table.size(); ++t) {
                    std::vector<float> values(static_cast<std::size_t>(table[t].count));
                    for (float& value : values) value = normal(random);
                    sums.accumulator.add(t, 0, values);
                }
                return test::planned_row(plan, k);
            });
        optimizer.update(sums.mean(3.0), 0.7, 0.01, step, sums.store.weights());
        share_from_owners(sums.topology, sums.ownership, sums.store.weights(), sums.store.memory());
    }
    return {sums.store.weights().begin(), sums.store.weights().end()};
}

TEST(Optimizer, UpdateDoesNotDependOnWhoOwnsWhat) {
    // Of 0, 1 and 2 moments. (Where a rule's elements lie: kernels_offsets.)
    for (const OptimizerKind kind :
         {OptimizerKind::sgd, OptimizerKind::momentum, OptimizerKind::adamw}) {
        const Communicator alone = world().split(world().rank(), 0);
        const std::vector<float> expected = updated_by(alone, 0, kind);
        for (const int per_node : {0, 1, 2})
            EXPECT_EQ(updated_by(world(), per_node, kind), expected) << facts_of(kind).name;
    }
}

TEST(Optimizer, MomentsExistForOwnedBlocksOnly) {
    const ParameterTable table(GptConfig{});
    const auto elements =
        static_cast<std::size_t>(table.blocks()[0].count + table.blocks()[1].count);
    for (const OptimizerFacts& facts : optimizers()) {
        OptimizerConfig config;
        config.kind = facts.kind;
        Optimizer none(config, table, {3, 3}), some(config, table, {0, 2});
        EXPECT_EQ(some.moments(), moments_of(facts.kind));
        EXPECT_EQ(none.moments(), moments_of(facts.kind));
        for (int which = 0; which < some.moments(); ++which) {
            EXPECT_EQ(some.moment(which).size(), elements) << facts.name;
            EXPECT_TRUE(none.moment(which).empty()) << facts.name;
        }
    }
}

TEST(Optimizer, ListsAreCompleteAndUnambiguous) {
    EXPECT_EQ(optimizers().size(), 8u);
    EXPECT_EQ(schedules().size(), 11u);
    const std::map<std::string, int> moments{{"sgd", 0},     {"momentum", 1}, {"nesterov", 1},
                                             {"adagrad", 1}, {"rmsprop", 1},  {"adam", 2},
                                             {"adamw", 2},   {"lion", 1}};
    for (const OptimizerFacts& facts : optimizers()) {
        EXPECT_EQ(find_optimizer(facts.name), &facts);
        EXPECT_EQ(&facts_of(facts.kind), &facts);
        EXPECT_EQ(moments_of(facts.kind), moments.at(facts.name)) << facts.name;
        EXPECT_LE(facts.moments.size(), most_moments);
    }
    for (const ScheduleFacts& facts : schedules()) EXPECT_EQ(&facts_of(facts.decay), &facts);
    EXPECT_EQ(find_optimizer("sgdw"), nullptr);
}

}  // namespace
}  // namespace evengrad
