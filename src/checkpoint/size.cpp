#include "checkpoint/size.hpp"

#include <algorithm>

#include "checkpoint/ledger_file.hpp"

namespace evengrad {

namespace {

/// Samples and histograms that are kept of so many recorded steps, at most.
std::pair<std::size_t, std::size_t> samples_kept(std::int64_t recorded_steps) {
    const auto recorded = static_cast<std::size_t>(recorded_steps);
    return {std::min(recorded, StatisticsHistory::most_samples),
            std::min(recorded, StatisticsHistory::most_histograms)};
}

}  // namespace

std::size_t checkpoint_bytes(const ParameterTable& table, int moments, const CheckpointState& state,
                             std::int64_t steps, std::int64_t evaluations) {
    // Measured: what headers, attributes and groups take in a file of the 1.10 library's layout.
    constexpr std::size_t of_file = 48000, of_part = 3000, of_dataset = 1392;
    // Curves are compressed: twelve values a step, but that is what noise leaves of them.
    constexpr std::size_t of_step = 66, of_evaluation = 10;
    std::size_t values = 0;
    for (const Tensor& tensor : table.tensors()) values += static_cast<std::size_t>(tensor.count);
    const auto tensors = static_cast<std::size_t>(table.size());
    const std::size_t part = values * sizeof(float) + of_part + tensors * of_dataset;
    return static_cast<std::size_t>(1 + moments) * part + of_file + state.options.size() +
           state.tokenizer.model.size() + static_cast<std::size_t>(steps) * of_step +
           static_cast<std::size_t>(evaluations) * of_evaluation;
}

std::size_t statistics_bytes(const ParameterTable& table, std::size_t layers,
                             std::int64_t recorded_steps) {
    if (recorded_steps == 0) return 0;
    // Measured, as compressed.
    constexpr std::size_t of_groups = 135000, of_sample = 34, of_histogram = 73;
    const auto [samples, histograms] = samples_kept(recorded_steps);
    constexpr std::size_t of_layer_groups = 45000, of_layer_sample = 52;
    return of_groups +
           static_cast<std::size_t>(table.size()) *
               (samples * of_sample + histograms * of_histogram) +
           (layers > 0 ? of_layer_groups : 0) + layers * samples * of_layer_sample;
}

std::size_t statistics_memory(const ParameterTable& table, std::size_t layers,
                              std::int64_t recorded_steps) {
    const auto [samples, histograms] = samples_kept(recorded_steps);
    return 2 * (static_cast<std::size_t>(table.size()) *
                    (samples * sizeof(TensorStatistics) + histograms * 2 * sizeof(OctaveCounts)) +
                layers * samples * sizeof(LayerStatistics));
}

std::size_t ledger_bytes(std::int64_t steps, std::int64_t micro_batches, std::int64_t segments) {
    // Measured, but for short columns: those of 1,024 rows on are compressed.
    constexpr std::size_t of_segment = 23000, of_step = 50;
    const bool short_columns = micro_batches < segments * 1024;
    const std::size_t of_micro_batch = short_columns ? sizeof(LedgerRecord) : 32;
    return static_cast<std::size_t>(segments) * of_segment +
           static_cast<std::size_t>(steps) * of_step +
           static_cast<std::size_t>(micro_batches) * of_micro_batch;
}

}  // namespace evengrad
