// Whether a run may go on from a checkpoint: what must be the same, and what may change if asked.
#pragma once

#include <string>
#include <vector>

#include <evengrad/checkpoint.hpp>
#include <evengrad/train.hpp>

namespace evengrad {

/// Compares a checkpoint with the run that wants to go on from it: `config`, and the state `here`
/// that it would save itself (without data: an empty digest, and data aren't compared).
///
/// Architecture, optimizer, tokenizer and loss reduction must be the same. Of options that decide
/// which tokens a step sees and how they count (overridable_options), those named in `overrides`
/// may differ, which is then said as a warning. All others are free to change. @local
/// @throws Error naming both values of everything that differs, or an override of nothing.
void check_resume(const CheckpointInfo& checkpoint, const TrainConfig& config,
                  const CheckpointState& here, const std::vector<std::string>& overrides);

}  // namespace evengrad
