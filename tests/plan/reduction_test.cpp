// The loss reductions: what each weighs a token, on numbers worked out by hand, some of them from
// other trainers' issues.
#include <gtest/gtest.h>

#include "base/narrow.hpp"
#include "plan/documents.hpp"
#include <evengrad/error.hpp>

namespace evengrad::test {
namespace {

/// Sequences that each have some loss tokens, of one loss and one weight, behind a token without.
struct Batch {
    std::vector<std::int64_t> counts;
    std::vector<double> losses;    ///< of each token of the sequence
    std::vector<float> weights{};  ///< of each token of the sequence; empty: 1

    StepPlan plan(const std::string& reduction, std::int64_t micro_batch_size = 1) const {
        std::vector<std::int64_t> sizes;
        for (const std::int64_t count : counts) sizes.push_back(2 + count);
        Documents data = documents(sizes);
        for (std::size_t d = 0; d < counts.size(); ++d) {
            const auto first = at(data.offsets[d]);
            data.weights[first + 1] = 0.0f;
            if (weights.empty()) continue;
            std::fill_n(data.weights.begin() + data.offsets[d] + 2, counts[d], weights[d]);
        }
        PlanConfig config;
        config.micro_batch_size = micro_batch_size;
        const Dataset held = dataset(std::move(data));
        StepPlan plan = Planner(held, config).plan_of([&] {
            std::vector<std::int64_t> ids;  // in the order given, unlike plan(0)
            for (std::int64_t i = 0; i < std::ssize(counts); ++i) ids.push_back(i);
            return ids;
        }());
        apply_reduction(LossReduction::parse(reduction), plan);
        return plan;
    }

