#include "lab/measure.hpp"

#include <cmath>
#include <limits>

#include "train/state.hpp"
#include "train/work.hpp"
#include <evengrad/error.hpp>
#include <evengrad/loop.hpp>

namespace evengrad {

namespace {

Index weight_of(const ParameterTable& table, const ActivationLayer& layer) {
    return table.find(layer.name + ".weight");
}

double std_of(std::span<const float> values) {
    const auto count = static_cast<double>(values.size());
    double sum = 0.0, squares = 0.0;
    for (const float value : values) sum += static_cast<double>(value);
    for (const float value : values) {
        const double distance = static_cast<double>(value) - sum / count;
        squares += distance * distance;
    }
    return std::sqrt(squares / count);
}

}  // namespace

BatchMeasurement measure_batch(const Communicator& world, const TrainConfig& config,
                               const std::filesystem::path& resume,
                               const std::vector<std::string>& overrides, const Dataset* data) {
    // No step is taken, and a checkpoint of any step may be looked at.
    TrainConfig looked_at = config;
    looked_at.schedule.train_iters = std::numeric_limits<std::int64_t>::max();
    Trainer trainer(world, looked_at, data);
    BatchMeasurement out;
    TrainingHistory history;
    if (!resume.empty()) out.checkpoint = restore(trainer, resume, history, overrides);
    out.step = trainer.steps_done();
    StepLayers layers;
    try {
        layers = layers_of_step(trainer, out.step);
    } catch (const DivergedError& error) {  // on all ranks alike
        out.overflow = error.what();
        return out;
    }
    if (layers.loss_tokens == 0)
        throw Error(
            fmt::format("no token carries a loss in the global batch of step {}", out.step + 1),
            "a larger --global-batch-size or another --seed takes others");
    out.loss_tokens = layers.loss_tokens;
    out.layers.layers = std::move(layers.layers);
    out.layers.stuck = std::move(layers.stuck);
    for (const ActivationLayer& layer : activation_layers(config.model)) {
        const Tensor& tensor = trainer.parameters()[weight_of(trainer.parameters(), layer)];
        out.layers.weight_std.push_back(std_of(trainer.weights().subspan(
            static_cast<std::size_t>(tensor.offset), static_cast<std::size_t>(tensor.count))));
    }
    return out;
}

std::vector<RecordedMeasurement> recorded_measurements(const CheckpointInfo& checkpoint) {
    const ParameterTable table(checkpoint.model);
    const std::vector<ActivationLayer> layers = activation_layers(checkpoint.model);
    std::vector<RecordedMeasurement> out;
    for (const StatisticsHistory::Sample& sample : checkpoint.history.statistics.samples) {
        if (sample.layers.size() != layers.size()) continue;  // by a version that had none
        RecordedMeasurement& recorded = out.emplace_back();
        recorded.step = sample.step;
        recorded.layers.layers = sample.layers;
        for (const ActivationLayer& layer : layers) {
            const auto at = static_cast<std::size_t>(weight_of(table, layer));
            recorded.layers.weight_std.push_back(
                static_cast<double>(sample.tensors[at].weights.std));
        }
    }
    if (out.empty())
        throw Error(fmt::format("{}: it has no statistics of layers", checkpoint.path.string()),
                    "runs record them with --stats-interval; or diagnose one batch, with --data "
                    "and --resume");
    return out;
}

}  // namespace evengrad
