// Which checkpoints of a run stay, as functions of what is there.
#include "checkpoint/folder.hpp"

#include <gtest/gtest.h>

#include "hdf5/scratch_folder.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

using test::contains;
using test::ScratchFolder;
using Steps = std::vector<std::int64_t>;

Steps removed(const Retention& retention, const Steps& present, std::int64_t newest,
              const Steps& linked = {}) {
    Steps gone = expendable(retention, present, newest, linked);
    std::sort(gone.begin(), gone.end());
    return gone;
}

TEST(Retention, KeepsTheNewest) {
    const Steps present{10, 20, 30, 40};
    EXPECT_EQ(removed({.keep_last = 2}, present, 40), (Steps{10, 20}));
    EXPECT_EQ(removed({.keep_last = 1}, present, 40), (Steps{10, 20, 30}));
    EXPECT_EQ(removed({.keep_last = 3}, present, 40), (Steps{10}));
    EXPECT_EQ(removed({.keep_last = 4}, present, 40), Steps{});
    EXPECT_EQ(removed({.keep_last = 9}, present, 40), Steps{});
    EXPECT_EQ(removed({.keep_last = 0}, present, 40), Steps{});
    EXPECT_EQ(removed({.keep_last = 2}, {}, 40), Steps{});
    EXPECT_EQ(removed({}, present, 40), (Steps{10, 20})) << "the default is two";
}

TEST(Retention, KeepsSomeForGoodAndCountsThemAsNewestToo) {
    const Steps present{5, 10, 15, 20, 25, 30};
    EXPECT_EQ(removed({.keep_last = 2, .keep_every = 10}, present, 30), (Steps{5, 15}));
    EXPECT_EQ(removed({.keep_last = 1, .keep_every = 15}, present, 30), (Steps{5, 10, 20, 25}));
    EXPECT_EQ(removed({.keep_last = 1, .keep_every = 7}, present, 30), (Steps{5, 10, 15, 20, 25}));
    EXPECT_EQ(removed({.keep_last = 0, .keep_every = 10}, present, 30), Steps{});
}

TEST(Retention, NeverTakesWhatALinkPointsTo) {
    const Steps present{10, 20, 30, 40};
    EXPECT_EQ(removed({.keep_last = 1}, present, 40, {40, 10}), (Steps{20, 30}));
    EXPECT_EQ(removed({.keep_last = 1}, present, 40, {10, 20, 30}), Steps{});
}

TEST(Retention, LaterCheckpointsOfAnEarlierAttemptNeitherCountNorGo) {
    const Steps present{10, 20, 30, 80, 90};
    EXPECT_EQ(removed({.keep_last = 2}, present, 30), (Steps{10}));
    EXPECT_EQ(abandoned(present, 20, 30, {}), Steps{});
    EXPECT_EQ(abandoned(present, 30, 85, {}), (Steps{80}));
    EXPECT_EQ(abandoned(present, 30, 90, {}), (Steps{80})) << "90 itself is replaced";
    EXPECT_EQ(abandoned(present, 30, 100, {}), (Steps{80, 90}));
    EXPECT_EQ(abandoned(present, 30, 100, Steps{90}), (Steps{80}));
}

TEST(RunFolder, NamesOfCheckpoints) {
    EXPECT_EQ(checkpoint_name(12), "step-00000012.h5");
    EXPECT_EQ(checkpoint_name(1234567890), "step-1234567890.h5");
    for (const std::int64_t step : {0, 7, 12345678, 123456789})
        EXPECT_EQ(step_in_name("some/where/" + checkpoint_name(step)), step);
    for (const char* other :
         {"step-00000012.h5.tmp", "step-12.h5", "step-000000012.h5", "step--0000012.h5",
          "step-0000001x.h5", "step-.h5", "latest", "step-00000012.h5x", "xstep-00000012.h5",
          "step-99999999999999999999.h5", "step-+0000012.h5", ""})
        EXPECT_EQ(step_in_name(other), std::nullopt) << other;
}

