// From data to steps: each sequence once an epoch, in micro-batches, with the right denominator.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "plan/documents.hpp"
#include <evengrad/error.hpp>

namespace evengrad::test {
namespace {

PlanConfig config(std::int64_t global, std::int64_t micro, std::int64_t tokens = 0) {
    PlanConfig c;
    c.seq_length = 16;
    c.global_batch_size = global;
    c.micro_batch_size = micro;
    c.micro_batch_tokens = tokens;
    c.seed = 99;
    return c;
}

/// Everything a plan says about itself must follow from its sequences.
void expect_consistent(const StepPlan& plan, const Documents& documents, const Planner& planner) {
    const auto count = static_cast<std::size_t>(plan.size());
    ASSERT_EQ(plan.sequence_begin.size(), count + 1);
    ASSERT_EQ(plan.token_begin.size(), count + 1);
    ASSERT_EQ(plan.weight.size(), count);
    ASSERT_EQ(plan.tokens.size(), plan.targets.size());
    ASSERT_EQ(plan.tokens.size(), plan.weights.size());
    ASSERT_EQ(plan.token_begin.back(), static_cast<std::int64_t>(plan.tokens.size()));
    ASSERT_EQ(plan.sequence_begin.back(), static_cast<std::int64_t>(plan.lengths.size()));
    std::int64_t total = 0;
    std::vector<std::int32_t> keys;
    for (std::int64_t k = 0; k < plan.size(); ++k) {
        const MicroBatch batch = plan.micro_batch(k);
        ASSERT_FALSE(batch.lengths.empty());
        std::size_t row = 0;
        std::int64_t with_loss = 0;
        for (std::size_t s = 0; s < batch.lengths.size(); ++s) {
            const Sequence sequence = planner.sequences()[batch.sequence_ids[s]];
            ASSERT_EQ(batch.lengths[s], sequence.length);
            keys.push_back(batch.keys[s]);
            for (std::int32_t i = 0; i < sequence.length; ++i, ++row) {
                const auto from = static_cast<std::size_t>(sequence.begin + i);
                ASSERT_EQ(batch.tokens[row], documents.tokens[from]);
                ASSERT_EQ(batch.targets[row], documents.tokens[from + 1]);
                ASSERT_EQ(batch.weights[row], documents.weights[from + 1]);
                with_loss += documents.weights[from + 1] > 0.0f;
            }
        }
        ASSERT_EQ(row, batch.tokens.size());
        EXPECT_EQ(plan.loss_tokens[static_cast<std::size_t>(k)], with_loss);
        EXPECT_EQ(plan.weight[static_cast<std::size_t>(k)], static_cast<double>(with_loss));
        total += with_loss;
    }
    EXPECT_EQ(plan.total_loss_tokens(), total);
    EXPECT_EQ(plan.denominator, static_cast<double>(total));
    // Places in the global batch: each once.
    std::sort(keys.begin(), keys.end());
    for (std::size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(keys[i], static_cast<std::int32_t>(i));
}

// R4: the epoch's last batch is short and has its own denominator. R10: nothing is dropped or
// counted twice.
TEST(Planner, R4_R10_EachEpochUsesEachSequenceOnce) {
    const Documents documents = uneven_documents(50, 60);
    const Dataset data = dataset(documents);
    for (const SequenceMode mode : {SequenceMode::documents, SequenceMode::stream})
        for (PlanConfig c : {config(8, 3), config(7, 1), config(1000, 4), config(1, 1),
                             config(8, 1, 20), config(13, 1, 5)}) {
            c.sequences = mode;
            const Planner planner(data, c);
            const auto count = planner.sequences().size();
            const std::int64_t batch = c.global_batch_size;
            ASSERT_EQ(planner.steps_per_epoch(), (count + batch - 1) / batch);
            for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
                std::vector<int> used(static_cast<std::size_t>(count), 0);
                std::int64_t total = 0;
                for (std::int64_t i = 0; i < planner.steps_per_epoch(); ++i) {
                    const std::int64_t step = epoch * planner.steps_per_epoch() + i;
                    const StepPlan plan = planner.plan(step);
                    expect_consistent(plan, documents, planner);
                    EXPECT_EQ(plan.step, step);
                    EXPECT_EQ(plan.epoch, epoch);
                    const bool last = i + 1 == planner.steps_per_epoch();
                    EXPECT_EQ(static_cast<std::int64_t>(plan.sequence_ids.size()),
                              last ? count - i * batch : batch);
                    for (const std::int64_t id : plan.sequence_ids)
                        ++used[static_cast<std::size_t>(id)];
                    total += plan.total_loss_tokens();
                }
                EXPECT_EQ(std::count(used.begin(), used.end(), 1), count);
                EXPECT_EQ(total, loss_tokens(documents));
            }
        }
}

TEST(Planner, EpochsAreShuffledDifferently) {
    const Dataset data = dataset(uneven_documents(50, 20));
    const Planner planner(data, config(1000, 4));
    EXPECT_NE(planner.plan(0).sequence_ids, planner.plan(1).sequence_ids);
    PlanConfig other = config(1000, 4);
    other.seed = 100;
    EXPECT_NE(planner.plan(0).sequence_ids, Planner(data, other).plan(0).sequence_ids);
}

// R1, R21: a plan follows from seed and step, not from what was planned before; and how it is cut
// into micro-batches changes neither what a step trains on nor its denominator.
TEST(Planner, R1_R21_PlansDependOnSeedAndStepOnly) {
    const Dataset data = dataset(uneven_documents(50, 60));
    const Planner used(data, config(8, 3));
    for (std::int64_t step = 0; step < 30; ++step) used.plan(step);
    const Planner fresh(data, config(8, 3));
    for (const std::int64_t step : {17, 3, 29}) {
        const StepPlan a = used.plan(step), b = fresh.plan(step);
        EXPECT_EQ(a.sequence_ids, b.sequence_ids);
        EXPECT_EQ(a.keys, b.keys);
        EXPECT_EQ(a.token_begin, b.token_begin);
        EXPECT_EQ(a.tokens, b.tokens);
        // (place in the global batch, sequence) of other cuts.
        const auto content = [](const StepPlan& plan) {
            std::map<std::int32_t, std::int64_t> places;
            for (std::size_t s = 0; s < plan.keys.size(); ++s)
                places[plan.keys[s]] = plan.sequence_ids[s];
            return places;
        };
        for (const PlanConfig& c : {config(8, 1), config(8, 8), config(8, 100), config(8, 1, 24)}) {
            const StepPlan other = Planner(data, c).plan(step);
            EXPECT_EQ(content(other), content(a));
            EXPECT_EQ(other.denominator, a.denominator);
        }
    }
}

TEST(Planner, MicroBatchSizeCountsSequences) {
    const Dataset data = dataset(uneven_documents(50, 30));
    const StepPlan plan = Planner(data, config(10, 4)).plan(0);
    EXPECT_EQ(plan.sequence_begin, (std::vector<std::int64_t>{0, 4, 8, 10}));
}

TEST(Planner, MicroBatchTokensAreNeverExceededButByOneSequence) {
    const Dataset data = dataset(uneven_documents(80, 40));
    for (const std::int64_t budget : {1, 5, 16, 17, 31, 64, 100000}) {
        const Planner planner(data, config(40, 1, budget));
        for (std::int64_t step = 0; step < planner.steps_per_epoch(); ++step) {
            const StepPlan plan = planner.plan(step);
            std::int64_t tokens = 0;
            for (std::int64_t k = 0; k < plan.size(); ++k) {
                const MicroBatch batch = plan.micro_batch(k);
                const auto size = static_cast<std::int64_t>(batch.tokens.size());
                EXPECT_TRUE(size <= budget || batch.lengths.size() == 1) << size << " " << budget;
                tokens += size;
            }
            // First-fit: no two micro-batches could have been one, so more than half is used.
            EXPECT_TRUE(plan.size() == 1 || 2 * tokens > plan.size() * budget) << budget;
        }
    }
}

TEST(Planner, EvaluationTakesAllInOrder) {
    const Documents documents = uneven_documents(50, 30);
    const Dataset data = dataset(documents);
    const Planner planner(data, config(8, 4));
    std::vector<std::int64_t> all(static_cast<std::size_t>(planner.sequences().size()));
    std::iota(all.begin(), all.end(), 0);
    const StepPlan plan = planner.plan_of(all);
    expect_consistent(plan, documents, planner);
    EXPECT_EQ(plan.sequence_ids, all);
    EXPECT_EQ(plan.total_loss_tokens(), loss_tokens(documents));
}

// R7: a step may be without loss (defined, denominator 0); data may not.
TEST(Planner, R7_RefusesDataWithoutLoss) {
    const Dataset masked = dataset(documents({5, 6}, [](std::int64_t) { return true; }));
    EXPECT_THROW(Planner(masked, config(8, 4)), Error);
    const Dataset half = dataset(documents({5, 6}, [](std::int64_t place) { return place < 5; }));
    const Planner planner(half, config(1, 1));
    EXPECT_EQ(planner.plan(0).denominator + planner.plan(1).denominator, 5.0);
    EXPECT_EQ(std::min(planner.plan(0).denominator, planner.plan(1).denominator), 0.0);
}

// REGRESSIONS.md, golden numbers: (loss sum, tokens) of two micro-batches under the weights and the
// denominator that a plan of this shape has.
TEST(Planner, R1_GoldenNumbersHaveTheTokenMean) {
    const auto token_mean = [](std::vector<std::pair<double, std::int64_t>> parts) {
        std::vector<std::int64_t> sizes;
        for (const auto& part : parts) sizes.push_back(part.second + 1);
        const Dataset data = dataset(documents(sizes));
        PlanConfig c = config(static_cast<std::int64_t>(parts.size()), 1);
        c.seq_length = 200;
        const StepPlan plan = Planner(data, c).plan(0);
        double sum = 0.0;
        for (std::int64_t k = 0; k < plan.size(); ++k) {
            const MicroBatch batch = plan.micro_batch(k);
            const auto& [loss, tokens] = parts[static_cast<std::size_t>(batch.sequence_ids[0])];
            for (const float weight : batch.weights)
                sum += static_cast<double>(weight) * loss / static_cast<double>(tokens);
        }
        return sum / plan.denominator;
    };
    EXPECT_NEAR(token_mean({{2, 1}, {90, 9}}), 9.2, 1e-12);              // torchtitan 4167; not 6.0
    EXPECT_NEAR(token_mean({{1, 1}, {9, 3}}), 2.5, 1e-12);               // ms-swift 10076; not 2.0
    EXPECT_NEAR(token_mean({{11, 11}, {0, 101}}), 11.0 / 112.0, 1e-12);  // transformers 24725
}

// R16: counts that a float would round.
TEST(StepPlan, R16_CountsTokensExactlyAbove2To24) {
    constexpr std::int64_t many = (std::int64_t{1} << 24) + 1;
    StepPlan plan;
    plan.loss_tokens = {many, 1, many};
    EXPECT_EQ(plan.total_loss_tokens(), 2 * many + 1);
    plan.loss_tokens = {std::int64_t{1} << 40, 1};
    EXPECT_EQ(plan.total_loss_tokens(), (std::int64_t{1} << 40) + 1);
    // And through the planner, from one long document.
    Documents data;
    data.tokens.assign(many + 1, 7);
    data.weights.assign(many + 1, 1.0f);
    data.weights.front() = 0.0f;
    data.offsets.push_back(many + 1);
    data.lines.push_back(1);
    PlanConfig c;
    c.seq_length = 1 << 20;
    c.global_batch_size = 100;
    const Dataset one = dataset(std::move(data));
    const StepPlan all = Planner(one, c).plan(0);
    EXPECT_EQ(all.total_loss_tokens(), many);
    EXPECT_EQ(all.denominator, 16777217.0);
    EXPECT_EQ(std::accumulate(all.weight.begin(), all.weight.end(), 0.0), 16777217.0);
}

TEST(PlanConfig, ReportsAllProblemsTogether) {
    PlanConfig bad;
    bad.global_batch_size = -1;
    bad.micro_batch_size = 0;
    bad.seed = seed_limit;
    const auto problems = bad.validate();
    ASSERT_EQ(problems.size(), 3u);
    for (const char* option : {"--global-batch-size", "--micro-batch-size", "--seed"})
        EXPECT_EQ(std::count_if(problems.begin(), problems.end(),
                                [&](const std::string& text) {
                                    return text.find(option) != std::string::npos;
                                }),
                  1)
            << option;
    bad.micro_batch_tokens = -5;
    EXPECT_EQ(bad.validate().size(), 3u);
    PlanConfig good;
    EXPECT_TRUE(good.validate().empty());
    good.micro_batch_size = 0;  // unused beside micro_batch_tokens
    good.micro_batch_tokens = 64;
    good.seed = seed_limit - 1;
    EXPECT_TRUE(good.validate().empty());
}

}  // namespace
}  // namespace evengrad::test
