// Files that must not be used: damaged, hostile, or of another run.
#include <cstring>
#include <functional>

#include <sys/resource.h>

#include "checkpoint/saved_run.hpp"

namespace evengrad {
namespace {

using namespace test;
namespace fs = std::filesystem;

class Refusal : public testing::Test {
  protected:
    Refusal() {
        Trainer trainer(world(), config_, &data_);
        const RunResult result = run_steps(trainer, 3);
        TrainingHistory history = history_of(result.records);
        history.validation_step = {2, 3};
        history.validation_loss = {2.5, 2.0};
        history.validation_set = "other tokens than at step 2";
        history.validation_first = 1;
        file_ = save(trainer, folder_.path(), history, "options = 1\n");
    }

    /// The message when `change`d options meet the good checkpoint.
    std::string other_run(const std::function<void(TrainConfig&, Documents&)>& change) {
        TrainConfig config = config_;
        Documents documents = resume_data();
        change(config, documents);
        const Dataset data(std::move(documents));
        Trainer trainer(world(), config, &data);
        TrainingHistory history;
        return test::error_of([&] { restore(trainer, file_, history); });
    }

    /// The message when everything in `file` is read.
    std::string refusal(const fs::path& file) {
        return test::error_of([&] { checkpoint_digest(read_checkpoint_info(file)); });
    }

    /// The message for a copy that a line of Python has changed.
    std::string edited(const std::string& change) {
        const fs::path copy = folder_ / "edited.h5";
        fs::copy_file(file_, copy, fs::copy_options::overwrite_existing);
        EXPECT_TRUE(run_python(folder_, fmt::format("f = h5py.File('{}', 'r+')\n{}\nf.close()\n",
                                                    copy.string(), change)));
        return refusal(copy);
    }
    std::string with_config(const std::string& key, const std::string& value) {
        return edited(
            fmt::format("import json\n"
                        "c = json.loads(f['model/config/data'][()])\n"
                        "c['{}'] = {}\n"
                        "del f['model/config/data']\n"
                        "f['model/config'].create_dataset('data', data=json.dumps(c), "
                        "dtype=h5py.string_dtype())",
                        key, value));
    }

    ScratchFolder folder_;
    Dataset data_{resume_data()};
    TrainConfig config_ = resume_config(OptimizerKind::adamw);
    fs::path file_;
};

TEST_F(Refusal, OfAnEvaluationThatIsNotThere) {
    for (const int index : {-1, 3, 1 << 30})
        EXPECT_TRUE(contains(
            edited(fmt::format("f['training/validation/first_comparable'][()] = {}", index)),
            {"the first comparable evaluation is", "of 2"}))
            << index;
}

TEST_F(Refusal, TheUnchangedFileIsGood) {
    const fs::path copy = folder_ / "copy.h5";
    fs::copy_file(file_, copy);
    ASSERT_TRUE(run_python(folder_, fmt::format("h5py.File('{}', 'r+').close()", copy.string())));
    EXPECT_NO_THROW(checkpoint_digest(read_checkpoint_info(copy)));
    const TrainingHistory history = read_checkpoint_info(copy).history;
    EXPECT_EQ(history.validation_set, "other tokens than at step 2");
    EXPECT_EQ(history.validation_first, 1);
    EXPECT_EQ(best_evaluation(history).step, 3);
}

TEST_F(Refusal, AnotherRunIsRefusedWithBothValues) {
    EXPECT_TRUE(
        contains(other_run([](TrainConfig& c, Documents&) { c.model.gpt().num_layers = 3; }),
                 {"architecture (num_layers)", "is 2 in the checkpoint", "3 here"}));
    EXPECT_TRUE(contains(other_run([](TrainConfig& c, Documents&) { c.seed = 77; }),
                         {"--seed", "1234", "77"}));
    EXPECT_TRUE(contains(
        other_run([](TrainConfig& c, Documents&) { c.optimizer.kind = OptimizerKind::sgd; }),
        {"optimizer", "adamw", "sgd"}));
    EXPECT_TRUE(contains(other_run([](TrainConfig&, Documents& d) { d.tokens[3] ^= 1; }),
                         {"--data is tokens of digest", "in the checkpoint", "here"}));
    EXPECT_TRUE(contains(other_run([](TrainConfig&, Documents& d) { d.weights[7] = 0.25f; }),
                         {"--data is tokens of digest"}));
    TrainingHistory history;
    Trainer same(world(), config_, &data_);
    EXPECT_NO_THROW(restore(same, file_, history));
}

TEST_F(Refusal, AFlippedBitInAnyTensorIsFound) {
    const CheckpointInfo info = read_checkpoint_info(file_);
    const ParameterTable table(info.model);
    const std::string good = bytes_of(file_);
    const Tensor& tensor = table[table.find("blocks.1.mlp.fc.weight")];
    for (const auto& [part, path] :
         {std::pair{TensorPart::weights, "/model/parameters/blocks/1/mlp/fc/weight"},
          {TensorPart::first_moment, "/optimizer/exp_avg/blocks/1/mlp/fc/weight"},
          {TensorPart::second_moment, "/optimizer/exp_avg_sq/blocks/1/mlp/fc/weight"}}) {
        std::vector<float> values(static_cast<std::size_t>(tensor.count));
        CheckpointTensors(file_).read(tensor, part, values);
        std::string start(64, '\0');
        std::memcpy(start.data(), values.data(), start.size());
        const std::size_t at = good.find(start);
        ASSERT_NE(at, std::string::npos);
        std::string bad = good;
        bad[at + values.size() * sizeof(float) - 4] ^= 1;  // the last element's last bit
        write_bytes(folder_ / "bad.h5", bad);
        EXPECT_TRUE(contains(refusal(folder_ / "bad.h5"), {"bad.h5", path, "checksum"}));
    }
}

TEST_F(Refusal, CutOffFilesAndFilesThatAreNone) {
    const std::string good = bytes_of(file_);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{100}, good.size() / 2, good.size() - 1}) {
        write_bytes(folder_ / "cut.h5", good.substr(0, size));
        EXPECT_TRUE(contains(refusal(folder_ / "cut.h5"), {"cut.h5"})) << size;
    }
    EXPECT_TRUE(contains(test::error_of([&] { find_checkpoint(folder_ / "none.h5"); }),
                         {"no checkpoint", "none.h5"}));
    fs::remove(folder_ / "latest");
    EXPECT_TRUE(contains(test::error_of([&] { find_checkpoint(folder_.path()); }), {"latest"}));
}

