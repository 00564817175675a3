// The whole gradient of a step, in a file of its own beside the checkpoints.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include <evengrad/model.hpp>

namespace evengrad {

/// "gradients-00000012.h5"
std::string gradient_file_name(std::int64_t step);

/// A step's global gradient, divided by the denominator, before clipping.
struct SavedGradient {
    std::int64_t step = 0;  ///< from 1
    double norm = 0.0;      ///< over all tensors: StepRecord::grad_norm
    double denominator = 0.0;
    std::span<const float> values;  ///< [flat size]
};

/// Writes `file` atomically: /gradients/raw/<step>/<path>, with paths and attributes as parameters
/// have them. A file of its own, since tensors in a checkpoint would be written again with each
/// later one, and lost with the last that retention lets go. @local @throws Error when it can't be
/// written; an earlier file of this name then stays.
void write_gradient(const std::filesystem::path& file, const ParameterTable& table,
                    const SavedGradient& gradient);

/// Removes those of steps after `step` from a run's folder. @local
void remove_gradients_after(const std::filesystem::path& folder, std::int64_t step);

}  // namespace evengrad
