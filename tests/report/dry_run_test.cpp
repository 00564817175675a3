// A dry run's numbers against those of the run itself.
#include "report/dry_run.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "checkpoint/folder.hpp"
#include "checkpoint/size.hpp"
#include "hdf5/scratch_folder.hpp"
#include "train/state.hpp"
#include "train/tiny_run.hpp"

namespace evengrad {
namespace {

using test::contains;
using test::ScratchFolder;
using test::world;

TEST(Spread, IsSmallestMedianLargest) {
    const Spread spread = Spread::of({5, 1, 9, 2, 7});
    EXPECT_EQ(spread.min, 1);
    EXPECT_EQ(spread.median, 5);
    EXPECT_EQ(spread.max, 9);
    EXPECT_EQ(Spread::of({}).max, 0);
}

class DryRunTest : public testing::TestWithParam<std::tuple<OptimizerKind, bool, int>> {};

TEST_P(DryRunTest, SaysWhatTheRunThenDoes) {
    const auto [kind, by_tokens, ranks_per_node] = GetParam();
    TrainConfig config = test::tiny_config(0);
    config.model.gpt().vocab_size = 2100;
    config.optimizer.kind = kind;
    config.ranks_per_node = ranks_per_node;
    if (by_tokens) config.plan.micro_batch_tokens = 200;
    const Dataset data(test::uneven_documents(101, 150, 5));
    const bool root = world().rank() == 0;
    config.plan.seq_length = config.model.gpt().seq_length;
    const Planner planner(data, config.plan);
    config.schedule.train_iters = planner.steps_per_epoch();
    const DryRun dry = look_ahead(world(), config, {}, root ? &data : nullptr, nullptr);

    Trainer trainer(world(), config, root ? &data : nullptr);
    const test::RunResult run = test::run_steps(trainer, config.schedule.train_iters);
    const Trainer::Memory memory = trainer.memory();
    if (!root) return;
    EXPECT_EQ(dry.steps_seen, config.schedule.train_iters);
    EXPECT_EQ(dry.steps_per_epoch, planner.steps_per_epoch());
    EXPECT_EQ(dry.parameters, trainer.parameters().parameter_count());
    EXPECT_EQ(dry.nodes, trainer.node_count());
    EXPECT_EQ(dry.memory.weights, memory.weights);
    EXPECT_EQ(dry.memory.sums, memory.sums);
    EXPECT_EQ(dry.memory.locks, memory.locks);
    EXPECT_EQ(dry.memory.snapshot, memory.snapshot);
    EXPECT_EQ(dry.memory.scratch_per_rank, memory.scratch_per_rank);
    EXPECT_EQ(dry.memory.moments, memory.moments);  // both of the first node
    EXPECT_EQ(memory.weights + memory.sums + memory.locks,
              trainer.state().store.memory().bytes().size());

    std::vector<double> tokens, loss_tokens, micro_batches;
    double all = 0.0;
    for (const StepRecord& record : run.records) {
        tokens.push_back(static_cast<double>(record.tokens));
        loss_tokens.push_back(static_cast<double>(record.loss_tokens));
        micro_batches.push_back(static_cast<double>(record.micro_batches));
        all += static_cast<double>(record.tokens);
    }
    const auto same = [](const Spread& a, const Spread& b) {
        return a.min == b.min && a.median == b.median && a.max == b.max;
    };
    EXPECT_TRUE(same(dry.step_tokens, Spread::of(tokens)));
    EXPECT_TRUE(same(dry.step_loss_tokens, Spread::of(loss_tokens)));
    EXPECT_TRUE(same(dry.step_micro_batches, Spread::of(micro_batches)));
    EXPECT_EQ(dry.tokens_of_run, static_cast<std::int64_t>(all));
    EXPECT_GT(dry.balance.min, 0.0);
    EXPECT_LE(dry.balance.max, 1.0 + 1e-12);
    EXPECT_GT(dry.mean_of_means, 1.5);
    EXPECT_TRUE(contains(dry_run_text(dry), {"dry run for", "attention", "normalization"}));
}

// The run's own bookkeeping, step by step, against the formula.
TEST(DryRun, CountsTheCheckpointsThatAreThereAtOnce) {
    const Dataset data(test::uneven_documents(30, 90));
    const bool root = world().rank() == 0;
    for (const std::int64_t interval : {0, 1, 2, 3, 7})
        for (const std::int64_t keep_last : {0, 1, 2, 5})
            for (const std::int64_t keep_every : {0, 2, 6}) {
                constexpr std::int64_t last = 31;
                LoopConfig loop;
                loop.save_interval = interval;
                loop.retention = {keep_last, keep_every};
                const DryRun dry = look_ahead(world(), test::tiny_config(last), loop,
                                              root ? &data : nullptr, nullptr);
                if (!root) continue;
                std::vector<std::int64_t> present;
                std::size_t most = 0;
                for (std::int64_t step = 1; step <= last; ++step) {
                    if (step != last && (interval == 0 || step % interval != 0)) continue;
                    present.push_back(step);
                    most = std::max(most, present.size());
                    for (const std::int64_t gone : expendable(loop.retention, present, step, {}))
                        present.erase(std::find(present.begin(), present.end(), gone));
                }
                EXPECT_EQ(dry.checkpoints_on_disk, static_cast<std::int64_t>(most))
                    << interval << ' ' << keep_last << ' ' << keep_every;
            }
}

INSTANTIATE_TEST_SUITE_P(All, DryRunTest,
                         testing::Combine(testing::Values(OptimizerKind::adamw,
                                                          OptimizerKind::adagrad,
                                                          OptimizerKind::sgd),
                                          testing::Bool(), testing::Values(0, 1)));

TEST(CheckpointBytes, AreThoseOfTheFile) {
    for (const auto& [layers, hidden, kind] :
         {std::tuple{1, 64, OptimizerKind::adamw}, std::tuple{6, 96, OptimizerKind::adamw},
          std::tuple{3, 160, OptimizerKind::sgd}, std::tuple{12, 64, OptimizerKind::lion}}) {
        const ScratchFolder folder;
        TrainConfig config = test::tiny_config(5);
        config.model.gpt().num_layers = layers;
        config.model.gpt().hidden_size = hidden;
        config.optimizer.kind = kind;
        const Dataset data(test::uneven_documents(30, 90));
        const bool root = world().rank() == 0;
        Trainer trainer(world(), config, root ? &data : nullptr);
        TrainingHistory history;
        // Like those of a run: noise in all but the step and the learning rate.
        std::mt19937 random(3);
        const auto noise = [&] { return static_cast<double>(random()) / 3e9 + 1.0; };
        for (std::int64_t step = 1; step <= 3000; ++step) {
            history.step.push_back(step);
            for (auto* curve :
                 {&history.loss, &history.grad_norm, &history.clipped_grad_norm,
                  &history.tokens_per_second, &history.gradient_signal, &history.gradient_noise,
                  &history.noise_scale, &history.noise_scale_error})
                curve->push_back(noise() * noise());
            history.skipped.push_back(0);
            history.lr.push_back(1e-3 * std::cos(static_cast<double>(step) / 3000));
            history.loss_tokens.push_back(1000 + static_cast<std::int64_t>(random() % 500));
        }
        const std::string options(4000, 'x');
        const auto file = save(trainer, folder.path(), history, options);
        if (!root) continue;
        CheckpointState state;
        state.options = options;
        const std::size_t expected =
            checkpoint_bytes(trainer.parameters(), moments_of(kind), state, 3000, 0);
        const auto there = static_cast<double>(std::filesystem::file_size(file));
        EXPECT_NEAR(static_cast<double>(expected) / there, 1.0, 0.01)
            << layers << " x " << hidden << ": " << expected << ", file " << there;
    }
}

}  // namespace
}  // namespace evengrad