TEST_F(Refusal, WhatIsMissingIsNamed) {
    const std::string weight = "f['model/parameters/wpe/weight']";
    EXPECT_TRUE(contains(edited("del " + weight + ".attrs['crc32c']"), {"wpe/weight", "crc32c"}));
    EXPECT_TRUE(contains(edited("del " + weight), {"wpe"}));
    EXPECT_TRUE(contains(edited("del f['optimizer/exp_avg/wpe/weight']"), {"exp_avg/wpe"}));
    EXPECT_TRUE(contains(edited("del f['state/updates']"), {"updates"}));
    EXPECT_TRUE(contains(edited("del f['state/quantum_exponent']"), {"quantum_exponent"}));
    EXPECT_TRUE(contains(edited("del f.attrs['complete']"), {"not finished"}));
    EXPECT_TRUE(contains(edited("del f['optimizer'].attrs['algorithm']"), {"algorithm"}));
    EXPECT_TRUE(contains(edited("f.attrs['schema_version'] = '2.0'"), {"2.0"}));
}

TEST_F(Refusal, AnotherTypeOrShapeIsRefused) {
    const auto replaced = [](const std::string& path, const std::string& expression) {
        return fmt::format(
            "v = f['{0}'][()]\na = dict(f['{0}'].attrs)\ndel f['{0}']\n"
            "d = f.create_dataset('{0}', data={1})\n"
            "d.attrs.update(a)",
            path, expression);
    };
    const char* const path = "model/parameters/blocks/0/mlp/fc/weight";
    EXPECT_TRUE(contains(edited(replaced(path, "v.astype('f8')")), {"mlp/fc/weight", "float64"}));
    EXPECT_TRUE(contains(edited(replaced(path, "v.T")), {"mlp/fc/weight", "[32, 64]"}));
    EXPECT_TRUE(contains(edited(replaced(path, "v[1:]")), {"mlp/fc/weight", "[63, 32]"}));
    EXPECT_TRUE(
        contains(edited(replaced("state/step", "np.float64(3)")), {"state/step", "float64"}));
    EXPECT_TRUE(contains(edited("f['state/quantum_exponent'][2] = 100000"),
                         {"quantum exponent", "100000"}));
    EXPECT_TRUE(contains(edited("f['state/updates'][()] = 99"), {"99 updates"}));
    EXPECT_TRUE(contains(edited("f['state/step'][()] = -3"), {"step -3"}));
    EXPECT_TRUE(contains(edited("f['optimizer'].attrs['algorithm'] = 'shampoo'"), {"shampoo"}));
    EXPECT_TRUE(contains(edited("f['model'].attrs['architecture'] = 'rnn'"), {"/model", "rnn"}));
    EXPECT_TRUE(contains(
        edited("j = '{\"kind\": \"ids\", \"vocabulary_size\": 70000, \"end_of_text\": 0}'\n"
               "del f['model/tokenizer/data']\n"
               "f['model/tokenizer'].create_dataset('data', data=j, dtype=h5py.string_dtype())"),
        {"/model", "a tokenizer of 70000 tokens for a vocabulary of"}));
}

/// Largest memory this process has had so far, bytes.
std::size_t peak_memory() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

