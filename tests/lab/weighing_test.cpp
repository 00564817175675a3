// What reductions and rounded counts make of token weights, by hand.
#include "lab/weighing.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "plan/documents.hpp"

namespace evengrad {
namespace {

using namespace test;

/// Sequences of so many loss tokens each, one a micro-batch, under token mean.
class Batch {
  public:
    explicit Batch(const std::vector<std::int64_t>& loss_tokens) {
        std::vector<std::int64_t> sizes, ids, masked;
        std::int64_t place = 0;
        for (const std::int64_t tokens : loss_tokens) {
            ids.push_back(std::ssize(ids));
            sizes.push_back(std::max<std::int64_t>(tokens, 1) + 1);
            place += sizes.back();
            if (tokens == 0) masked.push_back(place - 1);
        }
        const Dataset data = dataset(documents(sizes, [&](std::int64_t at) {
            return std::find(masked.begin(), masked.end(), at) != masked.end();
        }));
        PlanConfig config;
        config.seq_length = 1 << 20;
        config.micro_batch_size = 1;
        plan = Planner(data, config).plan_of(ids);
    }

    /// The loss under a weighing, from the sequences' sums.
    static double loss(const Weighing& weighing, const std::vector<double>& sums) {
        double loss = 0.0;
        for (std::size_t s = 0; s < sums.size(); ++s) loss += weighing.factors[s] * sums[s];
        return loss;
    }
    double loss(const std::string& reduction, const std::vector<double>& sums) const {
        return loss(weighing_of(LossReduction::parse(reduction), plan), sums);
    }

