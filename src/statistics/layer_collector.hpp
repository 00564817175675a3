// The statistics of what passes through a step's layers, while the model has it in hand.
#pragma once

#include <span>
#include <vector>

#include "model/layer_sink.hpp"
#include <evengrad/communicator.hpp>
#include <evengrad/statistics.hpp>

namespace evengrad {

/// Collects from the micro-batches that a rank computes. Sums are taken by micro-batch and added up
/// in the order of the plan, by every rank alike: so the result is the same on every layout.
class LayerCollector final : public LayerSink<float> {
  public:
    /// For one pass over so many micro-batches. The only function that allocates.
    LayerCollector(std::vector<ActivationLayer> layers, std::int64_t micro_batches);

    /// @local What add() gets from now on is of this micro-batch.
    void begin_micro_batch(std::int64_t micro_batch) { micro_batch_ = micro_batch; }
    void add(Index layer, const LayerValues<float>& values) override;  ///< @local

    /// @collective Of all micro-batches, each of which one rank has computed. [layers]
    std::vector<LayerStatistics> combine(const Communicator& world);
    /// @local After combine(). [layers]
    std::vector<StuckUnits> stuck_units() const;

  private:
    /// Mean, and sum of squared distances from it.
    struct Moments {
        double mean = 0.0, distances = 0.0;
        static Moments of(const float* values, Index size);
        void add(double own_count, const Moments& other, double other_count);
    };
    /// Of a layer's positions with a loss, or from several micro-batches.
    struct Sums {
        std::int64_t positions = 0;
        double weight = 0.0;  ///< of the positions' losses
        Moments forward, backward;
        double input_squares = 0.0, derivative_squares = 0.0;
        std::int64_t saturated = 0;  ///< elements
        void add(const Sums& other, Index units);
    };

    Sums& sums_of(std::int64_t micro_batch, std::size_t layer) {
        return sums_[static_cast<std::size_t>(micro_batch) * layers_.size() + layer];
    }

    std::span<const std::uint32_t> units_of(std::size_t layer) const {
        return {most_active_.data() + first_unit_[layer],
                static_cast<std::size_t>(layers_[layer].units)};
    }

    std::vector<ActivationLayer> layers_;
    std::int64_t micro_batches_, micro_batch_ = 0;
    std::vector<Sums> sums_;  ///< [micro-batches, layers], all bits 0 for those of other ranks
    /// [units of all layers] 0: its f'(z) was always 0; 1: wasn't, but it was always saturated.
    std::vector<std::uint32_t> most_active_;
    std::vector<std::size_t> first_unit_;  ///< [layers]
};

/// The largest |f'(z)| there can be. For leaky_relu that of slopes of 1 at most.
double largest_derivative(Activation activation);

}  // namespace evengrad
