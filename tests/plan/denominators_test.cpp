// Denominators where they went wrong elsewhere (R... of the regression list), and how well the work
// is dealt.
#include <algorithm>
#include <numeric>
#include <string>

#include <gtest/gtest.h>

#include "base/narrow.hpp"
#include "plan/documents.hpp"

namespace evengrad::test {
namespace {

// R16: a float counter stops at 2^24, here within a single micro-batch.
TEST(Denominator, R16_CountsBeyondFloatInOneMicroBatch) {
    constexpr std::int64_t count = (std::int64_t{1} << 24) + 1;
    Documents data;
    data.tokens.assign(at(count + 1), 65);
    data.weights.assign(at(count + 1), 1.0f);
    data.weights.front() = 0.0f;
    data.offsets.push_back(count + 1);
    data.lines.push_back(1);
    PlanConfig config;
    config.seq_length = std::int64_t{1} << 23;
    config.micro_batch_size = 3;
    const Dataset one = dataset(std::move(data));
    const StepPlan plan = Planner(one, config).plan(0);
    ASSERT_EQ(plan.size(), 1);
    EXPECT_EQ(plan.loss_tokens[0], count);
    EXPECT_EQ(plan.weight[0], 16777217.0);
    EXPECT_EQ(plan.denominator, 16777217.0);
}

/// A golden number: documents with a sum of losses over some tokens, behind prompts whose tokens
/// have a loss of 1000 each that must not count.
struct Golden {
    std::vector<double> sums;
    std::vector<std::int64_t> counts;

    static constexpr std::int64_t prompt = 3;  ///< predicted tokens without loss

    Dataset data() const {
        std::vector<std::int64_t> sizes;
        std::vector<bool> masked;
        for (const std::int64_t count : counts) {
            sizes.push_back(1 + prompt + count);
            masked.insert(masked.end(), at(1 + prompt), true);
            masked.insert(masked.end(), at(count), false);
        }
        return dataset(documents(sizes, [&](std::int64_t place) { return masked[at(place)]; }));
    }

