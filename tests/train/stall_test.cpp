// Who is at fault when a run stands still: times are numbers here, nobody waits.
#include "train/stall.hpp"

#include <gtest/gtest.h>

namespace evengrad {
namespace {

using Fault = Stall::Fault;

constexpr double patience = 30.0;

/// A host whose ranks are what a test makes of them, watched second by second.
class StallWatchTest : public testing::Test {
  protected:
    enum State { works, waits, stuck, stopped, unwatched };

    /// One more second, in which each rank is in its state.
    std::optional<Stall> second(std::vector<State> states, double length = 1.0) {
        if (beats_.empty()) beats_.assign(states.size(), {.alive = 1});
        for (std::size_t r = 0; r < states.size(); ++r) {
            Heartbeat& beat = beats_[r];
            if (states[r] == unwatched) beat.alive = 0;
            if (states[r] == unwatched || states[r] == stopped) continue;
            ++beat.alive;
            beat.beats += states[r] == works;
            beat.waits = states[r] == waits;
        }
        now_ += length;
        return watch_.look(beats_, now_, patience);
    }
    /// So many of them, or fewer when something was found: that, and when.
    std::optional<Stall> seconds(int count, const std::vector<State>& states) {
        for (passed_ = 1; passed_ <= count; ++passed_)
            if (const auto stall = second(states)) return stall;
        return std::nullopt;
    }

