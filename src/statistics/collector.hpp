// The statistics of a step's gradient, weights and update, while the optimizer has them in hand.
#pragma once

#include <span>
#include <vector>

#include "optimizer/optimizer.hpp"
#include <evengrad/communicator.hpp>
#include <evengrad/statistics.hpp>

namespace evengrad {

/// Collects from the blocks that a rank owns. Sums are taken by block and added up in block order,
/// counts are integers: so the result is the same on every layout.
class StatisticsCollector final : public UpdateObserver {
  public:
    StatisticsCollector(const ParameterTable& table, BlockRun owned);

    /// @local
    void see(Index block, std::span<const float> gradient, std::span<const float> before,
             std::span<const float> after) override;

    /// @collective Of all blocks, once they were all seen. quantum_exponent and
    /// rounded_to_zero_fraction are the caller's to add.
    StepStatistics combine(const Communicator& world);

  private:
    /// Of a block's values, or from several blocks of a tensor's.
    struct Sums {
        double sum = 0.0, squares = 0.0;
        float least = 0.0f, most = 0.0f;
        void add(const Sums& later);
    };
    struct BlockSums {
        Sums gradient, weights;
        double update_squares = 0.0;
    };
    struct Counts {
        OctaveCounts bins{};
        std::uint64_t zeros = 0;
    };
    struct TensorCounts {
        Counts gradient, weights;
    };

    static Sums sums_of(std::span<const float> values);
    static void count(std::span<const float> values, Counts& counts);
    static ValueStatistics statistics_of(const Sums& sums, const Counts& counts, Index size);

    const ParameterTable& table_;
    std::vector<BlockSums> blocks_;     ///< [blocks], all bits 0 for those that aren't owned
    std::vector<TensorCounts> counts_;  ///< [tensors], of the owned blocks
};

}  // namespace evengrad
