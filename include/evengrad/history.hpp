// What a run has done so far, step by step: the curves in a checkpoint's /training.
#pragma once

#include <cstdint>
#include <vector>

namespace evengrad {

struct TrainingHistory {
    std::vector<std::int64_t> step;  ///< 1, 2, ...
    std::vector<double> loss;        ///< nats per token; NaN where no token had a loss
    std::vector<double> grad_norm, clipped_grad_norm, lr;
    std::vector<std::int64_t> loss_tokens;
    std::vector<double> tokens_per_second;
    std::vector<std::int64_t> validation_step;
    std::vector<double> validation_loss;
};

}  // namespace evengrad
