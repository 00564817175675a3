// What a run has done so far, in HDF5: groups of checkpoints, and history.h5 in the run's folder,
// which has them alone. data/README.md describes them. Everything here is @local, for rank 0.
#pragma once

#include <filesystem>

#include "hdf5/file.hpp"
#include <evengrad/history.hpp>
#include <evengrad/model.hpp>

namespace evengrad {

inline constexpr const char* history_name = "history.h5";

/// Writes /training: the curves.
void write_training(hdf5::Group& root, const TrainingHistory& history);

/// Writes /gradients, /weights and /activations: the statistics of tensors and of layers, unless
/// there are none yet; the last one unless no layer has an activation.
void write_statistics(hdf5::Group& root, const ModelConfig& model,
                      const StatisticsHistory& statistics);

/// Reads what write_statistics wrote by step `last_step`. Types, sizes and the order of steps are
/// checked before anything is taken from the file; what the numbers say isn't. @throws Error
StatisticsHistory read_statistics(const hdf5::Group& root, const ModelConfig& model,
                                  std::int64_t last_step);

/// Writes `file` atomically: curves and statistics. @throws Error when it can't be written; an
/// earlier file of this name then stays.
void write_history(const std::filesystem::path& file, const ModelConfig& model,
                   const TrainingHistory& history);

}  // namespace evengrad
