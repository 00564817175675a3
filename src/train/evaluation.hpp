// The engine of evaluations, for trainers and for checkpoints alone.
#pragma once

#include "train/work.hpp"
#include <evengrad/evaluate.hpp>

namespace evengrad {

/// @collective Evaluates the weights in `store`, the same on every node. `data` and `progress`
/// matter on rank 0 only. @throws Error as evaluate_checkpoint does.
Evaluation evaluate(const Topology& topology, const NodeStore& store,
                    const ModelConfig& model_config, Model<float>& model, const Dataset* data,
                    const EvaluateConfig& config, const EvaluationProgress& progress = {});

/// @local What evaluate() asks of data. @throws Error naming the files.
void check_evaluation_data(const Dataset& data, const ModelConfig& model);

}  // namespace evengrad
