#include <fmt/ranges.h>

#include "base/digest.hpp"
#include "checkpoint/history_file.hpp"
#include "checkpoint/save.hpp"
#include "checkpoint/schema.hpp"
#include "data/tokenizer_note.hpp"
#include "hdf5/nexus.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

namespace fs = std::filesystem;

// More than any real checkpoint has, so that a hostile one can't make us allocate without bound.
constexpr std::uint64_t note_bytes = 1 << 20;
constexpr std::uint64_t most_steps = std::uint64_t{1} << 24;

TrainingHistory read_history(const hdf5::Group& root) {
    TrainingHistory history;
    if (!root.exists("training/step")) return history;
    const hdf5::Group training = root.open_group("training");
    history.step = training.read<std::int64_t>("step", most_steps);
    const hdf5::Shape shape{history.step.size()};
    const auto curve = [&]<class T>(const char* path, std::vector<T>& values) {
        values.resize(history.step.size());
        training.read(path, shape, std::span<T>(values));
    };
    curve("loss/train_loss", history.loss);
    curve("grad_norm/before_clip", history.grad_norm);
    curve("grad_norm/after_clip", history.clipped_grad_norm);
    curve("learning_rate/learning_rate", history.lr);
    curve("tokens/tokens", history.loss_tokens);
    curve("tokens_per_second/tokens_per_second", history.tokens_per_second);
    // Checkpoints of the first version don't have these.
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    for (auto* values : {&history.gradient_signal, &history.gradient_noise, &history.noise_scale,
                         &history.noise_scale_error})
        values->assign(history.step.size(), none);
    history.skipped.assign(history.step.size(), 0);
    if (training.exists("noise_scale")) {
        curve("noise_scale/noise_scale", history.noise_scale);
        curve("noise_scale/noise_scale_errors", history.noise_scale_error);
        curve("gradient_noise/noise", history.gradient_noise);
        curve("gradient_noise/signal", history.gradient_signal);
        curve("skipped/skipped", history.skipped);
    }
    if (!training.exists("validation")) return history;
    history.validation_step = training.read<std::int64_t>("validation/step", most_steps);
    history.validation_loss.resize(history.validation_step.size());
    training.read("validation/validation_loss", {history.validation_step.size()},
                  std::span<double>(history.validation_loss));
    history.validation_first = static_cast<std::int64_t>(history.validation_step.size());
    // Checkpoints of the first version don't say what was evaluated.
    if (!training.exists("validation/evaluated")) return history;
    history.validation_set = training.read_text("validation/evaluated", note_bytes);
    history.validation_first = training.read_scalar<std::int64_t>("validation/first_comparable");
    if (history.validation_first < 0 ||
        history.validation_first > static_cast<std::int64_t>(history.validation_step.size()))
        throw Error(fmt::format("{}: the first comparable evaluation is {} of {}", training.where(),
                                history.validation_first, history.validation_step.size()),
                    "the checkpoint is damaged");
    return history;
}

const OptimizerFacts& read_optimizer(const hdf5::Group& root) {
    const hdf5::Group group = root.open_group("optimizer");
    const auto name = group.get<std::string>("algorithm");
    const OptimizerFacts* facts = find_optimizer(name);
    if (!facts)
        throw Error(fmt::format("{}: unknown optimizer '{}'", group.where(), name),
                    "go on with the version that wrote the checkpoint");
    return *facts;
}

/// x' = (x - shift) * scale; none where the file has none.
FeatureScaling read_scaling(const hdf5::Group& state, const ModelConfig& model) {
    FeatureScaling scaling;
    if (!model.is_mlp() || !state.exists("input_normalization")) return scaling;
    const hdf5::Group group = state.open_group("input_normalization");
    const std::string kind = group.read_text("kind", note_bytes);
    const auto found = std::find(feature_scaling_names.begin(), feature_scaling_names.end(), kind);
    if (found == feature_scaling_names.end())
        throw Error(fmt::format("{}: unknown kind '{}'", group.where(), kind),
                    "the checkpoint is damaged");
    scaling.kind = static_cast<FeatureScalingKind>(found - feature_scaling_names.begin());
    const auto features = static_cast<std::size_t>(model.mlp().features());
    for (auto [name, values] : {std::pair{"shift", &scaling.shift}, {"scale", &scaling.scale}}) {
        values->resize(features);
        group.read(name, {features}, std::span<float>(*values));
        if (!std::all_of(values->begin(), values->end(), [](float x) { return std::isfinite(x); }))
            throw Error(fmt::format("{}/{}: not a finite number", group.where(), name),
                        "the checkpoint is damaged");
    }
    return scaling;
}

