// The statistics of a step for which they are due, collected while it goes on.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "statistics/collector.hpp"
#include "statistics/layer_collector.hpp"
#include "train/state.hpp"

namespace evengrad {

/// For one step of a run.
class StepCollector {
  public:
    explicit StepCollector(const Trainer::State& state);

    /// Before each pass over the plan's micro-batches: what an earlier one gave is forgotten.
    void begin_pass(std::int64_t micro_batches);
    /// Who sees the layers of micro-batch k.
    LayerSink<float>* layers_of(std::int64_t k);
    UpdateObserver* update() { return &tensors_; }

    /// @collective After the update. lost: [tensors] elements of the step's contributions that
    /// were rounded to 0.
    StepStatistics combine(std::span<const std::uint64_t> lost);
    /// @collective Of the layers alone, after a pass without an update.
    std::vector<LayerStatistics> combine_layers() { return layers_->combine(s_.topology.world()); }
    std::vector<StuckUnits> stuck_units() const { return layers_->stuck_units(); }  ///< thereafter

  private:
    const Trainer::State& s_;
    StatisticsCollector tensors_;
    std::optional<LayerCollector> layers_;
    std::int64_t micro_batches_ = 0;
};

}  // namespace evengrad
