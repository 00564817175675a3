// Small runs that are saved, and changes to their files by h5py.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "hdf5/python.hpp"
#include "hdf5/scratch_folder.hpp"
#include "train/state.hpp"
#include "train/tiny_run.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/loop.hpp>

namespace evengrad::test {

/// Batches of two, half of the documents masked: some steps are no update (Adam's t lags behind).
inline Documents resume_data() {
    return uneven_documents(15, 60, 2);
}

inline TrainConfig resume_config(OptimizerKind kind) {
    TrainConfig config = tiny_config(20);
    config.plan.global_batch_size = 2;
    config.plan.micro_batch_size = 1;
    config.optimizer.kind = kind;
    config.stats_interval = 1;
    return config;
}

/// A history without times, so that equal runs have equal ones.
inline TrainingHistory history_of(const std::vector<StepRecord>& records) {
    TrainingHistory history;
    for (const StepRecord& record : records) {
        append(history, record);
        history.tokens_per_second.back() = 1000.0;
    }
    return history;
}

}  // namespace evengrad::test
