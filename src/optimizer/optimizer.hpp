// Optimizers, over the blocks that a rank owns.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "gradient/normalize.hpp"
#include <evengrad/optimizer.hpp>

namespace evengrad {

/// One step's numbers, the same for all elements.
struct UpdateRule {
    OptimizerConfig config;
    double lr = 0.0;
    std::int64_t step = 1;  ///< 1 for the first update (Adam's t)
};

/// weights -= update, for `count` elements; the moments too. `decay`: weight decay applies.
///   sgd:   w -= lr (g + weight_decay w)
///   adamw: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2,
///          with PyTorch's order of operations: decay first, eps outside the bias correction.
void update_elements(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                     float* weights, float* exp_avg, float* exp_avg_sq);

/// Values of state that an optimizer keeps a parameter.
inline int moments_of(OptimizerKind kind) {
    return kind == OptimizerKind::adamw ? 2 : 0;
}

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

    /// Number of moments kept per element: 0 (sgd) or 2 (adamw).
    int moments() const { return moments_of(config_.kind); }
    /// Moment 0 (exp_avg) or 1 (exp_avg_sq) of the owned blocks, end to end.
    std::span<float> moment(int which) { return which == 0 ? exp_avg_.span() : exp_avg_sq_.span(); }
    const OptimizerConfig& config() const { return config_; }

  private:
    OptimizerConfig config_;
    const ParameterTable& table_;
    BlockRun owned_;
    AlignedBuffer<float> exp_avg_, exp_avg_sq_;
};

}  // namespace evengrad
