// A difference between two runs is found, wherever it is, and said as what it is.
#include "fuzz_layout/compare.hpp"

#include <bit>
#include <cmath>

#include "checkpoint/folder.hpp"
#include "checkpoint/saved_run.hpp"
#include "checkpoint/snapshot.hpp"
#include "fuzz_layout/worker.hpp"

namespace evengrad::fuzz {
namespace {

using namespace test;

/// Two folders with a checkpoint each of steps 1 to 3, equal but for what a test changes.
class Saved : public testing::Test {
  protected:
    Saved() : snapshot_(ParameterTable(config().model), 2) {
        snapshot_.model = config().model;
        for (const char* run : {"a", "b"}) std::filesystem::create_directories(folder_ / run);
        for (const Tensor& tensor : snapshot_.table().tensors())
            for (int part = 0; part < 3; ++part) {
                const auto values = snapshot_.values(tensor, static_cast<TensorPart>(part));
                for (std::size_t i = 0; i < values.size(); ++i)
                    values[i] = static_cast<float>(part + 1) + static_cast<float>(i % 100);
            }
        snapshot_.state.data_digest = "digest";
        snapshot_.state.batches = "sequences documents, global-batch-size 2";
        snapshot_.state.quantum_exponents.assign(static_cast<std::size_t>(snapshot_.table().size()),
                                                 -30);
    }

    static TrainConfig config() {
        TrainConfig config = resume_config(OptimizerKind::adamw);
        config.model.gpt().vocab_size = 257;
        return config;
    }

    void write(const char* run, std::int64_t step) {
        TrainingHistory& history = snapshot_.history;
        history = {};
        for (std::int64_t i = 1; i <= step; ++i) {
            const auto value = static_cast<double>(i);
            history.step.push_back(i);
            history.loss.push_back(i == 1 ? std::nan("") : value);
            history.grad_norm.push_back(value);
            history.clipped_grad_norm.push_back(value / 2.0);
            history.lr.push_back(1e-3);
            for (auto* curve : {&history.gradient_signal, &history.gradient_noise,
                                &history.noise_scale, &history.noise_scale_error})
                curve->push_back(value);
            history.skipped.push_back(0);
            history.loss_tokens.push_back(10 * i);
            history.tokens_per_second.push_back(run[0] == 'a' ? 1.0 : 2.0);
            history.validation_step.push_back(i);
            history.validation_loss.push_back(value);
        }
        snapshot_.state.step = step;
        snapshot_.state.updates = step;
        if (change_ && run[0] == 'b' && step >= 2) change_();
        write_checkpoint(folder_ / run / checkpoint_name(step), snapshot_);
    }

    /// What is found when `change` was made to the second run's checkpoints of steps 2 and 3.
    std::string found(std::function<void()> change) {
        if (!std::filesystem::exists(folder_ / "a" / checkpoint_name(1)))
            for (std::int64_t step = 1; step <= 3; ++step) write("a", step);
        change_ = std::move(change);
        for (std::int64_t step = 1; step <= 3; ++step) write("b", step);
        return first_difference_saved(folder_ / "a", folder_ / "b", 3).value_or("");
    }

    void flip(TensorPart part, const char* tensor, std::size_t element) {
        const ParameterTable& table = snapshot_.table();
        float& value = snapshot_.values(table[table.find(tensor)], part)[element];
        value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ 1u);
    }