CheckpointState read_state(const hdf5::Group& root, const ParameterTable& table) {
    CheckpointState state;
    const hdf5::Group group = root.open_group("state");
    state.step = group.read_scalar<std::int64_t>("step");
    state.epoch = group.read_scalar<std::int64_t>("epoch");
    state.updates = group.read_scalar<std::int64_t>("updates");
    state.seed = group.read_scalar<std::uint64_t>("seed");
    state.quantum_exponents.resize(static_cast<std::size_t>(table.size()));
    group.read("quantum_exponent", {state.quantum_exponents.size()},
               std::span<std::int32_t>(state.quantum_exponents));
    for (const std::int32_t exponent : state.quantum_exponents)
        if (exponent != std::numeric_limits<std::int32_t>::min() &&
            (exponent < -300 || exponent > 200))
            throw Error(fmt::format("{}: a quantum exponent of {}", group.where(), exponent),
                        "the checkpoint is damaged");
    if (state.step < 0 || state.updates < 0 || state.updates > state.step || state.epoch < 0)
        throw Error(fmt::format("{}: step {}, {} updates, epoch {}", group.where(), state.step,
                                state.updates, state.epoch),
                    "the checkpoint is damaged");
    state.data_digest = group.read_text("data_digest", note_bytes);
    state.batches = group.read_text("batches", note_bytes);
    state.options = group.read_text("options/data", note_bytes);
    return state;
}

}  // namespace

CheckpointInfo read_checkpoint_info(const fs::path& file) {
    const hdf5::File in = hdf5::File::open(file);
    const hdf5::Group root = in.root();
    hdf5::check_root(root, schema::name, schema::major_version);
    CheckpointInfo info;
    info.path = file;
    info.creator_version = root.get<std::string>("creator_version");
    info.file_time = root.get<std::string>("file_time");
    const hdf5::Group model = root.open_group("model");
    info.model = schema::model_from_json(model.get<std::string>("architecture"),
                                         model.read_text("config/data", note_bytes),
                                         model.where() + "/config");
    const OptimizerFacts& optimizer = read_optimizer(root);
    info.optimizer = optimizer.name;
    info.moments = static_cast<int>(optimizer.moments.size());
    // The table of a model that the file can't hold would be a way to exhaust memory.
    const std::uint64_t floats = fs::file_size(file) / sizeof(float);
    const double parameters = info.model.least_parameters();
    if (parameters > static_cast<double>(floats))
        throw Error(fmt::format("{}: a model of about {:.3g} parameters can't be in {} bytes",
                                file.string(), parameters, fs::file_size(file)),
                    "the checkpoint is damaged");
    info.state = read_state(root, ParameterTable(info.model));
    info.state.tokenizer = read_tokenizer(model);
    if (!info.model.is_mlp() && info.state.tokenizer.end_of_text < 0)
        throw Error(fmt::format("{}: a gpt with a tokenizer of rows ({})", model.where(),
                                info.state.tokenizer.kind),
                    "the file is damaged");
    info.state.scaling = read_scaling(root.open_group("state"), info.model);
    if (info.state.tokenizer.vocabulary_size > info.model.classes())
        throw Error(
            fmt::format("{}: a tokenizer of {} tokens for a vocabulary of {}", model.where(),
                        info.state.tokenizer.vocabulary_size, info.model.classes()),
            "the checkpoint is damaged");
    info.history = read_history(root);
    info.history.statistics = read_statistics(root, info.model, info.state.step);
    return info;
}

CheckpointTensors::CheckpointTensors(const fs::path& file)
    : file_(std::make_unique<const hdf5::File>(hdf5::File::open(file))),
      optimizer_(&read_optimizer(file_->root())) {}

CheckpointTensors::~CheckpointTensors() = default;

void CheckpointTensors::read(const Tensor& tensor, TensorPart part, std::span<float> values) const {
    const hdf5::Dataset dataset =
        file_->root().open_dataset(tensor_path(*optimizer_, part, tensor.name));
    hdf5::Shape shape;
    for (const Index extent : tensor.shape) shape.push_back(static_cast<std::uint64_t>(extent));
    dataset.expect(hdf5::Type::f32, shape);
    EVENGRAD_CHECK(dataset.size() == values.size(), "{} values for {}", values.size(), tensor.name);
    dataset.read(values);
    const auto stored = dataset.get<std::uint32_t>(schema::checksum_attribute);
    const std::uint32_t found = crc32c(std::as_bytes(values));
    if (found != stored)
        throw Error(
            fmt::format("{}: its checksum is {:08x}, {:08x} was stored: the data is damaged",
                        dataset.where(), found, stored),
            "use an earlier checkpoint");
}

void read_checkpoint_weights(const CheckpointInfo& info, const ParameterTable& table,
                             std::span<float> flat) {
    const CheckpointTensors tensors(info.path);
    for (const Tensor& tensor : table.tensors())
        tensors.read(tensor, TensorPart::weights,
                     flat.subspan(static_cast<std::size_t>(tensor.offset),
                                  static_cast<std::size_t>(tensor.count)));
}

std::string checkpoint_digest(const CheckpointInfo& info) {
    const ParameterTable table(info.model);
    const CheckpointTensors tensors(info.path);
    std::vector<float> values(static_cast<std::size_t>(table.largest_tensor()));
    return digest_state(info.state, table, info.moments,
                        [&](const Tensor& tensor, TensorPart part) -> std::span<const float> {
                            const auto span =
                                std::span(values).first(static_cast<std::size_t>(tensor.count));
                            tensors.read(tensor, part, span);
                            return span;
                        });
}

}  // namespace evengrad
