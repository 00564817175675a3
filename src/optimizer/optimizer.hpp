// Optimizers, over the blocks that a rank owns.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "gradient/normalize.hpp"
#include "optimizer/kinds.hpp"

namespace evengrad {

/// weights -= update, for `count` elements, by the rule of the optimizer; the moments too (null
/// where it has none).
void update_elements(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                     float* weights, float* first, float* second);

/// Sees each owned element once an update, while it is in the first cache.
class UpdateObserver {
  public:
    virtual ~UpdateObserver() = default;
    /// A run of elements of `block`; the runs of a block come in order, and are the same on every
    /// layout. gradient: before clipping; before, after: the weights.
    virtual void see(Index block, std::span<const float> gradient, std::span<const float> before,
                     std::span<const float> after) = 0;
};

/// Moments of the owned blocks and their update. Every block is worked on by itself, so the result
/// doesn't depend on who owns what.
class Optimizer {
  public:
    Optimizer(const OptimizerConfig& config, const ParameterTable& table, BlockRun owned);

    /// What update() returns when no weight became Inf or NaN.
    static constexpr std::int64_t every_weight_is_finite = std::numeric_limits<std::int64_t>::max();

    /// @local Updates the owned blocks of `weights` (flat) and consumes the gradient. Returns the
    /// lowest tensor with a weight that is no number any more, or every_weight_is_finite.
    std::int64_t update(const MeanGradient& gradient, double clip, double lr, std::int64_t step,
                        std::span<float> weights, UpdateObserver* observer = nullptr);

    /// Number of moments kept per element.
    int moments() const { return static_cast<int>(moments_.size()); }
    /// One of the moments, in the order of OptimizerFacts::moments, of the owned blocks, end to
    /// end.
    std::span<float> moment(int which) { return moments_[static_cast<std::size_t>(which)].span(); }
    const OptimizerConfig& config() const { return config_; }

  private:
    OptimizerConfig config_;
    const ParameterTable& table_;
    BlockRun owned_;
    std::vector<AlignedBuffer<float>> moments_;
};

}  // namespace evengrad
