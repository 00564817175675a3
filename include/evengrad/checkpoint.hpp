// Checkpoints: one HDF5 file that holds weights, moments, all that exact resume needs, and the
// curves so far. Its layout knows nothing of ranks or nodes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <evengrad/history.hpp>
#include <evengrad/model.hpp>
#include <evengrad/tokenizer.hpp>

namespace evengrad {

/// What a run is at a step, besides its tensors.
struct CheckpointState {
    std::int64_t step = 0;     ///< steps done
    std::int64_t epoch = 0;    ///< epoch of the next step
    std::int64_t updates = 0;  ///< steps that changed the weights (Adam's t)
    std::uint64_t seed = 0;
    std::vector<std::int32_t> quantum_exponents;  ///< by tensor
    std::string data_digest;  ///< of the training tokens, so that another data set is noticed
    std::string batches;      ///< how sequences become global batches and micro-batches
    std::string options;      ///< the resolved recipe, as INI text
    TokenizerSpec tokenizer;  ///< of the training tokens
};

struct CheckpointInfo {
    std::filesystem::path path;
    std::string creator_version, file_time;
    GptConfig model;
    std::string optimizer;  ///< "adamw", "sgd"
    int moments = 0;        ///< tensors of state per parameter tensor
    CheckpointState state;
    TrainingHistory history;
};

/// The checkpoint that a path means: a file, or a run's folder, whose `latest` link is followed.
/// @local @throws Error when there is none.
std::filesystem::path find_checkpoint(const std::filesystem::path& path);

/// Everything but the tensors. @local @throws Error for a file that is damaged, incomplete, of
/// another schema, or makes no sense.
CheckpointInfo read_checkpoint_info(const std::filesystem::path& file);

/// Which values of a tensor.
enum class TensorPart { weights = 0, exp_avg = 1, exp_avg_sq = 2 };

/// Reads one tensor, its shape and checksum checked. values: [tensor.count]. @local
void read_checkpoint_tensor(const std::filesystem::path& file, const Tensor& tensor,
                            TensorPart part, std::span<float> values);

/// The weights as Gpt takes them. flat: [table.flat_size()]; gaps between tensors stay. @local
void read_checkpoint_weights(const CheckpointInfo& info, const ParameterTable& table,
                             std::span<float> flat);

/// Digest of weights, moments and resume state: the same as Trainer::digest(). @local
std::string checkpoint_digest(const CheckpointInfo& info);

}  // namespace evengrad
