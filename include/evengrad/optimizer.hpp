// Optimizers and learning-rate schedules: their settings.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace evengrad {

enum class OptimizerKind { sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw, lion };

/// The rules are in src/optimizer/rules.hpp, each with its source.
struct OptimizerConfig {
    OptimizerKind kind = OptimizerKind::adamw;
    /// On matrices only: biases and norms are not decayed. AdamW and Lion shrink the weights by it,
    /// the others add it times the weights to the gradient.
    double weight_decay = 0.1;
    double momentum = 0.9;        ///< what momentum and nesterov keep of the last update
    double rmsprop_alpha = 0.99;  ///< decay of RMSprop's mean of squares
    double rmsprop_eps = 1e-8;
    double adagrad_eps = 1e-10;
    double adam_beta1 = 0.9;  ///< of adam and adamw
    double adam_beta2 = 0.95;
    double adam_eps = 1e-8;
    double lion_beta1 = 0.9;
    double lion_beta2 = 0.99;
    double clip_grad = 1.0;  ///< largest global norm of the mean gradient; 0: no clipping

    std::vector<std::string> validate() const;  ///< all problems at once
};

/// How the learning rate goes on after warm-up; learning_rate() says what each does.
enum class LrDecay {
    constant,
    step,
    multi_step,
    exponential,
    linear,
    cosine,
    cosine_restarts,
    inverse_square_root,
    polynomial,
    warmup_stable_decay,
    reduce_on_plateau
};

struct ScheduleConfig {
    double lr = 3e-4;     ///< the peak
    double min_lr = 0.0;  ///< the floor
    LrDecay decay = LrDecay::cosine;
    std::int64_t warmup_iters = 0;    ///< steps of linear rise from lr / warmup_iters
    std::int64_t train_iters = 1000;  ///< steps
    std::int64_t decay_iters = 0;     ///< the step where the decay ends; 0: train_iters
    std::int64_t step_size = 0;       ///< steps in which the rate falls to gamma times itself
    double gamma = 0.1;               ///< factor of a fall
    std::vector<std::int64_t> milestones = {};  ///< ascending: steps after which multi_step falls
    std::int64_t cycle_iters = 0;               ///< steps of the first cycle of cosine_restarts
    std::int64_t cycle_mult = 1;         ///< how many times longer each cycle is than the last
    double power = 1.0;                  ///< of polynomial
    std::int64_t wsd_decay_iters = 0;    ///< steps of the decay in warmup_stable_decay
    std::int64_t plateau_patience = 10;  ///< evaluations without improvement that are borne
    double plateau_threshold = 1e-4;     ///< share by which a loss must fall to be better
    std::int64_t plateau_cooldown = 0;   ///< evaluations after a fall that count for nothing

    std::vector<std::string> validate() const;  ///< all problems at once

    /// The step where the decay of linear, cosine, polynomial and warmup_stable_decay ends.
    std::int64_t decay_end() const { return decay_iters > 0 ? decay_iters : train_iters; }
};

/// Learning rate of step `step` (0-based): linear warm-up to lr, and then, with t steps since its
/// end, T of them up to decay_end(), and never below min_lr:
///   constant             lr
///   step                 lr gamma^floor(t / step_size)
///   multi_step           lr gamma^(number of milestones <= step)
///   exponential          lr gamma^(t / step_size)
///   linear               from lr to min_lr at decay_end(), as the others down to cosine
///   polynomial           min_lr + (lr - min_lr) (1 - t / T)^power
///   cosine               Loshchilov and Hutter, "SGDR", ICLR 2017, eq. 5, one cycle
///   cosine_restarts      the same eq. 5; cycles of cycle_iters, each cycle_mult times longer
///   inverse_square_root  lr sqrt(w / (step + 1)), w = max(1, warmup_iters): Vaswani et al.,
///                        "Attention is all you need", NeurIPS 2017, eq. 3
///   warmup_stable_decay  lr, and in the last wsd_decay_iters of T linearly to min_lr: Hu et al.,
///                        "MiniCPM", 2024, section 4.2 (which leaves the form of the decay open)
///   reduce_on_plateau    lr gamma^reductions, see plateau_reductions()
/// Where PyTorch has it (StepLR, MultiStepLR, ExponentialLR, LinearLR, PolynomialLR,
/// CosineAnnealingLR, CosineAnnealingWarmRestarts, ReduceLROnPlateau), it is PyTorch's, with a step
/// for an epoch. @local
double learning_rate(const ScheduleConfig& config, std::int64_t step, std::int64_t reductions = 0);

/// How often reduce_on_plateau has lowered the rate: each time that more than plateau_patience
/// evaluations in a row were no better than (1 - plateau_threshold) times the best, as PyTorch's
/// ReduceLROnPlateau counts (mode min, relative threshold). `losses` are those of all evaluations,
/// made after `steps` steps; those of the warm-up don't count, and those before index
/// `first_comparable` looked at something else: the best is sought anew from there. A function of
/// what checkpoints hold anyway, so that a resumed run has the rates of the uninterrupted one.
/// @local
std::int64_t plateau_reductions(const ScheduleConfig& config, std::span<const std::int64_t> steps,
                                std::span<const double> losses, std::int64_t first_comparable);

}  // namespace evengrad