    StallWatch watch_;
    std::vector<Heartbeat> beats_;
    double now_ = 1e6;
    int passed_ = 0;
};

TEST_F(StallWatchTest, RanksThatWorkAreNone) {
    EXPECT_FALSE(seconds(1000, {works, works}));
}

TEST_F(StallWatchTest, SlowProgressIsProgress) {
    for (int i = 0; i < 50; ++i) {
        EXPECT_FALSE(seconds(29, {stuck, waits}));
        EXPECT_FALSE(second({works, waits}));
    }
}

TEST_F(StallWatchTest, AStoppedProcessIsNamedThoughAllWaitForIt) {
    EXPECT_FALSE(seconds(100, {works, works, works}));
    const auto stall = seconds(100, {waits, stopped, waits});
    ASSERT_TRUE(stall);
    EXPECT_EQ(stall->fault, Fault::silent);
    EXPECT_EQ(stall->rank, 1u);
    EXPECT_EQ(stall->seconds, patience);
    EXPECT_EQ(passed_, 30);
}

TEST_F(StallWatchTest, AProcessThatWasStuckAndThenStoppedIsSilent) {
    EXPECT_FALSE(seconds(20, {stuck, waits}));
    const auto stall = seconds(100, {stopped, waits});
    ASSERT_TRUE(stall);
    EXPECT_EQ(stall->fault, Fault::silent) << "not stuck: that was known no more";
    EXPECT_EQ(stall->rank, 0u);
    EXPECT_EQ(passed_, 30);
}

TEST_F(StallWatchTest, OfSeveralTheFirstToStopIsNamed) {
    EXPECT_FALSE(seconds(100, {works, works, works}));
    EXPECT_FALSE(seconds(5, {waits, works, stopped}));
    const auto stall = seconds(100, {waits, stopped, stopped});
    ASSERT_TRUE(stall);
    EXPECT_EQ(stall->rank, 2u);
    EXPECT_EQ(passed_, 25);
}

TEST_F(StallWatchTest, AMainThreadThatIsStuckIsNamed) {
    EXPECT_FALSE(seconds(100, {works, works, works}));
    const auto stall = seconds(100, {waits, waits, stuck});
    ASSERT_TRUE(stall);
    EXPECT_EQ(stall->fault, Fault::stuck);
    EXPECT_EQ(stall->rank, 2u);
    EXPECT_EQ(passed_, 30);
}

TEST_F(StallWatchTest, IsNamedAlsoWhileOthersStillWork) {
    const auto stall = seconds(100, {works, stuck});
    ASSERT_TRUE(stall);
    EXPECT_EQ(stall->rank, 1u);
}

TEST_F(StallWatchTest, AHostThatOnlyWaitsGivesOthersAHeadStart) {
    EXPECT_FALSE(seconds(100, {works, works}));
    const auto stall = seconds(100, {waits, waits});
    ASSERT_TRUE(stall);
    EXPECT_EQ(stall->fault, Fault::elsewhere);
    EXPECT_EQ(passed_, 60);
}

TEST_F(StallWatchTest, AHostThatWaitsForASlowOneHearsOfIt) {
    for (int i = 0; i < 50; ++i) {
        EXPECT_FALSE(seconds(50, {waits, waits}));
        EXPECT_FALSE(second({works, works}));
    }
}

TEST_F(StallWatchTest, AJobThatWasSuspendedIsNone) {
    for (int i = 0; i < 20; ++i) {
        EXPECT_FALSE(seconds(8, {waits, stuck}));
        EXPECT_FALSE(second({waits, stuck}, 1e5)) << "nobody ran";
        EXPECT_FALSE(seconds(10, {waits, stuck}));
        EXPECT_FALSE(second({works, works}));
    }
    // It counts on where it was.
    EXPECT_FALSE(seconds(15, {waits, stuck}));
    EXPECT_FALSE(second({waits, stuck}, 1e5));
    EXPECT_TRUE(seconds(15, {waits, stuck}));
    EXPECT_EQ(passed_, 14);
}

TEST_F(StallWatchTest, ASuspendedJobWhoseRanksComeBackOneByOneIsNone) {
    EXPECT_FALSE(seconds(100, {works, works}));
    EXPECT_FALSE(second({works, stopped}, 1e5));
    EXPECT_FALSE(seconds(5, {waits, stopped}));
    EXPECT_FALSE(seconds(100, {works, works}));
}

TEST_F(StallWatchTest, RanksWithoutAWatchdogAreNotJudged) {
    EXPECT_FALSE(seconds(1000, {works, unwatched}));
    const auto stall = seconds(100, {waits, unwatched});
    ASSERT_TRUE(stall);
    EXPECT_EQ(stall->fault, Fault::elsewhere);
}

TEST_F(StallWatchTest, LooksInQuickSuccessionCountForTheirTime) {
    int looks = 0;
    while (!second({stuck}, 0.25)) ++looks;
    EXPECT_EQ(looks, 120);
}

TEST(StallPatience, IsAskedForOrFollowsTheSteps) {
    EXPECT_EQ(stall_patience(3.0, 1000.0), 3.0);
    EXPECT_EQ(stall_patience(3.0, std::nullopt), 3.0);
    EXPECT_EQ(stall_patience(std::nullopt, 0.1), 300.0);
    EXPECT_EQ(stall_patience(std::nullopt, 45.0), 450.0);
    EXPECT_EQ(stall_patience(std::nullopt, std::nullopt), 3600.0) << "the first step";
}

TEST(StallText, NamesRankHostTimeStepAndPhase) {
    const std::vector<int> ranks{4, 5, 6};
    std::vector<std::string> others{"h1", "h3"};
    const Heartbeat beat{.step = 41, .activity = static_cast<std::uint64_t>(Activity::compute)};
    const Heartbeat save{.step = 50, .activity = static_cast<std::uint64_t>(Activity::save)};
    EXPECT_EQ(
        stall_text({Fault::silent, 1, 312.4}, beat, ranks, "h2", others),
        "rank 5 (host h2) has been silent for 312 s, last seen in step 41, phase compute: its "
        "process is stopped or frozen");
    EXPECT_EQ(
        stall_text({Fault::stuck, 2, 300}, beat, ranks, "h2", others),
        "rank 6 (host h2) has got nothing done for 300 s, in step 41, phase compute: it runs, "
        "and waits for no other rank");
    EXPECT_EQ(
        stall_text({Fault::stuck, 0, 300}, save, ranks, "h2", others),
        "rank 4 (host h2) has got nothing done for 300 s, in step 50, phase save: it runs, and "
        "waits for no other rank; perhaps a file system doesn't answer");
    EXPECT_EQ(stall_text({Fault::elsewhere, 0, 600}, beat, ranks, "h2", others),
              "the 3 ranks of host h2 only waited for others for 600 s, in step 41, phase compute: "
              "another host (h1, h3) or the network stands still");
    EXPECT_EQ(stall_text({Fault::elsewhere, 0, 600}, beat, ranks, "h2", {}),
              "the 3 ranks of host h2 only waited for others for 600 s, in step 41, phase compute: "
              "messages between them don't arrive");
    for (int h = 4; h < 20; ++h) others.push_back(fmt::format("h{}", h));
    EXPECT_NE(stall_text({Fault::elsewhere, 0, 600}, beat, ranks, "h2", others)
                  .find("(h1, h3, h4, h5, h6, h7, h8, h9 and 10 more)"),
              std::string::npos);
}

}  // namespace
}  // namespace evengrad
