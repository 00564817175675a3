// Writing a checkpoint, and bringing its tensors back to the ranks.
#pragma once

#include <functional>
#include <optional>

#include "mpi/exchange.hpp"
#include "optimizer/optimizer.hpp"
#include <evengrad/checkpoint.hpp>

namespace evengrad {

/// Where the tensors of a run live while it runs.
struct RunTensors {
    const Topology& topology;
    const Ownership& ownership;
    const ParameterTable& table;
    std::span<float> weights;  ///< the node's flat array
    Optimizer& optimizer;
};

/// @collective Writes `file` atomically, on rank 0. Other ranks send their moments, tensor by
/// tensor. `state`, `model` and `history` matter on rank 0 only.
/// @throws Error on rank 0 when it can't be written; an earlier file of this name is then
/// untouched.
void save_checkpoint(const std::filesystem::path& file, const RunTensors& tensors,
                     const GptConfig& model, const CheckpointState& state,
                     const TrainingHistory& history);

/// @collective Weights into rank 0's node (the caller shares them with other nodes), moments to
/// their owners. `file` matters on rank 0 only. @throws Error on rank 0.
void load_tensors(const std::filesystem::path& file, const RunTensors& tensors);

/// Digest of a run's state; `fetch(tensor, part)` gives each tensor's values. Of no layout or time.
std::string digest_state(
    const CheckpointState& state, const ParameterTable& table, int moments,
    const std::function<std::span<const float>(const Tensor&, TensorPart)>& fetch);

/// "blocks.3.attn.qkv.weight" as a path below `part`'s group: "model/parameters/blocks/3/...".
std::string tensor_path(TensorPart part, const std::string& name);

}  // namespace evengrad
