// One rank's way into its node's integer sums.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gradient/quantum.hpp"
#include "gradient/sums.hpp"
#include "model/gradient_sink.hpp"
#include <evengrad/model.hpp>

namespace evengrad {

/// The integer sums of a node and the locks of their blocks, in memory its ranks share.
/// What a node holds is a *local* sum: only reduce() makes a global one of it (normalize.hpp).
struct NodeSum {
    std::span<std::uint64_t> sums;   ///< [flat size]
    std::span<std::uint32_t> locks;  ///< [blocks * lock_stride]

    static constexpr Index lock_stride = 16;  ///< one lock a cache line
};

/// What one micro-batch contributed.
struct MicroBatchFacts {
    std::uint64_t checksum = 0;  ///< of its addends
    double squared_norm = 0.0;   ///< of its gradient, before rounding
    double probe = 0.0;          ///< of its gradient, before rounding (gradient/probe.hpp)
};

/// An element that is no number, as (micro-batch, tensor); smaller ones come first.
struct NonFinite {
    static constexpr std::uint64_t none = ~std::uint64_t{0};
    static std::uint64_t key(std::int64_t micro_batch, Index tensor) {
        return static_cast<std::uint64_t>(micro_batch) << 32 | static_cast<std::uint64_t>(tensor);
    }
    static std::int64_t micro_batch(std::uint64_t key) {
        return static_cast<std::int64_t>(key >> 32);
    }
    static Index tensor(std::uint64_t key) { return static_cast<Index>(key & 0xffffffffu); }
};

/// Rounds contributions onto the grid and adds them to the node's sums, block by block under the
/// block's lock. @local; ranks of a node use their own Accumulators on one NodeSum at once.
class Accumulator final : public GradientSink<float> {
  public:
    /// `rank` of `ranks` in the node start at different blocks, to stay out of each other's way.
    /// Without sums (an empty NodeSum) nothing is added anywhere: the facts are the same.
    Accumulator(const ParameterTable& table, const QuantumTable& quanta, NodeSum node_sum, int rank,
                int ranks);

    /// Forgets what was seen. Call before the first micro-batch of each pass over a plan.
    void begin_pass();
    void begin_micro_batch(std::int64_t index);
    void add(Index tensor, Index offset, std::span<const float> values) override;
    void add_cross_term(double twice_product) override { facts_.squared_norm += twice_product; }
    MicroBatchFacts end_micro_batch() const { return facts_; }

    /// Bits of the largest finite |element| of any contribution, by tensor.
    const std::vector<std::uint32_t>& largest() const { return largest_; }
    /// Elements of contributions that were too small for their tensor's quantum and became 0, by
    /// tensor.
    const std::vector<std::uint64_t>& lost() const { return lost_; }
    /// NonFinite::key of the first element that was no number, or NonFinite::none.
    std::uint64_t first_non_finite() const { return first_non_finite_; }

  private:
    const ParameterTable& table_;
    const QuantumTable& quanta_;
    NodeSum node_sum_;
    int rank_, ranks_;
    std::int64_t micro_batch_ = 0;
    MicroBatchFacts facts_;
    std::vector<std::uint32_t> largest_;
    std::vector<std::uint64_t> lost_;
    std::vector<double> block_squares_;
    std::vector<std::uint64_t> nowhere_;  ///< [a block] instead of sums
    std::uint64_t first_non_finite_ = NonFinite::none;
};

}  // namespace evengrad