    StepPlan plan;
};

TEST(Weighing, R1GoldenNumbersOfMeanOfMeans) {
    const Batch torchtitan({1, 9});
    EXPECT_NEAR(torchtitan.loss("token-mean", {2, 90}), 9.2, 1e-12);
    EXPECT_NEAR(torchtitan.loss("micro-batch-mean", {2, 90}), 6.0, 1e-6);
    const Batch swift({1, 3});
    EXPECT_NEAR(swift.loss("token-mean", {1, 9}), 2.5, 1e-12);
    EXPECT_NEAR(swift.loss("micro-batch-mean", {1, 9}), 2.0, 1e-6);
}

TEST(Weighing, R1SamplesOf11And101TokensWeighNineFold) {
    const Batch batch({11, 101});
    EXPECT_NEAR(weighing_of(LossReduction::parse("micro-batch-mean"), batch.plan).largest_ratio(),
                101.0 / 11.0, 1e-5);
    EXPECT_EQ(weighing_of(LossReduction(), batch.plan).largest_ratio(), 1.0);
}

TEST(Weighing, FamiliarExamplesProveNothing) {
    // 10 over 4 and 20 over 8: equal means. 1.5 and 3 over 3 and 3: equal counts.
    for (const auto& [tokens, sums] :
         {std::pair{std::vector<std::int64_t>{4, 8}, std::vector<double>{10, 20}},
          {std::vector<std::int64_t>{3, 3}, std::vector<double>{1.5, 3}}}) {
        const Batch batch(tokens);
        EXPECT_NEAR(batch.loss("token-mean", sums), batch.loss("micro-batch-mean", sums), 1e-6);
    }
    // With 1.5 of 3 tokens and 3 of 6 the means are equal again; with 3 of 3 they aren't.
    EXPECT_NEAR(Batch({3, 6}).loss("micro-batch-mean", {1.5, 3}), 0.5, 1e-6);
    EXPECT_NEAR(Batch({3, 6}).loss("token-mean", {3, 3}), 6.0 / 9.0, 1e-12);
    EXPECT_NEAR(Batch({3, 6}).loss("micro-batch-mean", {3, 3}), 0.75, 1e-6);
}

TEST(Weighing, FactorsOfEveryReduction) {
    // Two micro-batches of two sequences; one sequence has no loss.
    Batch batch({2, 0, 4, 8});
    const StepPlan plan = recut(batch.plan, 2);
    const auto expect = [&](const char* reduction, const std::vector<double>& factors) {
        const Weighing weighing = weighing_of(LossReduction::parse(reduction), plan);
        EXPECT_EQ(weighing.name, reduction);
        ASSERT_EQ(weighing.factors.size(), factors.size());
        for (std::size_t s = 0; s < factors.size(); ++s)
            EXPECT_NEAR(weighing.factors[s], factors[s], 1e-7) << reduction << ", " << s;
    };
    expect("token-mean", {1 / 14.0, 0, 1 / 14.0, 1 / 14.0});
    expect("sequence-mean", {1 / 6.0, 0, 1 / 12.0, 1 / 24.0});
    expect("sum", {1, 0, 1, 1});
    expect("constant:8", {1 / 32.0, 0, 1 / 32.0, 1 / 32.0});
    expect("micro-batch-mean", {1 / 4.0, 0, 1 / 24.0, 1 / 24.0});
    expect("rank-mean:2", {1 / 4.0, 0, 1 / 24.0, 1 / 24.0});
    expect("rank-mean:1", {1 / 14.0, 0, 1 / 14.0, 1 / 14.0});
    EXPECT_NEAR(weighing_of(LossReduction::parse("sequence-mean"), plan).largest_ratio(), 4.0,
                1e-6);
}

TEST(Weighing, FactorsFollowSequencesIntoPackedMicroBatches) {
    const Dataset data = dataset(documents({3, 9, 5, 2}));
    PlanConfig config;
    config.seq_length = 100;
    config.micro_batch_tokens = 8;
    const StepPlan plan = Planner(data, config).plan_of({0, 1, 2, 3});
    ASSERT_EQ(plan.size(), 2);  // 8 tokens; 4 + 2 + 1
    const Weighing weighing = weighing_of(LossReduction::parse("micro-batch-mean"), plan);
    const std::vector<double> expected{1 / 14.0, 1 / 16.0, 1 / 14.0, 1 / 14.0};
    for (std::size_t s = 0; s < 4; ++s) EXPECT_NEAR(weighing.factors[s], expected[s], 1e-8) << s;
}

TEST(Counts, R16RoundToNearestEven) {
    EXPECT_EQ(rounded(257, 8), 256);
    EXPECT_EQ(rounded(259, 8), 260);
    EXPECT_EQ(rounded(257.5, 8), 258);
    EXPECT_EQ(rounded(255, 8), 255);
    EXPECT_EQ(rounded(-259, 8), -260);
    EXPECT_EQ(rounded(0, 8), 0);
    EXPECT_EQ(rounded(16777217.0, 24), 16777216.0);
    for (const double value : {1.0 / 3.0, 1e-30, 12345678.9, 2.5e20})
        EXPECT_EQ(rounded(value, 24), static_cast<double>(static_cast<float>(value)));
}

TEST(Counts, R16Bf16SticksAt256AndFloat32At16777216) {
    EXPECT_EQ(running_count(std::vector<double>(256, 1.0), 8), 256.0);
    EXPECT_EQ(running_count(std::vector<double>(5000, 1.0), 8), 256.0);
    EXPECT_EQ(running_count(std::vector<double>(5000, 1.0), 24), 5000.0);
    EXPECT_EQ(running_count(std::vector<double>{16777216.0, 1.0, 1.0, 1.0}, 24), 16777216.0);
    float real = 16777215.0f;
    for (int i = 0; i < 3; ++i) real += 1.0f;
    EXPECT_EQ(running_count(std::vector<double>{16777215.0, 1.0, 1.0, 1.0}, 24),
              static_cast<double>(real));
    // 100 + 100 + 99 in bf16: 200 + 99 = 299 -> 300.
    EXPECT_EQ(running_count(std::vector<double>{100, 100, 99}, 8), 300.0);
}

TEST(Counts, R16AreTheTokenMeanTimesANumber) {
    const Batch batch({100, 100, 99, 0});
    const Weighing by_micro_batch = weighing_of(count_formats[1], batch.plan);
    const Weighing by_token = weighing_of(count_formats[2], batch.plan);
    EXPECT_EQ(by_micro_batch.name, "count-bf16");
    EXPECT_EQ(by_micro_batch.factors, (std::vector<double>{1 / 300.0, 1 / 300.0, 1 / 300.0, 0}));
    EXPECT_EQ(by_token.factors, (std::vector<double>{1 / 256.0, 1 / 256.0, 1 / 256.0, 0}));
    EXPECT_EQ(weighing_of(count_formats[0], batch.plan).factors,
              weighing_of(LossReduction(), batch.plan).factors);
}

TEST(Plans, RecutKeepsSequencesAndCountsAnew) {
    const Batch batch({3, 0, 5, 1, 2});
    const StepPlan pairs = recut(batch.plan, 2);
    EXPECT_EQ(pairs.loss_tokens, (std::vector<std::int64_t>{3, 6, 2}));
    EXPECT_EQ(pairs.weight, (std::vector<double>{3, 6, 2}));
    EXPECT_EQ(pairs.denominator, batch.plan.denominator);
    EXPECT_EQ(pairs.tokens, batch.plan.tokens);
    EXPECT_EQ(pairs.micro_batch(1).keys[1], 3);
    const StepPlan back = recut(pairs, 1);
    EXPECT_EQ(back.token_begin, batch.plan.token_begin);
    EXPECT_EQ(back.sequence_begin, batch.plan.sequence_begin);
    EXPECT_EQ(back.loss_tokens, batch.plan.loss_tokens);
    EXPECT_EQ(recut(batch.plan, 100).size(), 1);
}

TEST(Plans, CompletionsEndBehindTheTokenAsked) {
    // The first three positions are a prompt.
    const Dataset data =
        dataset(documents({9, 4, 30}, [](std::int64_t place) { return place < 4; }));
    PlanConfig config;
    config.seq_length = 100;
    config.micro_batch_size = 3;
    const StepPlan whole = Planner(data, config).plan_of({0, 1, 2});
    const StepPlan cut = cut_completions(whole, 4);
    EXPECT_EQ(cut.size(), 3);
    EXPECT_EQ(cut.lengths, (std::vector<std::int32_t>{7, 3, 4}));
    EXPECT_EQ(cut.loss_tokens, (std::vector<std::int64_t>{4, 3, 4}));
    EXPECT_EQ(cut.denominator, 11.0);
    EXPECT_EQ(cut.keys, whole.keys);
    // Token i is i: what is left is the beginning of each, targets one on.
    EXPECT_EQ(cut.tokens,
              (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 13, 14, 15, 16}));
    for (std::size_t i = 0; i < cut.tokens.size(); ++i)
        EXPECT_EQ(cut.targets[i], cut.tokens[i] + 1);
    const StepPlan same = cut_completions(whole, 1000);
    EXPECT_EQ(same.tokens, whole.tokens);
    EXPECT_EQ(same.loss_tokens, (std::vector<std::int64_t>{5, 3, 29}));
}

TEST(Unevenness, IsThatOfThoseWithLoss) {
    const Unevenness some = Unevenness::of({4, 0, 2, 6, 0});
    EXPECT_EQ(some.shortest, 2);
    EXPECT_EQ(some.longest, 6);
    EXPECT_EQ(some.median, 4.0);
    EXPECT_NEAR(some.variation, std::sqrt(8.0 / 3.0) / 4.0, 1e-12);
    EXPECT_EQ(Unevenness::of({7, 7}).variation, 0.0);
    EXPECT_EQ(Unevenness::of({1, 2}).median, 1.5);
    EXPECT_EQ(Unevenness::of({0}).longest, 0);
}

}  // namespace
}  // namespace evengrad