    ScratchFolder folder_;
    Snapshot snapshot_;
    std::function<void()> change_;
};

TEST_F(Saved, EqualRunsDifferInTimesOnly) {
    EXPECT_EQ(found({}), "");
}

TEST_F(Saved, OneBitOfAWeight) {
    EXPECT_TRUE(contains(found([this] {
                             if (snapshot_.state.step == 2)
                                 flip(TensorPart::weights, "blocks.1.mlp.fc.weight", 7);
                         }),
                         {"checkpoint of step 2: blocks.1.mlp.fc.weight[7] (weights) is 0x1p+3 "
                          "(8) in the reference and 0x1.000002p+3 (8.00000095) here, bits "
                          "00000001 differ; in all 1 value of 1 tensor"}));
}

TEST_F(Saved, OneBitOfAMoment) {
    EXPECT_TRUE(contains(found([this] {
                             if (snapshot_.state.step == 3)
                                 flip(TensorPart::second_moment, "ln_f.bias", 31);
                         }),
                         {"checkpoint of step 3: ln_f.bias[31] (second moment) is"}));
}

TEST_F(Saved, StateAndCurves) {
    const auto up = [](double& value) { value = std::nextafter(value, 1e9); };
    auto& state = snapshot_.state;
    auto& history = snapshot_.history;
    const std::vector<std::pair<std::function<void()>, const char*>> changes = {
        {[&] { state.quantum_exponents[1] = -29; },
         "wpe.weight (quantum exponent) is -30 in the reference and -29 here"},
        {[&] { state.updates -= 1; }, "the number of updates is 2 in the reference and 1 here"},
        {[&] { state.epoch = 1; }, "the epoch is 0 in the reference and 1 here"},
        {[&] { state.seed = 1; }, "the seed is 0 in the reference and 1 here"},
        {[&] { state.data_digest = "other"; }, "the data's digest is digest"},
        {[&] { state.batches += ", more"; }, "the batches is sequences"},
        {[&] { history.loss[0] = 0.0; }, "loss[0] is nan"},
        {[&] { up(history.loss[1]); }, "loss[1] is 0x1p+1 (2) in the reference and 0x1.000000000"},
        {[&] { up(history.grad_norm[1]); }, "grad_norm[1] is 0x1p+1"},
        {[&] { up(history.clipped_grad_norm[1]); }, "clipped_grad_norm[1] is 0x1p+0"},
        {[&] { up(history.lr[0]); }, "lr[0] is"},
        {[&] { up(history.gradient_signal[1]); }, "gradient_signal[1] is"},
        {[&] { up(history.gradient_noise[1]); }, "gradient_noise[1] is"},
        {[&] { up(history.noise_scale[1]); }, "noise_scale[1] is"},
        {[&] { up(history.noise_scale_error[1]); }, "noise_scale_error[1] is"},
        {[&] { history.skipped[1] = 1; }, "skipped[1] is 0 in the reference and 1 here"},
        {[&] { history.loss_tokens[1] = 19; }, "loss_tokens[1] is 20 in the reference and 19 here"},
        {[&] { up(history.validation_loss[1]); }, "validation_loss[1] is"},
        {[&] {
             history.validation_loss.pop_back();
             history.validation_step.pop_back();
         },
         "the length of validation_step is 2 in the reference and 1 here"}};
    const CheckpointState before = state;
    for (const auto& [change, text] : changes) {
        state = before;
        EXPECT_TRUE(contains(found(change), {"checkpoint of step 2: ", text}));
    }
}

TEST_F(Saved, AnEarlierEnd) {
    found({});
    std::filesystem::remove(folder_ / "b" / checkpoint_name(3));
    EXPECT_EQ(first_difference_saved(folder_ / "a", folder_ / "b", 3),
              "there is no checkpoint of the last step, 3");
}

/// Two runs' words; the second in two segments, of which a kill ended the first.
std::string said(const std::string& reference, const std::string& first,
                 const std::string& second = "") {
    const ScratchFolder folder;
    for (const char* run : {"a", "b"}) std::filesystem::create_directories(folder / run);
    write_bytes(witness_file(folder / "a", 0), reference);
    write_bytes(witness_file(folder / "b", 0), first);
    write_bytes(witness_file(folder / "b", 1), second);
    return first_difference_witnessed(folder / "a", folder / "b").value_or("");
}

TEST(Witness, StepsThatAKilledSegmentDidTwiceAreOnlyEqual) {
    const std::string one = "1 loss 0x1p+0\n1 norm 0x1p+1\n", two = "2 loss 0x1p+0\n";
    EXPECT_EQ(said(one + two, one + two), "");
    EXPECT_EQ(said(one + two, one, one + two), "");
    EXPECT_EQ(said(one + two, one + "2 lo", two), "");
    EXPECT_EQ(said(one + two, one + "2 loss 0x1", two), "") << "a line that was cut off";
}

TEST(Witness, TheFirstDifferenceIsThatOfTheEarliestStep) {
    const std::string one = "1 loss 0x1p+0\n1 norm 0x1p+1\n", two = "2 loss 0x1p+0\n";
    EXPECT_EQ(said(one + two, "1 loss 0x1p+0\n1 norm 0x1p+2\n2 loss 0x1p+5\n"),
              "step 1: norm is 0x1p+1 in the reference and 0x1p+2 here");
    EXPECT_EQ(said(one + two, one), "step 2: loss is 0x1p+0 in the reference and missing here");
    EXPECT_EQ(said(one, one + two), "step 2: loss is missing in the reference and 0x1p+0 here");
    // A killed segment computed another loss than the one that did the step again.
    EXPECT_EQ(said(one + two, one + "2 loss 0x1p+7\n", two),
              "step 2: loss is 0x1p+0 in the reference and 0x1p+7 here");
}

}  // namespace
}  // namespace evengrad::fuzz
