// What a diagnosis is made from: one batch that is computed for it, or the steps that a run
// recorded.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lab/diagnosis.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/train.hpp>

namespace evengrad {

/// One global batch, with weights as they are before its step.
struct BatchMeasurement {
    LayerMeasurement layers;
    std::int64_t step = 0;  ///< steps done before: 0 for initial weights
    std::int64_t loss_tokens = 0;
    std::filesystem::path checkpoint;  ///< the file, on rank 0; empty: initial weights
    /// What of the batch is no number, and where; then nothing else is known. Empty: all are.
    std::string overflow;
};

/// @collective Measures the layers of the next step's batch; nothing is trained. `resume` (empty:
/// initial weights) and `overrides` are as LoopConfig's; they and `data` matter on rank 0. The same
/// result on every rank and layout, but for `checkpoint`. @throws Error as a run does; when no
/// token of the batch has a loss.
BatchMeasurement measure_batch(const Communicator& world, const TrainConfig& config,
                               const std::filesystem::path& resume,
                               const std::vector<std::string>& overrides, const Dataset* data);

/// Recorded steps, by what their statistics say.
struct RecordedMeasurement {
    std::int64_t step = 0;  ///< the last of those that one sample is of
    LayerMeasurement layers;
};

/// What a checkpoint has of its run's layers, by step. @local @throws Error when it has nothing.
std::vector<RecordedMeasurement> recorded_measurements(const CheckpointInfo& checkpoint);

}  // namespace evengrad
