// Which evaluation is the best, and when it is time to stop: functions of the history alone.
#include <cmath>

#include <gtest/gtest.h>

#include <evengrad/history.hpp>

namespace evengrad {
namespace {

using Losses = std::vector<double>;

/// Evaluations at the steps 10, 20, 30, ...
TrainingHistory evaluated(const Losses& losses, std::int64_t first = 0) {
    TrainingHistory history;
    for (const double loss : losses) {
        history.validation_step.push_back(10 * (std::ssize(history.validation_step) + 1));
        history.validation_loss.push_back(loss);
    }
    history.validation_first = first;
    return history;
}

/// The evaluation (1 for the first) after which a run with these losses ends; 0: none.
std::int64_t stops_after(const Losses& losses, std::int64_t patience, double min_delta = 0.0) {
    for (std::size_t n = 1; n <= losses.size(); ++n)
        if (stops_early(
                evaluated({losses.begin(), losses.begin() + static_cast<std::ptrdiff_t>(n)}),
                patience, min_delta))
            return static_cast<std::int64_t>(n);
    return 0;
}

TEST(BestEvaluation, IsTheLowestAndOfEqualOnesTheFirst) {
    const BestEvaluation best = best_evaluation(evaluated({5, 3, 4, 3, 3.5}));
    EXPECT_EQ(best.step, 20);
    EXPECT_EQ(best.loss, 3.0);
    EXPECT_EQ(best.since, 3);
    EXPECT_EQ(best_evaluation({}).step, 0);
    EXPECT_EQ(best_evaluation({}).since, 0);
}

TEST(BestEvaluation, AnUndefinedOneNeverIs) {
    const double none = std::nan("");
    EXPECT_EQ(best_evaluation(evaluated({none, none})).step, 0);
    EXPECT_EQ(best_evaluation(evaluated({none, none})).since, 2);
    EXPECT_EQ(best_evaluation(evaluated({none, 4, none})).step, 20);
    EXPECT_EQ(best_evaluation(evaluated({none, 4, none})).since, 1);
}

TEST(BestEvaluation, OfOtherSequencesDoesNotCount) {
    const BestEvaluation best = best_evaluation(evaluated({1, 2, 9, 8, 8.5}, 2));
    EXPECT_EQ(best.step, 40);
    EXPECT_EQ(best.since, 1);
    EXPECT_FALSE(stops_early(evaluated({1, 2, 9, 8, 8.5}, 2), 2, 0.0));
    EXPECT_TRUE(stops_early(evaluated({1, 2, 9, 8, 8.5}), 2, 0.0));
}

TEST(EarlyStopping, AfterSoManyEvaluationsInARowWithoutImprovement) {
    const Losses losses{5, 4, 4.5, 3, 3.2, 3.1, 3, 2.5, 2.6, 2.7};
    EXPECT_EQ(stops_after(losses, 0), 0) << "0: never";
    EXPECT_EQ(stops_after(losses, 1), 3);
    EXPECT_EQ(stops_after(losses, 2), 6);
    EXPECT_EQ(stops_after(losses, 3), 7) << "an equal loss is no improvement";
    EXPECT_EQ(stops_after(losses, 4), 0);
    EXPECT_EQ(stops_after({1, 2}, 1), 2);
    EXPECT_EQ(stops_after({1}, 1), 0) << "the first is one";
}

TEST(EarlyStopping, ASmallerImprovementThanAskedForIsNone) {
    // By 0.5 each: the third is 1 below the first, which is not more than 1.
    const Losses losses{5, 4.5, 4, 3.5, 3};
    EXPECT_EQ(stops_after(losses, 2, 0.25), 0);
    EXPECT_EQ(stops_after(losses, 1, 0.5), 2);
    EXPECT_EQ(stops_after(losses, 2, 1.0), 3);
    EXPECT_EQ(stops_after(losses, 3, 1.0), 0) << "the fourth is 1.5 below";
    EXPECT_EQ(best_evaluation(evaluated(losses)).step, 50) << "the best is the lowest even so";
}

TEST(BestSaved, IsTheBestOfThoseThatAreThere) {
    const std::vector<std::int64_t> all{10, 20, 30, 40}, some{10, 15, 30}, other{15, 25};
    const TrainingHistory history = evaluated({5, 3, 4, 3});
    EXPECT_EQ(best_saved_step(history, all), 20);
    EXPECT_EQ(best_saved_step(history, some), 30);
    EXPECT_EQ(best_saved_step(history, other), std::nullopt);
    EXPECT_EQ(best_saved_step(history, {}), std::nullopt);
    EXPECT_EQ(best_saved_step(evaluated({1, 5, 4, std::nan("")}, 1), all), 30);
}

}  // namespace
}  // namespace evengrad
