// Options of optimizers and learning-rate schedules.
#pragma once

#include <string>
#include <vector>

#include "commands/options.hpp"
#include <evengrad/optimizer.hpp>

namespace evengrad {

/// Which optimizer and schedule there are, and which option means something to which, is said by
/// the lists of src/optimizer/kinds.cpp.
class OptimizerOptions {
  public:
    /// Where the options' values go, and what --train-iters is for the verb.
    void add_to(OptionTable& table, OptimizerConfig& optimizer, ScheduleConfig& schedule,
                const std::string& train_iters_help);
    /// What the plain values mean; the numbers are in their places already.
    void interpret(OptimizerConfig& optimizer, ScheduleConfig& schedule,
                   std::vector<std::string>& problems) const;
    /// Their names, but for --train-iters and --optimizer.
    static std::vector<std::string> names();

  private:
    std::string optimizer_ = "adamw", decay_ = "cosine";
    std::vector<std::string> milestones_;
};

}  // namespace evengrad
