// Optimizers and learning-rate schedules: their settings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace evengrad {

enum class OptimizerKind { sgd, adamw };
enum class LrDecay { constant, linear, cosine };

struct OptimizerConfig {
    OptimizerKind kind = OptimizerKind::adamw;
    double weight_decay = 0.1;  ///< on matrices only: biases and norms are not decayed
    double adam_beta1 = 0.9;
    double adam_beta2 = 0.95;
    double adam_eps = 1e-8;
    double clip_grad = 1.0;  ///< largest global norm of the mean gradient; 0: no clipping

    std::vector<std::string> validate() const;  ///< all problems at once
};

struct ScheduleConfig {
    double lr = 3e-4;     ///< the peak
    double min_lr = 0.0;  ///< the floor of the decay
    LrDecay decay = LrDecay::cosine;
    std::int64_t warmup_iters = 0;    ///< steps of linear rise from lr / warmup_iters
    std::int64_t train_iters = 1000;  ///< steps; where the decay ends

    std::vector<std::string> validate() const;  ///< all problems at once
};

/// Learning rate of step `step` (0-based): linear warm-up, then constant, or linear or cosine decay
/// (Loshchilov and Hutter, "SGDR", ICLR 2017, eq. 5, one cycle) from lr to min_lr at train_iters.
double learning_rate(const ScheduleConfig& config, std::int64_t step);

}  // namespace evengrad
