// Damaged checkpoints: reported, left alone, and the one before is used.
#include "checkpoint/folder.hpp"
#include "checkpoint/saved_run.hpp"

namespace evengrad {
namespace {

using namespace test;
namespace fs = std::filesystem;

/// A run with checkpoints of the steps 2, 4, 6, 8.
class Fallback : public testing::Test {
  protected:
    Fallback() {
        config_.schedule.train_iters = 8;
        Trainer trainer(world(), config_, &data_);
        loop_.save_dir = folder_.path();
        loop_.save_interval = 2;
        loop_.retention.keep_last = 0;
        run_training(trainer, loop_, nullptr, {});
        digest_ = trainer.digest();
    }

    fs::path file(std::int64_t step) const { return folder_ / checkpoint_name(step); }
    void cut_off(std::int64_t step) const { fs::resize_file(file(step), 20'000); }
    /// The last element of the last moment that a restore would load.
    void flip_a_bit(std::int64_t step) const {
        const CheckpointInfo info = read_checkpoint_info(file(step));
        const ParameterTable table(info.model);
        const Tensor& tensor = table[table.size() - 1];
        std::vector<float> values(static_cast<std::size_t>(tensor.count));
        CheckpointTensors(file(step)).read(tensor, TensorPart::second_moment, values);
        std::string bytes = bytes_of(file(step));
        const std::string pattern(reinterpret_cast<const char*>(values.data()),
                                  values.size() * sizeof(float));
        const std::size_t at = bytes.find(pattern);
        ASSERT_NE(at, std::string::npos);
        bytes[at + pattern.size() - 1] ^= 1;
        write_bytes(file(step), bytes);
    }
    /// The step of what the folder means now, and what is said about others.
    std::int64_t found() {
        said_.clear();
        hints_.clear();
        return open_checkpoint(folder_.path(),
                               [&](const std::string& what, const std::string& hint) {
                                   said_.push_back(what);
                                   hints_.push_back(hint);
                               })
            .state.step;
    }

    ScratchFolder folder_;
    Dataset data_{resume_data()};
    TrainConfig config_ = resume_config(OptimizerKind::adamw);
    LoopConfig loop_;
    std::string digest_;
    std::vector<std::string> said_, hints_;
};

TEST_F(Fallback, TheNewestIsUsedWhenItIsSound) {
    EXPECT_EQ(found(), 8);
    EXPECT_TRUE(said_.empty());
}

TEST_F(Fallback, EveryKindOfDamageIsSeenAndTheOneBeforeIsUsed) {
    const std::string good = bytes_of(file(8));
    const auto expect_passed_over = [&](const char* reason) {
        const bool there = fs::exists(file(8));
        const std::string bad = there ? bytes_of(file(8)) : "";
        EXPECT_EQ(found(), 6) << reason;
        ASSERT_EQ(said_.size(), 1u) << reason;
        EXPECT_TRUE(contains(said_[0], {"step-00000008.h5", reason}));
        EXPECT_EQ(said_[0].find('\n'), std::string::npos) << said_[0];
        EXPECT_TRUE(contains(hints_[0], {"left as it is", "step-00000006.h5 is used"}));
        EXPECT_EQ(fs::exists(file(8)), there);
        EXPECT_TRUE(!there || bytes_of(file(8)) == bad) << "it was changed";
        write_bytes(file(8), good);
    };
    cut_off(8);
    expect_passed_over("truncated");
    flip_a_bit(8);
    expect_passed_over("checksum");
    write_bytes(file(8), "");
    expect_passed_over("is not an HDF5 file");
    write_bytes(file(8), "something else");
    expect_passed_over("is not an HDF5 file");
    fs::remove(file(8));  // the link dangles
    expect_passed_over("there is no checkpoint at");
    const auto edited = [&](const char* change) {
        ASSERT_TRUE(run_python(folder_, fmt::format("f = h5py.File('{}', 'r+')\n{}\nf.close()\n",
                                                    file(8).string(), change)));
    };
    edited("del f.attrs['complete']");
    expect_passed_over("not finished");
    edited("f.attrs['schema_version'] = '2.0'");
    expect_passed_over("2.0");
    EXPECT_EQ(found(), 8);
}

TEST_F(Fallback, SeveralAreTriedAndAllReasonsAreSaid) {
    cut_off(8);
    flip_a_bit(6);
    EXPECT_EQ(found(), 4);
    ASSERT_EQ(said_.size(), 2u);
    EXPECT_TRUE(contains(said_[0], {"step-00000008.h5"}));
    EXPECT_TRUE(contains(said_[1], {"step-00000006.h5", "checksum"}));
    fs::remove(file(4));
    write_bytes(file(2), "x");
    EXPECT_TRUE(contains(error_of([&] { found(); }),
                         {"none of the 3 checkpoints", "step-00000008.h5", "step-00000006.h5",
                          "checksum", "step-00000002.h5", "is not an HDF5 file"}));
}

TEST_F(Fallback, WhatIsLaterThanLatestIsAnotherPastAndNotUsed) {
    fs::remove(folder_ / "latest");
    fs::create_symlink(checkpoint_name(4), folder_ / "latest");
    EXPECT_EQ(found(), 4);
    cut_off(4);
    EXPECT_EQ(found(), 2);
    // Killed after the very first save was published, before there was a link.
    fs::remove(folder_ / "latest");
    EXPECT_EQ(found(), 8);
    EXPECT_TRUE(said_.empty());
}

TEST_F(Fallback, AFileThatIsNamedMustBeSoundAlsoByALink) {
    cut_off(8);
    const auto hint_of = [](const fs::path& path) {
        try {
            open_checkpoint(path, nullptr);
        } catch (const Error& error) {
            EXPECT_TRUE(contains(error.what(), {"step-00000008.h5", "truncated"}));
            return error.hint();
        }
        return std::string("not refused");
    };
    EXPECT_TRUE(contains(hint_of(file(8)), {"use an earlier one"}));
    EXPECT_TRUE(contains(hint_of(folder_ / "latest"),
                         {"give the folder, ", folder_.path().c_str(), "instead of a link"}));
    EXPECT_EQ(open_checkpoint(file(4), nullptr).state.step, 4);
}

TEST_F(Fallback, ARefusedCheckpointLeavesTheTrainerAsItWas) {
    flip_a_bit(8);
    Trainer trainer(world(), config_, &data_);
    const std::string before = trainer.digest();
    TrainingHistory history;
    EXPECT_TRUE(contains(error_of([&] { restore(trainer, file(8), history); }), {"checksum"}));
    EXPECT_EQ(trainer.digest(), before);
    EXPECT_TRUE(history.step.empty());
}

// R21
TEST_F(Fallback, ARunGoesOnFromTheSoundOneAndReplacesTheDamagedOne) {
    flip_a_bit(8);
    cut_off(6);
    loop_.resume = folder_.path();
    config_.schedule.train_iters = 8;
    std::vector<std::string> starts;
    struct Start : Observer {
        std::vector<std::string>* starts;
        fs::path folder;
        void on_start(const RunStart& start) override {
            starts->push_back(start.resumed_from.filename());
            starts->push_back(fs::read_symlink(folder / "latest"));
        }
    } observer;
    observer.starts = &starts;
    observer.folder = folder_.path();
    Trainer trainer(world(), config_, &data_);
    run_training(trainer, loop_, nullptr, {&observer});
    EXPECT_EQ(starts, (std::vector<std::string>{checkpoint_name(4), checkpoint_name(4)}));
    EXPECT_EQ(trainer.digest(), digest_);
    EXPECT_EQ(found(), 8);
    EXPECT_TRUE(said_.empty());
    EXPECT_EQ(checkpoint_digest(read_checkpoint_info(file(8))), digest_);
    EXPECT_EQ(read_checkpoint_info(file(6)).state.step, 6);
}

}  // namespace
}  // namespace evengrad
