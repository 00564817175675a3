// What a run remembers of each step.
#include <limits>

#include "train/state.hpp"

namespace evengrad {

void append(TrainingHistory& history, const StepRecord& record) {
    history.step.push_back(record.step);
    history.loss.push_back(record.loss.value_or(std::numeric_limits<double>::quiet_NaN()));
    history.grad_norm.push_back(record.grad_norm);
    history.clipped_grad_norm.push_back(record.clipped_grad_norm);
    history.lr.push_back(record.lr);
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    history.gradient_signal.push_back(record.gradient_signal.value_or(none));
    history.gradient_noise.push_back(record.gradient_noise.value_or(none));
    history.noise_scale.push_back(record.noise_scale.value_or(none));
    history.noise_scale_error.push_back(record.noise_scale_error.value_or(none));
    history.skipped.push_back(record.skipped);
    history.loss_tokens.push_back(record.loss_tokens);
    history.tokens_per_second.push_back(static_cast<double>(record.tokens) / record.seconds);
    if (record.statistics) history.statistics.add(record.step, *record.statistics);
}

}  // namespace evengrad
