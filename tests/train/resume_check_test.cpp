// What a resumed run may change. R20: nothing that decides the result changes in silence.
#include "train/resume_check.hpp"

#include <gtest/gtest.h>

#include "base/log.hpp"
#include "hdf5/scratch_folder.hpp"
#include <evengrad/error.hpp>
#include <evengrad/loop.hpp>

namespace evengrad {
namespace {

using test::contains;
using test::message_of;

/// A checkpoint and the run that goes on from it: the same, until a test changes something.
struct Resume {
    CheckpointInfo checkpoint;
    TrainConfig config;
    CheckpointState here;
    std::vector<std::string> warnings;

    Resume() {
        checkpoint.path = "run/step-00000040.h5";
        checkpoint.model = config.model;
        checkpoint.optimizer = "adamw";
        checkpoint.state.step = 40;
        checkpoint.state.seed = 5;
        checkpoint.state.data_digest = "aaaa";
        checkpoint.state.batches = "sequences documents, global-batch-size 24, micro-batch-size 4";
        here = checkpoint.state;
    }
    void check(const std::vector<std::string>& overrides = {}) {
        const LogSink before =
            set_log_sink([this](const std::string& text) { warnings.push_back(text); });
        try {
            check_resume(checkpoint, config, here, overrides);
        } catch (...) {
            set_log_sink(before);
            throw;
        }
        set_log_sink(before);
    }
    std::string refusal(const std::vector<std::string>& overrides = {}) {
        try {
            check(overrides);
        } catch (const Error& error) {
            return std::string(error.what()) + "\nhint: " + error.hint();
        }
        return "accepted";
    }
};

TEST(ResumeCheck, TheSameRunGoesOnInSilence) {
    Resume resume;
    resume.check();
    EXPECT_TRUE(resume.warnings.empty());
}

TEST(ResumeCheck, R20_ArchitectureAndOptimizerNeverChange) {
    Resume model, optimizer;
    model.config.model.gpt().num_layers = 7;
    optimizer.config.optimizer.kind = OptimizerKind::sgd;
    std::vector<std::string> all(overridable_options.begin(), overridable_options.end());
    for (const auto& overrides : {std::vector<std::string>{}, all}) {
        EXPECT_TRUE(contains(model.refusal(overrides),
                             {"--resume run/step-00000040.h5: the architecture (num_layers) is 4 "
                              "in the checkpoint and 7 here"}));
        EXPECT_TRUE(contains(optimizer.refusal(overrides),
                             {"the optimizer is adamw in the checkpoint and sgd here"}));
    }
}

TEST(ResumeCheck, R20_TheLossReductionNeverChanges) {
    Resume resume;
    resume.here.batches += ", loss-reduction sequence-mean";
    EXPECT_TRUE(contains(resume.refusal(), {"--loss-reduction is token-mean in the checkpoint and "
                                            "sequence-mean here"}));
    EXPECT_TRUE(contains(resume.refusal({"loss-reduction"}), {"--loss-reduction is token-mean"}));
    resume.checkpoint.state.batches = resume.here.batches;
    resume.check();
    EXPECT_TRUE(resume.warnings.empty());
}

TEST(ResumeCheck, R20_WhatDecidesTheResultIsRefusedNamingBothValuesUnlessOverridden) {
    Resume resume;
    resume.here.seed = 6;
    resume.here.data_digest = "bbbb";
    resume.here.batches = "sequences stream, global-batch-size 32, micro-batch-tokens 96";
    resume.config.model.gpt().dropout = 0.25;
    EXPECT_TRUE(contains(
        resume.refusal(),
        {"--data is tokens of digest aaaa in the checkpoint and tokens of digest bbbb here",
         "--seed is 5 in the checkpoint and 6 here", "--dropout is 0 in the checkpoint and 0.25",
         "--sequences is documents in the checkpoint and stream here",
         "--global-batch-size is 24 in the checkpoint and 32 here",
         "--micro-batch-size is 4 in the checkpoint and unset here",
         "--micro-batch-tokens is unset in the checkpoint and 96 here",
         "--override data seed dropout sequences global-batch-size micro-batch-size "
         "micro-batch-tokens"}));
    EXPECT_TRUE(
        contains(resume.refusal({"data", "sequences", "global-batch-size", "micro-batch-size",
                                 "micro-batch-tokens", "dropout"}),
                 {"--resume run/step-00000040.h5: --seed is 5 in the checkpoint and 6 here\n",
                  "--override seed"}));
    EXPECT_TRUE(resume.warnings.empty()) << "a refused run changes nothing";
    resume.check({"data", "seed", "dropout", "sequences", "global-batch-size", "micro-batch-size",
                  "micro-batch-tokens"});
    ASSERT_EQ(resume.warnings.size(), 7u);
    EXPECT_EQ(resume.warnings[1],
              "evengrad: warning: --override seed: it was 5 up to step 40 and is 6 now\n");
}

TEST(ResumeCheck, AnOverrideOfWhatIsTheSameIsAMistake) {
    Resume resume;
    EXPECT_TRUE(contains(resume.refusal({"seed"}),
                         {"--override seed: it is 5 in the checkpoint, too", "hint: name only"}));
    resume.here.seed = 6;
    EXPECT_TRUE(contains(resume.refusal({"seed", "dropout"}), {"--override dropout: it is 0 in"}));
}

TEST(ResumeCheck, WithoutDataThereAreNoneToCompare) {
    Resume resume;
    resume.here.data_digest.clear();
    resume.check();
}

TEST(ResumeCheck, WhatOnlyAFreshRunUsesMayChange) {
    Resume resume;
    resume.config.model.init().std = 0.5;
    resume.check();
}

// The text in a file may be anything.
TEST(ResumeCheck, BatchesThatMakeNoSenseAreDifferentOnes) {
    for (const char* text : {"", "x", ", ,", "sequences", "global-batch-size 24,,micro", "\n\n"}) {
        Resume resume;
        resume.checkpoint.state.batches = text;
        EXPECT_TRUE(contains(resume.refusal(), {"--sequences is "})) << text;
    }
}

}  // namespace
}  // namespace evengrad
