// Saved on one layout, resumed on another: as if nothing had happened.
#include "checkpoint/saved_run.hpp"

namespace evengrad {
namespace {

using namespace test;

/// Only rank 0 may touch files: the others get a folder that can't exist.
std::filesystem::path path_on_root(const std::filesystem::path& path) {
    return world().rank() == 0 ? path : std::filesystem::path("/dev/null/none");
}

class Resume : public testing::TestWithParam<OptimizerKind> {
  protected:
    ScratchFolder folder_;
    Dataset data_{resume_data()};
    TrainConfig config_ = resume_config(GetParam());
};

TEST_P(Resume, R21R22OnAnotherLayoutTheBitsAreThoseOfOneRun) {
    const std::string straight = on_ranks(1, [&](const Communicator& ranks) {
        Trainer trainer(ranks, config_, &data_);
        const RunResult first = run_steps(trainer, 10);
        int updates = 0;
        for (const StepRecord& record : first.records) updates += record.loss.has_value();
        EXPECT_LT(updates, 10) << "every step was an update";
        return run_steps(trainer, 10).bits;
    });
    const std::vector<Layout> all = layouts();
    for (std::size_t i = 0; i < all.size(); ++i) {
        const Layout before = all[i], after = all[all.size() - 1 - i];
        const auto dir = path_on_root(folder_ / fmt::format("run{}", i));
        if (world().rank() == 0) std::filesystem::create_directory(dir);
        config_.ranks_per_node = before.ranks_per_node;
        const std::string saved = on_ranks(before.ranks, [&](const Communicator& ranks) {
            Trainer trainer(ranks, config_, &data_);
            const RunResult result = run_steps(trainer, 10);
            save(trainer, dir, history_of(result.records), "[options]\n");
            return trainer.digest();
        });
        config_.ranks_per_node = after.ranks_per_node;
        std::string restored;
        const std::string resumed = on_ranks(after.ranks, [&](const Communicator& ranks) {
            Trainer trainer(ranks, config_, &data_);
            TrainingHistory history;
            restore(trainer, dir, history);  // the folder: its `latest` is followed
            EXPECT_EQ(trainer.steps_done(), 10);
            restored = trainer.digest();
            EXPECT_EQ(history.step.size(), ranks.rank() == 0 ? 10u : 0u);
            return run_steps(trainer, 10).bits;
        });
        EXPECT_EQ(resumed, straight) << name(before) << ", then " << name(after);
        if (world().rank() != 0) continue;
        EXPECT_EQ(restored, saved);
        const CheckpointInfo info = read_checkpoint_info(find_checkpoint(dir));
        EXPECT_EQ(checkpoint_digest(info), saved);
        EXPECT_EQ(info.state.step, 10);
        EXPECT_LT(info.state.updates, 10);
        EXPECT_EQ(info.moments, moments_of(GetParam()));
        EXPECT_EQ(info.state.options, "[options]\n");
    }
}

TEST_P(Resume, EqualRunsOnAnyLayoutWriteEqualBytes) {
    ::setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    std::string first;
    for (const Layout& layout : layouts()) {
        config_.ranks_per_node = layout.ranks_per_node;
        on_ranks(layout.ranks, [&](const Communicator& ranks) {
            Trainer trainer(ranks, config_, &data_);
            const RunResult result = run_steps(trainer, 3);
            save(trainer, path_on_root(folder_.path()), history_of(result.records), "");
            return result.bits;
        });
        if (world().rank() != 0) continue;
        const std::string bytes = bytes_of(folder_ / "latest");
        EXPECT_GT(bytes.size(), 1000u);
        if (first.empty()) first = bytes;
        EXPECT_TRUE(bytes == first) << name(layout);
    }
    ::unsetenv("SOURCE_DATE_EPOCH");
}

TEST_P(Resume, ALoopGoesOnWhereItsLastCheckpointWas) {
    LoopConfig loop;
    loop.save_dir = path_on_root(folder_ / "run");
    loop.save_interval = 4;
    loop.retention.keep_last = 0;
    config_.schedule.train_iters = 10;
    config_.schedule.decay = LrDecay::constant;  // so that the second half may be asked for later
    {
        Trainer trainer(world(), config_, &data_);
        run_training(trainer, loop, nullptr, {});
        EXPECT_EQ(trainer.steps_done(), 10);
    }
    LoopConfig again = loop;
    again.resume = loop.save_dir;
    config_.schedule.train_iters = 14;
    Trainer resumed(world(), config_, &data_);
    run_training(resumed, again, nullptr, {});
    Trainer straight(world(), config_, &data_);
    run_steps(straight, 14);
    EXPECT_EQ(resumed.digest(), straight.digest());
    if (world().rank() != 0) return;
    for (const char* file : {"step-00000004.h5", "step-00000008.h5", "step-00000010.h5",
                             "step-00000012.h5", "step-00000014.h5"})
        EXPECT_TRUE(std::filesystem::is_regular_file(folder_ / "run" / file)) << file;
    EXPECT_EQ(std::filesystem::read_symlink(folder_ / "run" / "latest"), "step-00000014.h5");
    const CheckpointInfo info = read_checkpoint_info(find_checkpoint(folder_ / "run"));
    ASSERT_EQ(info.history.step.size(), 14u);
    for (std::size_t i = 0; i < 14; ++i) {
        EXPECT_EQ(info.history.step[i], static_cast<std::int64_t>(i) + 1);
        // A step without any token with a loss: undefined, not 0 (R9).
        EXPECT_EQ(std::isnan(info.history.loss[i]), info.history.loss_tokens[i] == 0);
    }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, Resume,
                         testing::Values(OptimizerKind::adamw, OptimizerKind::sgd),
                         [](const auto& info) { return std::string(facts_of(info.param).name); });

}  // namespace
}  // namespace evengrad
