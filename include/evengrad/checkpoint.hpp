// Checkpoints: one HDF5 file that holds weights, moments, all that exact resume needs, and the
// curves so far. Its layout knows nothing of ranks or nodes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <evengrad/feature_scaling.hpp>
#include <evengrad/history.hpp>
#include <evengrad/model.hpp>
#include <evengrad/tokenizer.hpp>

namespace evengrad {

namespace hdf5 {
class File;
}
struct OptimizerFacts;

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
    TokenizerSpec tokenizer;  ///< of the training tokens, or the classes of rows
    FeatureScaling scaling;   ///< of the features of rows
};

struct CheckpointInfo {
    std::filesystem::path path;
    std::string creator_version, file_time;
    ModelConfig model;
    std::string optimizer;  ///< as --optimizer names it
    int moments = 0;        ///< tensors of state per parameter tensor
    CheckpointState state;
    TrainingHistory history;
};

/// Which checkpoints of a run stay when newer ones come. What a link (`latest`) points to always
/// does.
struct Retention {
    std::int64_t keep_last = 2;   ///< the newest ones; 0: all. With 1 a damaged file is a lost run
    std::int64_t keep_every = 0;  ///< and those of steps that this divides, for good; 0: none
};

/// Bytes that rank 0 needs beside the run itself, so that a checkpoint can be written while
/// training goes on: a copy of weights and moments.
std::size_t snapshot_bytes(const ParameterTable& table, int moments);

/// The checkpoint that a path means: a file, or a run's folder, whose `latest` link is followed.
/// @local @throws Error when there is none.
std::filesystem::path find_checkpoint(const std::filesystem::path& path);

/// Everything but the tensors. @local @throws Error for a file that is damaged, incomplete, of
/// another schema, or makes no sense.
CheckpointInfo read_checkpoint_info(const std::filesystem::path& file);

/// A checkpoint that can be relied on: everything in it was read and has its checksum.
///
/// `path` is a file, or a link to one (`latest`, `best`), which is then the one, or a run's folder:
/// then the one that `latest` points to, or when that is damaged, unfinished or gone, the newest
/// one before it that is not. `report(what, hint)` is told of each that was passed over, and why.
/// Nothing is changed or deleted.
/// @local @throws Error when there is none; for a folder with the reasons against each.
CheckpointInfo open_checkpoint(
    const std::filesystem::path& path,
    const std::function<void(const std::string& what, const std::string& hint)>& report);

/// Which values of a tensor. The optimizer names its moments: AdamW's are exp_avg and exp_avg_sq.
enum class TensorPart { weights = 0, first_moment = 1, second_moment = 2 };

/// The tensors of a checkpoint, whose file is open as long as this lives. @local
class CheckpointTensors {
  public:
    /// @throws Error for a file that can't be opened, or is of an unknown optimizer.
    explicit CheckpointTensors(const std::filesystem::path& file);
    ~CheckpointTensors();
    CheckpointTensors(const CheckpointTensors&) = delete;
    CheckpointTensors& operator=(const CheckpointTensors&) = delete;

    /// Reads one tensor. values: [tensor.count]. @throws Error for one that is missing, has another
    /// type or shape, or not its checksum.
    void read(const Tensor& tensor, TensorPart part, std::span<float> values) const;

  private:
    std::unique_ptr<const hdf5::File> file_;
    const OptimizerFacts* optimizer_;
};

/// The weights as Gpt takes them. flat: [table.flat_size()]; gaps between tensors stay. @local
void read_checkpoint_weights(const CheckpointInfo& info, const ParameterTable& table,
                             std::span<float> flat);

/// Digest of weights, moments and resume state: the same as Trainer::digest(). @local
std::string checkpoint_digest(const CheckpointInfo& info);

}  // namespace evengrad