    /// (sum of weight * loss, sum of weights) of one micro-batch.
    std::pair<double, double> sum_of(const MicroBatch& part, const Planner& planner) const {
        double sum = 0.0, weight = 0.0;
        std::size_t row = 0;
        for (std::size_t s = 0; s < part.lengths.size(); ++s) {
            const auto d = at(planner.sequences()[part.sequence_ids[s]].document);
            for (std::int32_t i = 0; i < part.lengths[s]; ++i, ++row) {
                const double loss = i < prompt ? 1000.0 : sums[d] / static_cast<double>(counts[d]);
                sum += static_cast<double>(part.weights[row]) * loss;
                weight += static_cast<double>(part.weights[row]);
            }
        }
        return {sum, weight};
    }
};

// R1, R3: every cut gives the token mean. The mean of the micro-batches' means is another number,
// so a denominator that was one per micro-batch, or counted micro-batches, would show.
TEST(Denominator, R1_R3_GoldenNumbersUnderEveryCut) {
    struct Case {
        Golden golden;
        double token_mean, mean_of_means;
    };
    const Case cases[] = {{{{2, 90}, {1, 9}}, 9.2, 6.0},  // torchtitan 4167
                          {{{1, 9}, {1, 3}}, 2.5, 2.0}};  // ms-swift 10076
    for (const Case& c : cases) {
        const Dataset data = c.golden.data();
        for (const std::int64_t budget : {0, 1, 1000})
            for (const std::int64_t size : {1, 2, 4}) {
                PlanConfig config;
                config.micro_batch_size = size;
                config.micro_batch_tokens = budget;
                const Planner planner(data, config);
                for (const StepPlan& plan :
                     {planner.plan(0), planner.plan(1), planner.plan_of({0, 1})}) {
                    double sum = 0.0, means = 0.0;
                    for (std::int64_t k = 0; k < plan.size(); ++k) {
                        const auto [part, weight] = c.golden.sum_of(plan.micro_batch(k), planner);
                        EXPECT_EQ(weight, plan.weight[at(k)]);
                        sum += part;
                        means += part / weight;
                    }
                    EXPECT_DOUBLE_EQ(sum / plan.denominator, c.token_mean);
                    if (plan.size() == 2) {
                        EXPECT_DOUBLE_EQ(means / 2.0, c.mean_of_means);
                    }
                }
            }
    }
}

TEST(Denominator, R1_TokensOfSamplesOf11And101WeighTheSame) {  // transformers 24725
    PlanConfig config;
    config.micro_batch_size = 1;
    const Dataset data = Golden{{1, 1}, {11, 101}}.data();
    const StepPlan plan = Planner(data, config).plan(0);
    ASSERT_EQ(plan.size(), 2);
    EXPECT_EQ(plan.denominator, 112.0);
    EXPECT_EQ(std::count(plan.weights.begin(), plan.weights.end(), 1.0f), 112);
    EXPECT_EQ(std::count(plan.weights.begin(), plan.weights.end(), 0.0f), 2 * Golden::prompt);
}

// R6: boundaries inside a pack; the shortest sequences show a shifted label.
TEST(Pack, R6_OfLengthsOneAndTwoPredictsTheNextToken) {
    const Dataset data = dataset(documents({2, 3, 4, 5}));
    PlanConfig config;
    config.seq_length = 2;
    config.micro_batch_tokens = 100;
    const StepPlan plan = Planner(data, config).plan_of({0, 1, 2, 3, 4, 5});
    ASSERT_EQ(plan.size(), 1);
    // Longest first, in order; tokens are numbered through, so a target is its input plus one.
    EXPECT_EQ(plan.lengths, (std::vector<std::int32_t>{2, 2, 2, 2, 1, 1}));
    EXPECT_EQ(plan.tokens, (std::vector<std::int32_t>{2, 3, 5, 6, 9, 10, 11, 12, 0, 7}));
    EXPECT_EQ(plan.targets, (std::vector<std::int32_t>{3, 4, 6, 7, 10, 11, 12, 13, 1, 8}));
    EXPECT_EQ(plan.denominator, 10.0);
}

TEST(Pack, FirstFitLeavesNoTwoThatWouldFitIntoOne) {
    const Dataset data = dataset(uneven_documents(80, 40));
    for (const std::int64_t budget : {2, 10, 20, 39, 100}) {
        PlanConfig config;
        config.global_batch_size = 80;
        config.micro_batch_tokens = budget;
        const StepPlan plan = Planner(data, config).plan(0);
        std::vector<std::int64_t> sizes;
        for (std::int64_t k = 0; k < plan.size(); ++k)
            sizes.push_back(plan.token_begin[at(k + 1)] - plan.token_begin[at(k)]);
        ASSERT_GT(sizes.size(), 1u);
        std::sort(sizes.begin(), sizes.end());
        EXPECT_GT(sizes[0] + sizes[1], budget);
    }
}

// The last piece a node got would have ended no sooner on any other node. Added up over the nodes:
// end * all ranks <= total + (nodes - 1) * that piece.
TEST(DealToNodes, NoNodeEndsLaterThanGrahamsBound) {
    const Philox philox(3, RandomPurpose::test);
    for (const std::vector<double>& ranks :
         {std::vector<double>{4}, {1, 1}, {16, 1}, {1, 2, 5}, {8, 8, 8, 2}})
        for (std::uint32_t count = 1; count < 60; ++count) {
            std::vector<double> costs;
            for (std::uint32_t i = 0; i < count; ++i)
                costs.push_back(static_cast<double>(1 + philox(i, count)[0] % 100));
            const double total = std::accumulate(costs.begin(), costs.end(), 0.0);
            const double all_ranks = std::accumulate(ranks.begin(), ranks.end(), 0.0);
            const auto dealt = deal_to_nodes(costs, ranks);
            for (std::size_t n = 0; n < ranks.size(); ++n) {
                if (dealt[n].empty()) continue;
                double load = 0.0;
                for (const std::int64_t k : dealt[n]) load += costs[at(k)];
                const double last = costs[at(dealt[n].back())];
                EXPECT_LE(load / ranks[n] * all_ranks,
                          total + static_cast<double>(ranks.size() - 1) * last + 1e-9);
            }
        }
}

}  // namespace
}  // namespace evengrad::test
