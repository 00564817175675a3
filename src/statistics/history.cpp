#include <algorithm>

#include <evengrad/history.hpp>

namespace evengrad {

BestEvaluation best_evaluation(const TrainingHistory& history, double min_delta) {
    BestEvaluation best;
    for (auto i = static_cast<std::size_t>(history.validation_first);
         i < history.validation_step.size(); ++i) {
        // Not a number is not less than any.
        if (history.validation_loss[i] < best.loss - min_delta)
            best = {history.validation_step[i], history.validation_loss[i], 0};
        else
            ++best.since;
    }
    return best;
}

bool stops_early(const TrainingHistory& history, std::int64_t patience, double min_delta) {
    return patience > 0 && best_evaluation(history, min_delta).since >= patience;
}

std::optional<std::int64_t> best_saved_step(const TrainingHistory& history,
                                            std::span<const std::int64_t> saved) {
    std::optional<std::int64_t> best;
    double loss = std::numeric_limits<double>::infinity();
    for (auto i = static_cast<std::size_t>(history.validation_first);
         i < history.validation_step.size(); ++i) {
        if (!(history.validation_loss[i] < loss) ||
            !std::binary_search(saved.begin(), saved.end(), history.validation_step[i]))
            continue;
        loss = history.validation_loss[i];
        best = history.validation_step[i];
    }
    return best;
}

}  // namespace evengrad