TEST_F(Refusal, HostileSizesAreRefusedBeforeAnythingIsAllocated) {
    const std::size_t before = peak_memory();
    EXPECT_TRUE(contains(with_config("hidden_size", "65536"), {"edited.h5"}));
    EXPECT_TRUE(contains(with_config("num_layers", "4096"), {"parameters"}));
    EXPECT_TRUE(contains(with_config("vocab_size", "1 << 24"), {"parameters"}));
    EXPECT_TRUE(contains(with_config("vocab_size", "1 << 62"), {"--vocab-size"}));
    EXPECT_TRUE(contains(with_config("hidden_size", "-32"), {"--hidden-size"}));
    EXPECT_TRUE(contains(with_config("num_layers", "1e300"), {"num_layers"}));
    EXPECT_TRUE(contains(with_config("dropout", "'much'"), {"config"}));
    EXPECT_TRUE(contains(with_config("init", "'magic'"), {"'init' can be zeros, ", "not 'magic'"}));
    EXPECT_TRUE(contains(with_config("init_gain", "'-1'"), {"--init-gain -1: can be paper"}));
    EXPECT_TRUE(contains(with_config("num_attention_heads", "7"), {"--num-attention-heads"}));
    // Datasets of enormous size that take no room in the file.
    EXPECT_TRUE(contains(edited("del f['training/step']\n"
                                "f['training'].create_dataset('step', (1 << 27,), 'i8', "
                                "chunks=(1 << 20,))"),
                         {"training/step"}));
    // Few enough for a long run, but for none whose steps take no room in the file.
    EXPECT_TRUE(contains(edited("del f['training/step']\n"
                                "f['training'].create_dataset('step', (1 << 24,), 'i8', "
                                "chunks=(1 << 20,))"),
                         {"training/step", "and 0 bytes in the file for them"}));
    EXPECT_TRUE(contains(edited("del f['state/options/data']\n"
                                "f['state/options'].create_dataset('data', data='x' * (2 << 20), "
                                "dtype=h5py.string_dtype())"),
                         {"options/data"}));
    EXPECT_LT(peak_memory() - before, std::size_t{300} << 20);
}

TEST_F(Refusal, OfStatisticsThatMakeNoSense) {
    const auto replaced = [this](const std::string& path, const std::string& value) {
        return edited(
            fmt::format("v = f['{0}'][()]\ndel f['{0}']\n"
                        "f.create_dataset('{0}', {1})",
                        path, value));
    };
    EXPECT_TRUE(contains(edited("f['gradients/step'][0] = 0"), {"/gradients", "sample 0"}));
    EXPECT_TRUE(contains(edited("f['gradients/step'][1] = -(1 << 63)"), {"sample 1"}));
    EXPECT_TRUE(
        contains(edited("f['gradients/step'][-1] = 4"), {"step 4", "checkpoint of step 3"}));
    EXPECT_TRUE(
        contains(edited("f['gradients/merged'][0] = 2"), {"2 recorded steps up to step 1"}));
    EXPECT_TRUE(contains(edited("f['gradients/histogram_merged'][0] = 0"), {"0 recorded steps"}));
    EXPECT_TRUE(contains(edited("del f['weights']"), {"weights"}));
    EXPECT_TRUE(contains(edited("del f['weights/update_ratio/update_ratio']"), {"update_ratio"}));
    EXPECT_TRUE(
        contains(replaced("gradients/std/std", "data=v[1:]"), {"gradients/std/std", "shape"}));
    EXPECT_TRUE(contains(replaced("gradients/std/std", "data=v.astype('f8')"), {"float64"}));
    EXPECT_TRUE(contains(replaced("weights/histogram/counts", "data=v[:, :, 1:]"), {"284"}));
    EXPECT_TRUE(contains(edited("del f['activations']"), {"activations"}));
    EXPECT_TRUE(contains(edited("del f['activations/dead_fraction']"), {"dead_fraction"}));
    EXPECT_TRUE(contains(replaced("activations/input_norm/input_norm", "data=v[:1]"),
                         {"activations/input_norm", "shape"}));
    EXPECT_TRUE(contains(replaced("activations/input_norm/input_norm", "data=v.astype('f4')"),
                         {"float32"}));
    // Sizes that take no room in the file.
    EXPECT_TRUE(contains(replaced("gradients/step", "shape=(4096,), dtype='i8', chunks=(4096,)"),
                         {"gradients/step", "0 bytes in the file"}));
    EXPECT_TRUE(contains(replaced("gradients/step", "shape=(1 << 27,), dtype='i8', chunks=(4096,)"),
                         {"gradients/step"}));
    EXPECT_TRUE(contains(
        replaced("weights/histogram/counts", "shape=v.shape, dtype='u8', chunks=(1, 1, 285)"),
        {"weights/histogram/counts", "0 bytes in the file"}));
}

TEST_F(Refusal, AFolderWithARunIsNotOverwrittenUnasked) {
    Trainer trainer(world(), config_, &data_);
    LoopConfig loop;
    loop.save_dir = folder_.path();
    EXPECT_TRUE(contains(test::error_of([&] { run_training(trainer, loop, nullptr, {}); }),
                         {"earlier run", "--save"}));
    EXPECT_TRUE(fs::exists(file_));
}

}  // namespace
}  // namespace evengrad
