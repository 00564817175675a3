// Which layers let signals and gradients vanish or explode, why, and what to try.
#include <algorithm>
#include <optional>

#include <fmt/core.h>

#include "base/log.hpp"
#include "base/output_file.hpp"
#include "base/text.hpp"
#include "commands/diagnose_options.hpp"
#include "commands/verbs.hpp"
#include "lab/measure.hpp"
#include "report/diagnosis_report.hpp"

namespace evengrad {

namespace {

/// So many of the last samples of a run are taken together: one batch more or less doesn't decide.
constexpr std::size_t recent_samples = 10;

DiagnosedRun diagnosed_run(const TrainConfig& config, FeatureScalingKind scaling,
                           std::int64_t step) {
    return {.model = config.model,
            .input_normalization = feature_scaling_names[static_cast<std::size_t>(scaling)],
            .step = step,
            .lr = config.schedule.lr,
            .clip_grad = config.optimizer.clip_grad};
}

DiagnosisReport diagnose_checkpoint(const std::string& path) {
    const CheckpointInfo info = read_checkpoint_info(find_checkpoint(path));
    TrainOptions recipe;
    recipe.parse_known(info.state.options);
    recipe.train.model = info.model;
    const std::vector<ActivationLayer> layers = activation_layers(info.model);
    const std::vector<RecordedMeasurement> recorded = recorded_measurements(info);
    const auto count = std::min(recorded.size(), recent_samples);
    std::vector<LayerMeasurement> last;
    for (auto sample = recorded.end() - static_cast<std::ptrdiff_t>(count);
         sample != recorded.end(); ++sample)
        last.push_back(sample->layers);
    DiagnosisReport report;
    report.run = diagnosed_run(recipe.train, info.state.scaling.kind, info.state.step);
    report.found = diagnose(report.run, layers, mean_of(last));
    report.seed = info.state.seed;
    report.checkpoint = info.path;
    report.first_step = recorded[recorded.size() - count].step;
    report.last_step = recorded.back().step;
    report.recorded = static_cast<std::int64_t>(count);
    if (recorded.size() > count) {
        report.at_first = diagnose(report.run, layers, recorded.front().layers);
        report.at_first_step = recorded.front().step;
    }
    return report;
}

/// @collective The report is rank 0's.
DiagnosisReport diagnose_batch(const Communicator& world, const DiagnoseOptions& options,
                               const Dataset* data) {
    const BatchMeasurement batch =
        measure_batch(world, options.train, options.loop.resume, options.loop.overrides, data);
    DiagnosisReport report;
    if (!data) return report;
    const FeatureScaling* scaling = data->scaling();
    report.run = diagnosed_run(options.train, scaling ? scaling->kind : FeatureScalingKind::none,
                               batch.step);
    report.overflow = batch.overflow;
    if (batch.overflow.empty())
        report.found = diagnose(report.run, activation_layers(options.train.model), batch.layers);
    report.seed = options.train.seed;
    report.checkpoint = batch.checkpoint;
    report.loss_tokens = batch.loss_tokens;
    return report;
}

}  // namespace

int diagnose_command(const Communicator& world, const Arguments& arguments) {
    prepare_machine();
    const bool root = world.rank() == 0;
    // Rank 0 alone touches files; what can be refused is refused before anything is computed.
    DiagnoseOptions options;
    RunData data;
    std::optional<OutputFile> json;
    std::optional<DiagnosisReport> report;
    if (root) {
        options.parse_diagnose(arguments);
        if (options.help) {
            fmt::print("{}", options.table.help());
        } else {
            if (options.checkpoint.empty())
                data = options.open_data();
            else
                report = diagnose_checkpoint(options.checkpoint);
            if (!options.json.empty()) json.emplace(options.json);
        }
    }
    if (options.share(world, data, !options.help && !report))
        report = diagnose_batch(world, options, root ? &data.data : nullptr);
    if (!root || !report) return 0;
    fmt::print("{}", printable(diagnosis_text(*report)));
    if (json) {
        json->write(diagnosis_json(*report));
        json->publish();
    }
    return report->is_sound() ? 0 : unsound;
}

}  // namespace evengrad
