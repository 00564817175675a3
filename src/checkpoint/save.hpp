// What writing and reading a checkpoint share, and how its tensors come back to the ranks.
#pragma once

#include <functional>

#include "checkpoint/snapshot.hpp"
#include "hdf5/file.hpp"

namespace evengrad {

/// @collective Weights into rank 0's node (the caller shares them with other nodes), moments to
/// their owners. `file` matters on rank 0 only. @throws Error on rank 0.
void load_tensors(const std::filesystem::path& file, const RunTensors& tensors);

/// Digest of a run's state; `fetch(tensor, part)` gives each tensor's values. Of no layout or time.
std::string digest_state(
    const CheckpointState& state, const ParameterTable& table, int moments,
    const std::function<std::span<const float>(const Tensor&, TensorPart)>& fetch);

/// "blocks.3.attn.qkv.weight" as a path: "blocks/3/attn/qkv/weight".
std::string tensor_place(const std::string& name);
/// And as a path below `part`'s group: "model/parameters/blocks/3/...".
std::string tensor_path(const OptimizerFacts& optimizer, TensorPart part, const std::string& name);

/// Writes tensor `index` of a model, with its name, its dimensions' names and its checksum.
void write_tensor(hdf5::Group& parent, const std::string& path, const Tensor& tensor, Index index,
                  std::span<const float> values);

}  // namespace evengrad
