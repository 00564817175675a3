// Runs that are asked to end early: all ranks after the same step, saved, and to be gone on with.
#include "train/stop.hpp"

#include "checkpoint/saved_run.hpp"

namespace evengrad {
namespace {

using namespace test;

TEST(StopTime, EndsBeforeTheLimitRatherThanAfterIt) {
    EXPECT_FALSE(leaves_no_time(10, 2, 3, 15));
    EXPECT_TRUE(leaves_no_time(10.1, 2, 3, 15));
    EXPECT_TRUE(leaves_no_time(0, 20, 0, 15));
    EXPECT_FALSE(leaves_no_time(14, 0.5, 0, 15));
    EXPECT_EQ(median({5.0}), 5.0);
    EXPECT_EQ(median({9.0, 1.0, 100.0}), 9.0);
    EXPECT_EQ(median({4.0, 1.0, 3.0, 2.0}), 3.0);
}

TEST(StopSignals, AreHandledWhileTheyLiveAndPutBackAfterwards) {
    struct sigaction before {
    }, after{};
    ASSERT_EQ(sigaction(SIGUSR1, nullptr, &before), 0);
    {
        const StopSignals signals;
        StopRule rule(world(), 0.0);
        EXPECT_EQ(rule.reason(1.0, 1.0), "");
        world().barrier();
        std::raise(SIGUSR1);
        std::raise(SIGTERM);  // a second one changes nothing
        EXPECT_EQ(rule.reason(1.0, 1.0), fmt::format("SIGUSR1 on rank {}", world().size() - 1));
    }
    ASSERT_EQ(sigaction(SIGUSR1, nullptr, &after), 0);
    EXPECT_EQ(before.sa_handler, after.sa_handler);
    const StopSignals again;
    StopRule rule(world(), 0.0);
    EXPECT_EQ(rule.reason(1.0, 1.0), "") << "an earlier run's signal";
}

TEST(StopSignals, OfAProcessThatEndsAreIgnored) {
    struct sigaction before {};
    ASSERT_EQ(sigaction(SIGTERM, nullptr, &before), 0);
    {
        StopSignals signals;
        signals.ignore_for_good();
        std::raise(SIGTERM);
    }
    std::raise(SIGTERM);  // would end this process
    for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM}) sigaction(signal, &before, nullptr);
}

/// Only rank 0 may touch files.
std::filesystem::path path_on_root(const std::filesystem::path& path) {
    return world().rank() == 0 ? path : std::filesystem::path("/dev/null/none");
}

/// Sends this process a signal at the start of a step, on one rank.
TestHooks signal_at(std::int64_t step, int rank, int signal) {
    TestHooks hooks;
    hooks.order = [=, count = std::int64_t{0}](std::vector<std::int64_t>&) mutable {
        if (++count == step && world().rank() == rank) std::raise(signal);
    };
    return hooks;
}

TEST(Stop, ASignalAtAnyRankSavesAndTheResumedRunIsExact) {
    ScratchFolder folder;
    const Dataset data{resume_data()};
    TrainConfig config = resume_config(OptimizerKind::adamw);
    Trainer straight(world(), config, &data);
    run_steps(straight, 20);
    const std::string expected = straight.digest();
    const std::vector<std::pair<int, const char*>> signals{
        {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGTERM, "SIGTERM"}};
    for (int rank = 0; rank < world().size(); ++rank) {
        const auto [signal, name] = signals[static_cast<std::size_t>(rank) % signals.size()];
        LoopConfig loop;
        loop.save_dir = path_on_root(folder / fmt::format("run{}", rank));
        {
            const StopSignals handled;
            Trainer trainer(world(), config, &data, signal_at(7, rank, signal));
            const RunEnd end = run_training(trainer, loop, nullptr, {});
            EXPECT_EQ(end.step, 7);
            EXPECT_EQ(trainer.steps_done(), 7);
            EXPECT_EQ(end.stopped_by, fmt::format("{} on rank {}", name, rank));
            if (world().rank() == 0) {
                EXPECT_EQ(end.saved.filename(), "step-00000007.h5");
                EXPECT_EQ(read_checkpoint_info(find_checkpoint(loop.save_dir)).state.step, 7);
            }
        }
        loop.resume = loop.save_dir;
        Trainer resumed(world(), config, &data);
        const RunEnd end = run_training(resumed, loop, nullptr, {});
        EXPECT_EQ(end.stopped_by, "");
        EXPECT_EQ(end.step, 20);
        EXPECT_EQ(resumed.digest(), expected) << name << " on rank " << rank;
    }
}

TEST(Stop, WhenTheTimeIsUpARunHasDoneAStepAndIsSaved) {
    ScratchFolder folder;
    const Dataset data{resume_data()};
    const TrainConfig config = resume_config(OptimizerKind::adamw);
    LoopConfig loop;
    loop.save_dir = path_on_root(folder / "run");
    loop.exit_duration_in_mins = 1e-6;
    for (std::int64_t step = 1; step <= 3; ++step) {
        Trainer trainer(world(), config, &data);
        const RunEnd end = run_training(trainer, loop, nullptr, {});
        EXPECT_EQ(end.step, step) << "a resumed run must get on";
        EXPECT_EQ(end.stopped_by, "--exit-duration-in-mins 1e-06");
        loop.resume = loop.save_dir;
    }
    loop.exit_duration_in_mins = 60;
    Trainer trainer(world(), config, &data);
    EXPECT_EQ(run_training(trainer, loop, nullptr, {}).stopped_by, "");
    EXPECT_EQ(trainer.steps_done(), 20);
}

TEST(Stop, ASignalInTheLastStepIsNoEarlyEnd) {
    ScratchFolder folder;
    const Dataset data{resume_data()};
    TrainConfig config = resume_config(OptimizerKind::adamw);
    config.schedule.train_iters = 2;
    LoopConfig loop;
    loop.save_dir = path_on_root(folder / "run");
    const StopSignals handled;
    Trainer trainer(world(), config, &data, signal_at(2, world().size() - 1, SIGTERM));
    const RunEnd end = run_training(trainer, loop, nullptr, {});
    EXPECT_EQ(end.stopped_by, "");
    EXPECT_EQ(end.step, 2);
}

}  // namespace
}  // namespace evengrad
