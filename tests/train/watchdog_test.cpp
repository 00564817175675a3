// The watchdog on real ranks; where it would end the job it only says so here.
#include "train/watchdog.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include "base/pulse.hpp"
#include "checkpoint/saved_run.hpp"

namespace {

/// What syncing a file to the disk does here: at once, slow, or nothing until it is let go.
std::atomic<unsigned> sync_microseconds = 0;
std::atomic<bool> disk_answers = true;

}  // namespace

extern "C" int fsync(int file) {
    usleep(sync_microseconds);
    while (!disk_answers) usleep(10'000);
    return static_cast<int>(syscall(SYS_fsync, file));
}

namespace evengrad {
namespace {

using namespace test;

/// What the watchdogs said, all ranks' together.
std::string all_of(const std::string& said) {
    std::string joined;
    for (const std::string& text : world().all_gather(said)) joined += text;
    return joined;
}

/// Patience in these tests, seconds: long against what a busy machine may hold up.
constexpr double patience = 3.0;

struct TrainedRun {
    std::string said;  ///< by any rank's watchdog
    RunEnd end;
};

TrainedRun train_and_save() {
    ScratchFolder folder;
    const Dataset data{resume_data()};
    std::string said;
    TestHooks hooks;
    hooks.end_job = [&](const std::string& what, const std::string&) {
        said = what;
        disk_answers = true;
    };
    Trainer trainer(world(), resume_config(OptimizerKind::adamw), &data, hooks);
    LoopConfig loop;
    loop.save_dir = world().rank() == 0 ? folder / "run" : "/dev/null/none";
    loop.stall_timeout = patience;
    const RunEnd end = run_training(trainer, loop, nullptr, {});
    return {all_of(said), end};
}

TEST(Watchdog, ADiskThatDoesNotAnswerIsAStallOfRank0) {
    disk_answers = false;
    const TrainedRun run = train_and_save();
    EXPECT_NE(run.said.find("rank 0 (host "), std::string::npos) << run.said;
    EXPECT_NE(run.said.find("has got nothing done for 3 s, in step 20, phase save: it runs"),
              std::string::npos)
        << run.said;
    EXPECT_EQ(run.end.step, 20) << "it did answer in the end";
}

TEST(Watchdog, ASlowDiskIsNone) {
    sync_microseconds = 1'200'000;
    const double begin = monotonic_seconds();
    const TrainedRun run = train_and_save();
    sync_microseconds = 0;
    EXPECT_EQ(run.said, "");
    if (world().rank() == 0) {
        EXPECT_GT(monotonic_seconds() - begin, 2.5 * patience);
    }
}

TEST(Watchdog, ARankWhoseHostOnlyWaitsNamesTheOthers) {
    if (world().size() == 1) GTEST_SKIP() << "needs two";
    // Each rank is a host by itself; rank 0 is at something that takes long, and not watched.
    const Communicator host = world().split(world().rank(), 0);
    std::string said;
    std::atomic<bool> heard = false;
    {
        const Watchdog watchdog(world(), host, world().rank() == 0 ? 1000.0 : 1.0,
                                [&](const std::string& what, const std::string&) {
                                    said = what;
                                    heard = true;
                                });
        begin_activity(7, Activity::evaluate);
        const double begin = monotonic_seconds();
        const auto slept = [&] { return monotonic_seconds() - begin; };
        while (world().rank() == 0 && slept() < 8.0) usleep(10'000);
        world().barrier();
        EXPECT_EQ(heard, world().rank() != 0);
    }
    if (world().rank() == 0) return;
    EXPECT_EQ(said.find("the 1 rank of host "), 0u) << said;
    EXPECT_NE(said.find("only waited for others for 2 s, in step 7, phase evaluate: another host"),
              std::string::npos)
        << said;
}

TEST(Watchdog, EndsWithItsRunAtOnce) {
    const Communicator host = world().split_shared();
    const double begin = monotonic_seconds();
    for (int i = 0; i < 10; ++i)
        const Watchdog watchdog(world(), host, patience, [](const auto&, const auto&) { FAIL(); });
    EXPECT_LT(monotonic_seconds() - begin, 5.0) << "not a second each";
}

}  // namespace
}  // namespace evengrad
