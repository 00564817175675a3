// The ledger in a run's folder: written in pieces, cut on resuming, read with suspicion.
#include "checkpoint/ledger_file.hpp"

#include "checkpoint/folder.hpp"
#include "checkpoint/made_ledger.hpp"
#include "checkpoint/saved_run.hpp"
#include "checkpoint/size.hpp"
#include "hdf5/file_limit.hpp"

namespace evengrad {
namespace {

using namespace test;
namespace fs = std::filesystem;
using Steps = std::vector<std::int64_t>;

class LedgerFile : public testing::Test {
  protected:
    void write(std::int64_t first, std::int64_t last) {
        LedgerPart part = made_ledger(first, last);
        write_ledger(folder_.path(), part);
    }
    LedgerPart read(std::int64_t last) const { return read_ledger(folder_ / ledger_name(last)); }
    std::int64_t go_on(std::int64_t step) { return go_on_from(folder_.path(), step); }
    std::int64_t go_on_from(const fs::path& source, std::int64_t step) {
        said_.clear();
        return continue_ledger(source, folder_.path(), step,
                               [&](const std::string& what) { said_.push_back(what); });
    }

    ScratchFolder folder_;
    std::vector<std::string> said_;
};

TEST_F(LedgerFile, ComesBackAsItWas) {
    LedgerPart part = made_ledger(1, 30);
    part.loss_reduction = "constant:3";
    part.clip_grad = 0.75;
    const LedgerPart before = part;
    write_ledger(folder_.path(), part);
    EXPECT_TRUE(part.steps.empty() && part.records.empty());
    EXPECT_EQ(ledger_segments(folder_.path()), Steps{30});
    EXPECT_TRUE(is_ledger_file(folder_ / "ledger-00000030.h5"));
    const LedgerPart found = read(30);
    EXPECT_EQ(found.loss_reduction, "constant:3");
    EXPECT_EQ(found.clip_grad, 0.75);
    EXPECT_EQ(found.first_step, 1);
    EXPECT_EQ(found.steps.size(), before.steps.size());
    ASSERT_EQ(found.records.size(), before.records.size());
    for (std::size_t i = 0; i < found.records.size(); ++i) {
        EXPECT_EQ(found.records[i].rank, before.records[i].rank);
        EXPECT_EQ(found.records[i].seconds, before.records[i].seconds);
    }
    EXPECT_EQ(ledger_digest(found), ledger_digest(before)) << "all the rest";
}

TEST_F(LedgerFile, ItsDigestLeavesOutWhatDependsOnTheLayoutAlone) {
    const LedgerPart part = made_ledger(1, 10);
    const auto changed = [&](auto change) {
        LedgerPart other = part;
        change(other);
        return ledger_digest(other) != ledger_digest(part);
    };
    EXPECT_FALSE(changed([](LedgerPart&) {}));
    EXPECT_FALSE(changed([](LedgerPart& p) { p.records[3].rank = 7; }));
    EXPECT_FALSE(changed([](LedgerPart& p) { p.records[3].seconds = 7; }));
    EXPECT_TRUE(changed([](LedgerPart& p) { p.records[3].loss += 1e-15; }));
    EXPECT_TRUE(changed([](LedgerPart& p) { p.records[3].checksum ^= 1; }));
    EXPECT_TRUE(changed([](LedgerPart& p) { p.steps[3].lr *= 1.5; }));
    EXPECT_TRUE(changed([](LedgerPart& p) { p.clip_grad = 2.0; }));
    EXPECT_TRUE(changed([](LedgerPart& p) { p.records.pop_back(); }));
}

TEST_F(LedgerFile, SegmentsHoldWholeStepsOfABoundedSize) {
    LedgerPart part;
    constexpr std::int64_t micro_batches = 1 << 18;
    for (std::int64_t step = 1; step <= 5; ++step) {
        LedgerStep row;
        row.step = step;
        row.micro_batches = micro_batches;
        part.steps.push_back(row);
        LedgerRecord record;
        record.step = step;
        part.records.insert(part.records.end(), micro_batches, record);
    }
    write_ledger(folder_.path(), part);
    EXPECT_EQ(ledger_segments(folder_.path()), (Steps{4, 5}));
    EXPECT_EQ(read(4).records.size(), most_ledger_records);
    EXPECT_EQ(read(5).records.front().step, 5);
}

TEST_F(LedgerFile, WhatCannotBeWrittenIsKept) {
    LedgerPart part = made_ledger(1, 30);
    const std::string digest = ledger_digest(part);
    {
        const FileLimit full(5000);
        EXPECT_TRUE(contains(error_of([&] { write_ledger(folder_.path(), part); }),
                             {"ledger-00000030.h5", "File too large"}));
    }
    EXPECT_TRUE(fs::is_empty(folder_.path()));
    EXPECT_EQ(ledger_digest(part), digest);
    LedgerPart later = made_ledger(31, 32);
    part.append(later);
    write_ledger(folder_.path(), part);
    EXPECT_EQ(read(32).steps.size(), 32u);
}

TEST_F(LedgerFile, ResumingInPlaceCutsWhatComesLater) {
    write(1, 10);
    write(11, 20);
    write(21, 30);
    EXPECT_EQ(go_on(20), 1);
    EXPECT_EQ(ledger_segments(folder_.path()), (Steps{10, 20})) << "30 is another past";
    EXPECT_EQ(go_on(20), 1);
    EXPECT_EQ(ledger_segments(folder_.path()), (Steps{10, 20})) << "nothing is left to do";
    EXPECT_EQ(go_on(13), 1);
    EXPECT_EQ(ledger_segments(folder_.path()), (Steps{10, 13}));
    LedgerPart expected = made_ledger(11, 13);
    EXPECT_EQ(ledger_digest(read(13)), ledger_digest(expected));
    EXPECT_EQ(go_on(4), 1);
    EXPECT_EQ(ledger_segments(folder_.path()), Steps{4});
    EXPECT_TRUE(said_.empty());
    EXPECT_EQ(go_on(0), 1);
    EXPECT_EQ(ledger_segments(folder_.path()), Steps{});
    EXPECT_TRUE(said_.empty());
}

TEST_F(LedgerFile, ResumingElsewhereTakesTheLedgerAlong) {
    const ScratchFolder other;
    for (const std::int64_t first : {1, 11, 21}) {
        LedgerPart part = made_ledger(first, first + 9);
        write_ledger(other.path(), part);
    }
    EXPECT_EQ(go_on_from(other.path(), 25), 1);
    EXPECT_TRUE(said_.empty());
    EXPECT_EQ(ledger_segments(folder_.path()), (Steps{10, 20, 25}));
    EXPECT_EQ(bytes_of(folder_ / "ledger-00000010.h5").size(),
              bytes_of(other / "ledger-00000010.h5").size());
    EXPECT_EQ(ledger_segments(other.path()), (Steps{10, 20, 30})) << "is left alone";
}

TEST_F(LedgerFile, ALedgerThatIsNotThereOrDamagedIsSaid) {
    EXPECT_EQ(go_on(30), 31);
    ASSERT_EQ(said_.size(), 1u);
    EXPECT_TRUE(contains(said_[0], {"no ledger of steps 1 to 30", folder_.path().c_str()}));
    LedgerPart later = made_ledger(31, 40);
    later.first_step = 31;
    write_ledger(folder_.path(), later);
    EXPECT_EQ(go_on(40), 31);
    EXPECT_TRUE(said_.empty());

    write_bytes(folder_ / "ledger-00000050.h5", "no HDF5");
    EXPECT_EQ(go_on(45), 31);
    ASSERT_EQ(said_.size(), 1u);
    EXPECT_TRUE(contains(said_[0], {"steps up to 45 are missing", "ledger-00000050.h5"}));
    EXPECT_EQ(ledger_segments(folder_.path()), Steps{40});

    EXPECT_EQ(go_on(42), 31);
    ASSERT_EQ(said_.size(), 1u);
    EXPECT_TRUE(contains(said_[0], {"steps 41 to 42 are missing in the ledger: no file in",
                                    folder_.path().c_str()}));
    LedgerPart beyond = made_ledger(51, 60);
    write_ledger(folder_.path(), beyond);
    EXPECT_EQ(go_on(50), 31);
    ASSERT_EQ(said_.size(), 1u);
    EXPECT_TRUE(contains(said_[0], {"steps 41 to 50 are missing"}));
}

TEST_F(LedgerFile, BelongsToTheRun) {
    write(1, 10);
    write_bytes(folder_ / "ledger-00000020.h5.tmp", "cut off");
    EXPECT_TRUE(saved_steps(folder_.path()).empty()) << "it is no checkpoint";
    for (const char* other :
         {"ledger-10.h5", "ledger-.h5", "ledger-00000010.h5x", "step-00000009.h5"})
        write_bytes(folder_ / other, "x");
    EXPECT_EQ(ledger_segments(folder_.path()), Steps{10});
    remove_unfinished(folder_.path());
    EXPECT_FALSE(fs::exists(folder_ / "ledger-00000020.h5.tmp"));
    EXPECT_TRUE(contains(error_of([&] { clear_for_new_run(folder_.path(), false); }),
                         {"holds an earlier run"}));
    clear_for_new_run(folder_.path(), true);
    EXPECT_EQ(ledger_segments(folder_.path()), Steps{});
}

TEST_F(LedgerFile, TakesWhatIsSaid) {
    const auto size = [&](std::int64_t steps) {
        write(1, steps);
        const LedgerPart part = read(steps);
        const auto expected = static_cast<double>(
            ledger_bytes(steps, static_cast<std::int64_t>(part.records.size()), 1));
        const auto found = static_cast<double>(fs::file_size(folder_ / ledger_name(steps)));
        EXPECT_LT(found, 2.0 * expected) << steps;
        return found;
    };
    EXPECT_LT(size(5), 30e3) << "a segment of few steps is small";
    size(300);
    size(100'000);
}

class HostileLedger : public LedgerFile {
  protected:
    HostileLedger() { write(1, 10); }
    /// The message when the file, changed by a Python script with `f` open, is read.
    std::string refusal(const std::string& script) {
        const ScratchFolder copy;
        const fs::path file = copy / "ledger-00000010.h5";
        fs::copy_file(folder_ / "ledger-00000010.h5", file);
        EXPECT_TRUE(run_python(copy, "f = h5py.File('" + file.string() + "', 'r+')\n" + script));
        return error_of([&] { read_ledger(file); });
    }
};

TEST_F(HostileLedger, IsRefused) {
    EXPECT_TRUE(contains(refusal("del f['steps/lr']"), {"lr: is missing"}));
    EXPECT_TRUE(contains(refusal("del f['micro_batches']"), {"micro_batches: is missing"}));
    EXPECT_TRUE(contains(refusal("f.attrs['complete'] = 0"), {"was not finished"}));
    EXPECT_TRUE(contains(refusal("del f.attrs['clip_grad']"), {"clip_grad"}));
    EXPECT_TRUE(
        contains(refusal("f.attrs['schema'] = 'evengrad-data'"), {"is no evengrad-ledger file"}));
    EXPECT_TRUE(contains(refusal("v = f['steps/loss'][:]; del f['steps/loss']\n"
                                 "f['steps/loss'] = v.astype('f4')"),
                         {"/steps/loss", "float32", "float64"}));
    EXPECT_TRUE(contains(refusal("v = f['steps/loss'][:]; del f['steps/loss']\n"
                                 "f['steps/loss'] = v[:5]"),
                         {"/steps/loss", "[5]"}));
    EXPECT_TRUE(
        contains(refusal("del f['micro_batches/step']\n"
                         "f.create_dataset('micro_batches/step', (2**40,), 'i8', chunks=(2**24,))"),
                 {"/micro_batches/step", "1099511627776"}));
    EXPECT_TRUE(
        contains(refusal("del f['micro_batches/step']\n"
                         "f.create_dataset('micro_batches/step', (2**19,), 'i8', chunks=(2**19,))"),
                 {"/micro_batches/step", "0 bytes"}));
    EXPECT_TRUE(contains(refusal("f['micro_batches/loss'][3] += 1e-15"), {"digest", "damaged"}));
    fs::resize_file(folder_ / "ledger-00000010.h5", 9000);
    EXPECT_TRUE(contains(error_of([&] { read(10); }), {"ledger-00000010.h5"}));
    EXPECT_FALSE(is_ledger_file(folder_ / "ledger-00000010.h5"));
    EXPECT_FALSE(is_ledger_file(folder_.path()));
}

}  // namespace
}  // namespace evengrad