TEST(RunFolder, ListsCheckpointsAndWhatLinksPointTo) {
    const ScratchFolder folder;
    for (const char* name : {"step-00000030.h5", "step-00000004.h5", "step-00000031.h5.tmp",
                             "notes.h5", "metrics.jsonl"})
        test::write_bytes(folder / name, "x");
    std::filesystem::create_symlink("step-00000030.h5", folder / "latest");
    std::filesystem::create_symlink("step-00000004.h5", folder / "best");
    std::filesystem::create_symlink("notes.h5", folder / "other");
    EXPECT_EQ(saved_steps(folder.path()), (Steps{4, 30}));
    Steps linked = linked_steps(folder.path());
    std::sort(linked.begin(), linked.end());
    EXPECT_EQ(linked, (Steps{4, 30}));
    remove_unfinished(folder.path());
    EXPECT_FALSE(std::filesystem::exists(folder / "step-00000031.h5.tmp"));
    EXPECT_EQ(saved_steps(folder.path()), (Steps{4, 30}));
}

TEST(RunFolder, ANewRunTakesNoOtherRunsPlaceUnasked) {
    const ScratchFolder folder;
    const auto dir = folder / "a/b";
    make_folder(dir);
    EXPECT_TRUE(std::filesystem::is_directory(dir));
    test::write_bytes(dir / "notes.txt", "mine");
    clear_for_new_run(dir, false);
    for (const char* name : {"step-00000030.h5", "step-00000031.h5.tmp", "metrics.jsonl"}) {
        test::write_bytes(dir / name, "x");
        EXPECT_TRUE(contains(test::message_of<Error>([&] { clear_for_new_run(dir, false); }),
                             {"holds an earlier run", name}));
        clear_for_new_run(dir, true);
        EXPECT_FALSE(std::filesystem::exists(dir / name));
    }
    EXPECT_EQ(test::bytes_of(dir / "notes.txt"), "mine");
    test::write_bytes(folder / "file", "");
    EXPECT_TRUE(contains(test::message_of<Error>([&] { make_folder(folder / "file"); }),
                         {"file", "can't be made"}));
}

TEST(RunFolder, OnlyOneRunWritesToIt) {
    const ScratchFolder folder;
    {
        const FolderLock lock(folder.path());
        EXPECT_TRUE(contains(test::message_of<Error>([&] { FolderLock(folder.path(), 0.1); }),
                             {folder.path().c_str(), "another run is writing there"}));
    }
    EXPECT_NO_THROW(FolderLock(folder.path(), 0.0));
    EXPECT_TRUE(contains(test::message_of<Error>([&] { FolderLock(folder / "none"); }),
                         {"none: No such file"}));
}

TEST(RunFolder, BestIsTheLowestHeldOutLossOfWhatIsThere) {
    const ScratchFolder folder;
    const auto save = [&](std::int64_t step) {
        test::write_bytes(folder / checkpoint_name(step), "a checkpoint");
    };
    const auto best = [&] {
        std::error_code none;
        return std::filesystem::read_symlink(folder / "best", none).string();
    };
    TrainingHistory history;
    history.validation_step = {10, 20, 30};
    history.validation_loss = {3.0, 2.0, 2.5};
    link_best(folder.path(), history, 30);
    EXPECT_EQ(best(), "") << "nothing is saved";
    save(10);
    save(30);
    link_best(folder.path(), history, 30);
    EXPECT_EQ(best(), checkpoint_name(30)) << "20 was not saved";
    save(20);
    link_best(folder.path(), history, 30);
    EXPECT_EQ(best(), checkpoint_name(20));
    EXPECT_EQ(linked_steps(folder.path()), Steps{20}) << "so it stays";
    // Evaluations of other sequences take no best one away, unless it comes later than the run is.
    history.validation_first = 3;
    link_best(folder.path(), history, 30);
    EXPECT_EQ(best(), checkpoint_name(20));
    link_best(folder.path(), {}, 15);
    EXPECT_EQ(best(), "");
    EXPECT_TRUE(std::filesystem::exists(folder / checkpoint_name(20)));
}

}  // namespace
}  // namespace evengrad
