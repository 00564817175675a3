// What the parts of a step cost on this machine, from steps that a trainer takes.
#pragma once

#include <deque>

#include "lab/prediction.hpp"
#include <evengrad/train.hpp>

namespace evengrad {

/// Seconds a micro-batch, of the rank that is slowest at them: the one that others wait for.
double seconds_of_slowest(const std::vector<LedgerEntry>& ledger);

/// Takes in steps of a trainer, on any number of equal nodes: nothing that passes between nodes
/// counts. All micro-batches must be alike.
class StepCostsMeter {
  public:
    explicit StepCostsMeter(Trainer& trainer);

    void add(const StepRecord& record);  ///< @local the step just taken
    /// @collective Measures also what steps don't tell apart: planning, adding up what came.
    StepModel result();

  private:
    Trainer& trainer_;
    std::deque<double> micro_batch_;  ///< [steps] seconds
    std::deque<double> update_;       ///< [steps] this rank's seconds
};

}  // namespace evengrad
