// Checkpoints written while training goes on, and what stays when that fails.
#include "checkpoint/writer.hpp"

#include <csignal>
#include <map>

#include <sys/resource.h>

#include "checkpoint/folder.hpp"
#include "checkpoint/history_file.hpp"
#include "checkpoint/made_ledger.hpp"
#include "checkpoint/saved_run.hpp"
#include "hdf5/file_limit.hpp"

namespace evengrad {
namespace {

using namespace test;
namespace fs = std::filesystem;

/// Numbers in place of a run: what is written must be what was in the snapshot.
class Writer : public testing::Test {
  protected:
    Snapshot filled(std::int64_t step) {
        const TrainConfig config = resume_config(OptimizerKind::adamw);
        Snapshot snapshot(ParameterTable(config.model), 2);
        snapshot.model = config.model;
        fill(snapshot, step);
        return snapshot;
    }
    static void fill(Snapshot& snapshot, std::int64_t step) {
        const ParameterTable& table = snapshot.table();
        snapshot.state.step = step;
        snapshot.state.updates = step;
        snapshot.state.quantum_exponents.assign(static_cast<std::size_t>(table.size()), -30);
        for (const Tensor& tensor : table.tensors())
            for (int part = 0; part < 3; ++part) {
                const auto values = snapshot.values(tensor, static_cast<TensorPart>(part));
                for (std::size_t i = 0; i < values.size(); ++i)
                    values[i] = static_cast<float>(step + part) + static_cast<float>(i % 1000);
            }
    }
    /// Whether the file is whole and holds what `fill` makes of the step.
    static void expect_holds(const fs::path& file, std::int64_t step) {
        const CheckpointInfo info = read_checkpoint_info(file);
        EXPECT_EQ(info.state.step, step);
        const ParameterTable table(info.model);
        const CheckpointTensors tensors(file);
        std::vector<float> values(static_cast<std::size_t>(table.largest_tensor()));
        for (const Tensor& tensor : table.tensors())
            for (int part = 0; part < 3; ++part) {
                const auto some = std::span(values).first(static_cast<std::size_t>(tensor.count));
                tensors.read(tensor, static_cast<TensorPart>(part), some);
                EXPECT_EQ(some.back(), static_cast<float>(step + part) +
                                           static_cast<float>((some.size() - 1) % 1000));
            }
    }
    SaveResult save(CheckpointWriter& writer, std::int64_t step) {
        fill(writer.snapshot(), step);
        writer.start();
        const auto result = writer.wait();
        EXPECT_TRUE(result.has_value());
        EXPECT_EQ(writer.wait(), std::nullopt) << "a result is given once";
        return result.value_or(SaveResult{});
    }
    fs::path latest() { return fs::read_symlink(folder_ / "latest"); }

