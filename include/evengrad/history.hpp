// What a run has done so far, step by step: the curves in a checkpoint's /training.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <evengrad/statistics.hpp>

namespace evengrad {

struct TrainingHistory {
    std::vector<std::int64_t> step;  ///< 1, 2, ...
    std::vector<double> loss;        ///< nats per token; NaN where no token had a loss
    std::vector<double> grad_norm, clipped_grad_norm, lr;
    /// Estimates of the squared norm of the true gradient, and of the summed variance of a token's;
    /// and what those of the last steps give: the gradient noise scale, tokens. NaN: none.
    std::vector<double> gradient_signal, gradient_noise, noise_scale, noise_scale_error;
    std::vector<std::int64_t> skipped;  ///< 1 where the update was left out for its spike, else 0
    std::vector<std::int64_t> loss_tokens;
    std::vector<double> tokens_per_second;
    std::vector<std::int64_t> validation_step;
    std::vector<double> validation_loss;  ///< NaN where no token had a loss
    /// What the last evaluations looked at: those before `validation_first` (an index) looked at
    /// something else, so their losses can't be compared.
    std::string validation_set;
    std::int64_t validation_first = 0;
    StatisticsHistory statistics;  ///< of tensors
};

/// The evaluation with the lowest loss, of those that can be compared.
struct BestEvaluation {
    std::int64_t step = 0;  ///< 0: there is none
    double loss = std::numeric_limits<double>::infinity();
    std::int64_t since = 0;  ///< evaluations after it; without a best one: all
};

/// An evaluation is better than the best before it when its loss is lower by more than `min_delta`;
/// an undefined one never is. @local
BestEvaluation best_evaluation(const TrainingHistory& history, double min_delta = 0.0);

/// Whether `patience` evaluations in a row brought no improvement by more than `min_delta`, as
/// Keras's EarlyStopping counts; 0: never. A function of the history alone, so that a resumed run
/// stops where the uninterrupted one does. @local
bool stops_early(const TrainingHistory& history, std::int64_t patience, double min_delta);

/// The best evaluation at one of the steps `saved` (ascending). @local
std::optional<std::int64_t> best_saved_step(const TrainingHistory& history,
                                            std::span<const std::int64_t> saved);

}  // namespace evengrad
