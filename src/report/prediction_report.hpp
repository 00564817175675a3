// What people see of `evengrad bench --predict`.
#pragma once

#include <string>
#include <vector>

#include "lab/prediction.hpp"

namespace evengrad {

struct PredictionReport {
    StepModel model;
    std::vector<Network> networks;
    std::int64_t most_nodes = 1024;
    /// Micro-batches of each rank, however many there are; or, above 0, of a step on all nodes.
    std::int64_t micro_batches_per_rank = 1, micro_batches = 0;
};

/// A table for each network: 1, 2, 4 ... nodes, and `most_nodes`. @local
std::string prediction_tables(const PredictionReport& report);

}  // namespace evengrad