    ScratchFolder folder_;
};

TEST_F(Writer, WritesMovesTheLinkAndRemovesOldOnes) {
    CheckpointWriter writer(folder_.path(), {.keep_last = 2, .keep_every = 20}, 0, filled(0));
    EXPECT_FALSE(writer.poll().has_value());
    for (std::int64_t step = 10; step <= 60; step += 10) {
        const SaveResult result = save(writer, step);
        EXPECT_TRUE(result.saved) << result.problem;
        EXPECT_EQ(result.problem, "");
        EXPECT_EQ(result.step, step);
        EXPECT_EQ(result.file, folder_ / checkpoint_name(step));
        EXPECT_EQ(latest(), checkpoint_name(step));
        expect_holds(result.file, step);
    }
    EXPECT_EQ(saved_steps(folder_.path()), (std::vector<std::int64_t>{20, 40, 50, 60}));
}

TEST_F(Writer, AHistoryThatCantBeWrittenCostsNoCheckpoint) {
    CheckpointWriter writer(folder_.path(), {.keep_last = 1}, 0, filled(0));
    fs::create_directory(folder_ / history_name);
    const SaveResult result = save(writer, 10);
    EXPECT_TRUE(result.saved);
    EXPECT_TRUE(contains(result.problem, {"history.h5"})) << result.problem;
    EXPECT_EQ(latest(), checkpoint_name(10));
    fs::remove(folder_ / history_name);
    EXPECT_EQ(save(writer, 20).problem, "");
    EXPECT_TRUE(fs::is_regular_file(folder_ / history_name));
}

/// Every file of the folder and its bytes; links with where they point to.
std::map<std::string, std::string> contents(const fs::path& folder) {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::directory_iterator(folder))
        all[entry.path().filename().string()] = fs::is_symlink(entry.path())
                                                    ? fs::read_symlink(entry.path()).string()
                                                    : bytes_of(entry.path());
    return all;
}

TEST_F(Writer, AFailedWriteChangesNothingAndTheNextOneIsTriedAnew) {
    CheckpointWriter writer(folder_.path(), {.keep_last = 1}, 0, filled(0));
    ASSERT_TRUE(save(writer, 10).saved);
    const auto before = contents(folder_.path());
    ASSERT_EQ(before.size(), 3u);  // the checkpoint, latest, history.h5
    for (const rlim_t bytes : {0u, 3'000u, 100'000u, 400'000u}) {
        const FileLimit full(bytes);
        const SaveResult result = save(writer, 20);
        EXPECT_FALSE(result.saved);
        EXPECT_EQ(result.step, 20);
        EXPECT_TRUE(contains(result.problem, {"step-00000020.h5.tmp", "File too large"})) << bytes;
        EXPECT_TRUE(contents(folder_.path()) == before) << bytes;
    }
    const SaveResult result = save(writer, 30);
    EXPECT_TRUE(result.saved) << result.problem;
    expect_holds(folder_ / "latest", 30);
    EXPECT_EQ(saved_steps(folder_.path()), (std::vector<std::int64_t>{30}));
}

TEST_F(Writer, TheLedgerComesFirstAndWhatCannotBeWrittenIsTriedAgain) {
    CheckpointWriter writer(folder_.path(), {.keep_last = 1}, 0, filled(0));
    const auto save_steps = [&](std::int64_t first, std::int64_t last) {
        LedgerPart rows = made_ledger(first, last);
        writer.snapshot().ledger.append(rows);
        return save(writer, last);
    };
    {
        const FileLimit full(3000);
        const SaveResult result = save_steps(1, 10);
        EXPECT_FALSE(result.saved);
        EXPECT_TRUE(contains(result.problem, {"ledger-00000010.h5.tmp", "File too large"}));
        EXPECT_TRUE(fs::is_empty(folder_.path()));
    }
    {
        const FileLimit full(100'000);
        const SaveResult result = save_steps(11, 20);
        EXPECT_FALSE(result.saved);
        EXPECT_TRUE(contains(result.problem, {"step-00000020.h5.tmp", "File too large"}));
    }
    EXPECT_TRUE(save_steps(21, 30).saved);
    EXPECT_TRUE(save_steps(31, 40).saved);
    EXPECT_EQ(ledger_segments(folder_.path()), (std::vector<std::int64_t>{20, 30, 40}));
    std::int64_t next = 1;
    for (const std::int64_t last : ledger_segments(folder_.path()))
        for (const LedgerStep& step : read_ledger(folder_ / ledger_name(last)).steps)
            EXPECT_EQ(step.step, next++);
    EXPECT_EQ(next, 41) << "each step is there once";
}

TEST_F(Writer, AFolderThatIsGoneIsAFailedWrite) {
    const fs::path run = folder_ / "run";
    fs::create_directory(run);
    CheckpointWriter writer(run, {}, 0, filled(0));
    ASSERT_TRUE(save(writer, 10).saved);
    fs::rename(run, folder_ / "away");
    const SaveResult result = save(writer, 20);
    EXPECT_FALSE(result.saved);
    EXPECT_TRUE(contains(result.problem, {"step-00000020.h5.tmp", "No such file"}));
    fs::rename(folder_ / "away", run);
    EXPECT_TRUE(save(writer, 30).saved);
    expect_holds(run / "step-00000010.h5", 10);
}

TEST_F(Writer, AnOldFileThatCannotGoIsSaidAndTheNewOneCounts) {
    fs::create_directories(folder_ / "step-00000005.h5/inside");
    CheckpointWriter writer(folder_.path(), {.keep_last = 1}, 5, filled(0));
    const SaveResult result = save(writer, 10);
    EXPECT_TRUE(result.saved);
    EXPECT_TRUE(contains(result.problem, {"step-00000005.h5 can't be removed"}));
    EXPECT_EQ(latest(), "step-00000010.h5");
}

TEST_F(Writer, WhatAnEarlierAttemptLeftIsReplacedOrGoesAsTheRunPassesIt) {
    for (const std::int64_t step : {20, 30, 80, 90})
        write_bytes(folder_ / checkpoint_name(step), "of the other past");
    CheckpointWriter writer(folder_.path(), {.keep_last = 2}, 30, filled(0));
    ASSERT_TRUE(save(writer, 60).saved);
    EXPECT_EQ(saved_steps(folder_.path()), (std::vector<std::int64_t>{30, 60, 80, 90}));
    ASSERT_TRUE(save(writer, 90).saved);
    EXPECT_EQ(saved_steps(folder_.path()), (std::vector<std::int64_t>{60, 90}));
    expect_holds(folder_ / "latest", 90);
}

TEST_F(Writer, EndsOnlyWhenItsFileIsThere) {
    {
        CheckpointWriter writer(folder_.path(), {}, 0, filled(10));
        writer.start();
    }
    expect_holds(folder_ / "latest", 10);
}

TEST_F(Writer, OnlyOneAtATime) {
    CheckpointWriter writer(folder_.path(), {}, 0, filled(10));
    writer.start();
    EXPECT_THROW(writer.start(), std::logic_error);
    EXPECT_TRUE(writer.wait().has_value());
}

// A signal that the main thread has blocked for a moment must stay pending. Delivered to the
// writer, it would end this process.
TEST_F(Writer, GetsNoSignals) {
    CheckpointWriter writer(folder_.path(), {}, 0, filled(10));
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    bool sent_while_writing = false;
    for (int attempt = 0; attempt < 200 && !sent_while_writing; ++attempt) {
        writer.start();
        pthread_sigmask(SIG_BLOCK, &one, nullptr);
        ::kill(::getpid(), SIGUSR2);
        sent_while_writing = !writer.poll().has_value();
        if (sent_while_writing) writer.wait();
        const timespec at_once{};
        EXPECT_EQ(sigtimedwait(&one, nullptr, &at_once), SIGUSR2);
        pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
    }
    EXPECT_TRUE(sent_while_writing);
}

TEST(SnapshotMemory, IsWhatItSays) {
    const ParameterTable table(resume_config(OptimizerKind::adamw).model);
    EXPECT_EQ(snapshot_bytes(table, 2), static_cast<std::size_t>(table.flat_size()) * 12);
    EXPECT_EQ(snapshot_bytes(table, 0), static_cast<std::size_t>(table.flat_size()) * 4);
}

TEST(SnapshotMemory, TooLittleIsSaidBeforeAnythingIsTrained) {
    GptConfig model = resume_config(OptimizerKind::adamw).model.gpt();
    model.hidden_size = 4096;
    model.ffn_hidden_size = 4 * 4096;
    const ParameterTable table(model);
    rlimit before{};
    getrlimit(RLIMIT_AS, &before);
    const rlimit small{rlim_t{2} << 30, before.rlim_max};
    ASSERT_GT(snapshot_bytes(table, 2), small.rlim_cur);
    ASSERT_EQ(setrlimit(RLIMIT_AS, &small), 0);
    const std::string message = error_of([&] { Snapshot(table, 2); });
    setrlimit(RLIMIT_AS, &before);
    EXPECT_TRUE(contains(
        message, {"rank 0", std::to_string(snapshot_bytes(table, 2)).c_str(), "bytes of memory"}));
}

}  // namespace
}  // namespace evengrad