    /// What is minimized, as the engine computes it: a weighted sum by a denominator.
    double loss(const std::string& reduction, std::int64_t micro_batch_size = 1) const {
        const StepPlan step = plan(reduction, micro_batch_size);
        double sum = 0.0;
        for (std::int64_t k = 0; k < step.size(); ++k) {
            const MicroBatch batch = step.micro_batch(k);
            std::size_t row = 0;
            double weight = 0.0;
            for (std::size_t s = 0; s < batch.lengths.size(); ++s)
                for (std::int32_t i = 0; i < batch.lengths[s]; ++i, ++row) {
                    sum +=
                        static_cast<double>(batch.weights[row]) * losses[at(batch.sequence_ids[s])];
                    weight += static_cast<double>(batch.weights[row]);
                }
            EXPECT_EQ(weight, step.weight[at(k)]);  // to the bit, as the ledger is verified
        }
        return sum / step.denominator;
    }
};

struct Case {
    const char* source;
    Batch batch;
    double token_mean, mean_of_means;
};

TEST(Reduction, R1_R2_GoldenNumbers) {
    // Loss sums and tokens: (2, 1) + (90, 9), and (1, 1) + (9, 3).
    const Case cases[] = {{"torchtitan 4167", {{1, 9}, {2, 10}}, 9.2, 6.0},
                          {"ms-swift 10076", {{1, 3}, {1, 3}}, 2.5, 2.0}};
    for (const Case& c : cases) {
        SCOPED_TRACE(c.source);
        EXPECT_NEAR(c.batch.loss("token-mean"), c.token_mean, 1e-12);
        for (const char* name : {"sequence-mean", "micro-batch-mean", "rank-mean:2", "rank-mean:9"})
            EXPECT_NEAR(c.batch.loss(name), c.mean_of_means, 1e-6) << name;
        // One rank, or one micro-batch, holds all tokens: nothing is averaged twice.
        EXPECT_NEAR(c.batch.loss("rank-mean:1"), c.token_mean, 1e-6);
        EXPECT_NEAR(c.batch.loss("micro-batch-mean", 2), c.token_mean, 1e-6);
        EXPECT_NEAR(c.batch.loss("sequence-mean", 2), c.mean_of_means, 1e-6);
    }
}

TEST(Reduction, R1_TokensOfSamplesOf11And101WeighTenTimesEachOther) {  // transformers 24725
    const Batch batch{{11, 101}, {1, 1}};
    for (const char* name : {"micro-batch-mean", "sequence-mean", "rank-mean:2"}) {
        const StepPlan plan = batch.plan(name);
        EXPECT_NEAR(static_cast<double>(plan.weights[1]) / static_cast<double>(plan.weights.back()),
                    101.0 / 11.0, 1e-5)
            << name;
    }
    const StepPlan plan = batch.plan("token-mean");
    EXPECT_EQ(plan.weights[1], plan.weights.back());
}

// Sums of 10 over 4 and 20 over 8, or 1.5 over 3 and 3 over 6: familiar examples that prove
// nothing, since both parts have the same mean, and the mean of equal means is that mean.
TEST(Reduction, FamiliarExamplesAgreeUnderBothDenominators) {
    const Batch tens{{4, 8}, {2.5, 2.5}}, halves{{3, 6}, {0.5, 0.5}};
    const Batch even{{5, 5}, {1.0, 3.0}};  // other means, but as many tokens
    for (const Batch& batch : {tens, halves, even})
        EXPECT_NEAR(batch.loss("micro-batch-mean"), batch.loss("token-mean"), 1e-6);
    const Batch telling{{4, 8}, {2.5, 4.0}};  // 10 over 4 and 32 over 8
    EXPECT_NEAR(telling.loss("token-mean"), 3.5, 1e-12);
    EXPECT_NEAR(telling.loss("micro-batch-mean"), 3.25, 1e-6);
}

TEST(Reduction, FormulasWithWeightsOfTheirOwn) {
    // Weighted sums 0.5 * 2 * 1, 2 * 4 * 3, 0.25 * 8 * 5; weights 1, 8, 2.
    const Batch batch{{2, 4, 8}, {1, 3, 5}, {0.5f, 2.0f, 0.25f}};
    const double sum = 1.0 + 24.0 + 10.0;
    EXPECT_NEAR(batch.loss("token-mean"), sum / 11.0, 1e-12);
    EXPECT_NEAR(batch.loss("sequence-mean"), (1.0 + 3.0 + 5.0) / 3.0, 1e-6);
    EXPECT_NEAR(batch.loss("sum"), sum, 1e-12);
    EXPECT_NEAR(batch.loss("constant:7"), sum / (3 * 7.0), 1e-12);
    EXPECT_NEAR(batch.loss("micro-batch-mean", 2), (25.0 / 9.0 + 5.0) / 2.0, 1e-6);
    // Ranks 0, 1, 0.
    EXPECT_NEAR(batch.loss("rank-mean:2"), (11.0 / 3.0 + 3.0) / 2.0, 1e-6);
}

// R8: what has no token with a loss has no mean, and doesn't count among those averaged; only the
// constant of Dr. GRPO is by sequence, whatever is in it.
TEST(Reduction, R8_PartsWithoutLossDoNotCount) {
    const Batch batch{{2, 0, 4}, {1, 9, 3}};
    EXPECT_NEAR(batch.loss("token-mean"), 14.0 / 6.0, 1e-12);
    for (const char* name : {"sequence-mean", "micro-batch-mean", "rank-mean:3"})
        EXPECT_NEAR(batch.loss(name), 2.0, 1e-6) << name;
    EXPECT_NEAR(batch.loss("constant:7"), 14.0 / 21.0, 1e-12);
}

TEST(Reduction, R7_ABatchWithoutLossHasNoDenominatorUnderAny) {
    for (const char* name :
         {"token-mean", "sequence-mean", "sum", "constant:7", "micro-batch-mean", "rank-mean:2"}) {
        StepPlan plan = Batch{{3, 3}, {1, 1}}.plan("token-mean");
        std::fill(plan.weights.begin(), plan.weights.end(), 0.0f);
        std::fill(plan.weight.begin(), plan.weight.end(), 0.0);
        plan.denominator = 0.0;
        apply_reduction(LossReduction::parse(name), plan);
        EXPECT_EQ(plan.denominator, 0.0) << name;
    }
}

// The mistakes depend on how the batch is cut, the others don't.
TEST(Reduction, R1_OnlyTheMistakesDependOnTheCut) {
    const Batch batch{{1, 2, 30, 4, 50, 6}, {6, 5, 4, 3, 2, 1}};
    for (const char* name : {"token-mean", "sequence-mean", "sum", "constant:7"}) {
        EXPECT_FALSE(LossReduction::parse(name).is_mean_of_means());
        for (const std::int64_t size : {2, 3, 6})
            EXPECT_NEAR(batch.loss(name, size) / batch.loss(name, 1), 1.0, 1e-6) << name;
    }
    for (const char* name : {"micro-batch-mean", "rank-mean:2"}) {
        EXPECT_TRUE(LossReduction::parse(name).is_mean_of_means());
        for (const std::int64_t size : {2, 3})
            EXPECT_GT(std::abs(batch.loss(name, size) / batch.loss(name, 1) - 1.0), 0.01) << name;
    }
}

TEST(Reduction, TextIsReadBackAndAnythingElseRefused) {
    for (const char* text : {"token-mean", "sequence-mean", "sum", "constant:0.5", "constant:1024",
                             "micro-batch-mean", "rank-mean:8"})
        EXPECT_EQ(LossReduction::parse(text).text(), text);
    for (const char* text :
         {"", "mean", "token-mean:", "sum:1", "constant", "constant:", "constant:0", "constant:-1",
          "constant:nan", "constant:inf", "constant:1x", "rank-mean", "rank-mean:0",
          "rank-mean:1.5", "rank-mean:99999999999", ":3", "rank-mean:3:4"})
        EXPECT_THROW(LossReduction::parse(text), Error) << text;
    PlanConfig config;
    EXPECT_TRUE(config.validate().empty());
    config.reduction.kind = LossReduction::Kind::constant;  // without a constant
    EXPECT_EQ(config.validate().size(), 1u);
}

}  // namespace
}  // namespace evengrad::test
