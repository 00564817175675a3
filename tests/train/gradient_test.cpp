// The gradient through the integer sums against double precision, one process, plain sums.
#include <filesystem>
#include <set>

#include "train/sums_of_ranks.hpp"
#include "train/tiny_run.hpp"

namespace evengrad {
namespace {

using namespace test;

constexpr double tolerance = 1e-6;
constexpr std::int64_t batch_size = 64;

GptConfig small_model() {
    return {.num_layers = 2,
            .hidden_size = 32,
            .ffn_hidden_size = 128,
            .num_attention_heads = 2,
            .seq_length = 2048};
}

/// 64 of the bundled prompt/completion pairs, as one global batch.
class PairsGradient : public testing::Test {
  protected:
    Dataset data_ = open_dataset({EVENGRAD_SOURCE_DIR "/data/pairs.jsonl"});
    GptConfig model_ = small_model();
    ParameterTable table_{model_};
    std::vector<float> weights_ = initial_weights(table_, 1234);

    StepPlan plan(std::int64_t sequences, std::int64_t tokens = 0) const {
        PlanConfig config;
        config.seq_length = model_.seq_length;
        config.global_batch_size = batch_size;
        config.micro_batch_size = sequences;
        config.micro_batch_tokens = tokens;
        return Planner(data_, config).plan(0);
    }

    std::vector<float> production(const StepPlan& plan, SumsOfRanks& sums, double& norm) {
        Gpt<float> model(model_, table_);
        sums.run(
            plan, [](std::int64_t) { return 0; },
            [&](std::int64_t k) {
                const MicroBatch batch = plan.micro_batch(k);
                model.reserve(MicroBatchSize::of(batch), true);
                const double loss =
                    model.forward_backward(weights_.data(), batch, {}, sums.accumulator).loss;
                return planned_row(plan, k, loss);
            });
        sums.ledger.verify(plan);
        const MeanGradient gradient = sums.mean(plan.denominator);
        norm = gradient.norm();
        return sums.take_all(gradient);
    }
};

TEST_F(PairsGradient, R1EveryCutOfTheBatchGivesTheDoublePrecisionGradient) {
    const StepPlan whole = plan(1);
    ASSERT_EQ(whole.lengths.size(), static_cast<std::size_t>(batch_size));
    auto [loss, gradient] = reference(model_, table_, weights_, whole);
    for (double& value : gradient) value /= whole.denominator;
    const double size = difference(gradient, gradient, 0, table_.flat_size()).second;

    struct Cut {
        std::int64_t sequences, tokens;
    };
    for (const Cut cut : {Cut{1, 0}, Cut{2, 0}, Cut{4, 0}, Cut{8, 0}, Cut{batch_size, 0},
                          Cut{1, 500}, Cut{1, 4000}}) {
        const StepPlan step = plan(cut.sequences, cut.tokens);
        SumsOfRanks sums(world(), 0, table_);
        double norm = 0.0;
        const auto found = production(step, sums, norm);
        const GradientError error = gradient_error(table_, found, gradient);
        const std::string what = fmt::format("{} micro-batches ({} sequences or {} tokens)",
                                             step.size(), cut.sequences, cut.tokens);
        fmt::print("{}: error {:.2e}, by tensor at most {:.2e} ({})\n", what, error.overall,
                   error.tensor, error.name);
        EXPECT_LT(error.overall, tolerance) << what;
        EXPECT_LT(error.tensor, tolerance) << what << ", " << error.name;
        EXPECT_NEAR(norm / size, 1.0, tolerance) << what;  // R3
        EXPECT_NEAR(sums.ledger.loss() / loss, 1.0, tolerance) << what;
    }
}

TEST_F(PairsGradient, R1MeanOfMeansOverTheSameDataIsFarOff) {
    // Gradients of each sequence; every fixed-count cut is a sum of these.
    const StepPlan singles = plan(1);
    const std::vector<double> exact(weights_.begin(), weights_.end());
    Gpt<double> model(model_, table_);
    std::vector<std::vector<double>> of_sequence;
    std::vector<double> whole(exact.size(), 0.0);
    for (std::int64_t k = 0; k < singles.size(); ++k) {
        PlainSink<double> sink(table_);
        model.reserve(MicroBatchSize::of(singles.micro_batch(k)), true);
        model.forward_backward(exact.data(), singles.micro_batch(k), {}, sink);
        for (std::size_t i = 0; i < whole.size(); ++i) whole[i] += sink.sum[i];
        of_sequence.push_back(std::move(sink.sum));
    }
    for (double& value : whole) value /= singles.denominator;
    for (const std::size_t count : {1u, 2u, 4u}) {
        std::vector<double> mean(whole.size(), 0.0);
        for (std::size_t first = 0; first < of_sequence.size(); first += count) {
            double tokens = 0.0;
            for (std::size_t s = first; s < first + count; ++s)
                tokens += static_cast<double>(singles.loss_tokens[s]);
            const double share =
                static_cast<double>(count) / (static_cast<double>(of_sequence.size()) * tokens);
            for (std::size_t s = first; s < first + count; ++s)
                for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += share * of_sequence[s][i];
        }
        const GradientError error = gradient_error(table_, mean, whole);
        fmt::print("mean of means over {} sequences each: off by {:.3f}\n", count, error.overall);
        EXPECT_GT(error.overall, 1e-1) << count << " sequences a micro-batch";
    }
}

/// Gradient of a step, from what it did to the weights.
std::vector<double> applied(std::span<const float> before, std::span<const float> after,
                            double lr) {
    std::vector<double> gradient(before.size());
    for (std::size_t i = 0; i < before.size(); ++i)
        gradient[i] = (static_cast<double>(before[i]) - static_cast<double>(after[i])) / lr;
    return gradient;
}

TrainConfig plain_sgd(double lr) {
    TrainConfig config = tiny_config(100);
    config.model.gpt().dropout = 0.0;
    config.model.gpt().vocab_size = TokenizerSpec().vocabulary_size;
    config.optimizer.kind = OptimizerKind::sgd;
    config.optimizer.weight_decay = 0.0;
    config.optimizer.clip_grad = 0.0;
    config.schedule.decay = LrDecay::constant;
    config.schedule.warmup_iters = 0;
    config.schedule.lr = lr;
    return config;
}

TEST(StepGradient, R4R18EveryStepIsDividedByItsOwnTokens) {
    // 19 sequences in batches of 8: the third step of each epoch has 3.
    const Dataset data{uneven_documents(19, 90, 5)};
    TrainConfig config = plain_sgd(0.1);
    config.plan.global_batch_size = 8;
    const ParameterTable table(config.model);
    for (const char* reduction :
         {"token-mean", "sequence-mean", "constant:9", "micro-batch-mean", "rank-mean:3"}) {
        SCOPED_TRACE(reduction);
        config.plan.reduction = LossReduction::parse(reduction);
        const Planner planner(data, config.plan);
        Trainer trainer(world(), config, &data);
        for (std::int64_t step = 0; step < 6; ++step) {
            const StepPlan plan = planner.plan(step);
            const std::vector<float> before(trainer.weights().begin(), trainer.weights().end());
            const StepRecord record = trainer.step();
            EXPECT_EQ(record.step, step + 1);
            EXPECT_EQ(record.sequences, step % 3 == 2 ? 3 : 8);
            EXPECT_EQ(record.loss_tokens, plan.total_loss_tokens());
            auto [loss, gradient] = reference(config.model, table, before, plan);
            for (double& value : gradient) value /= plan.denominator;
            // What float weights can show of an update; the gradient itself is measured above.
            const auto error = gradient_error(
                table, applied(before, trainer.weights(), config.schedule.lr), gradient);
            EXPECT_LT(error.overall, 2e-5) << "step " << record.step;
            ASSERT_TRUE(record.loss.has_value());
            EXPECT_NEAR(*record.loss / (loss / plan.denominator), 1.0, tolerance);
            EXPECT_NEAR(
                record.grad_norm / difference(gradient, gradient, 0, table.flat_size()).second, 1.0,
                tolerance);
        }
    }
}

TEST(Trainer, RefusesTokensOutsideTheVocabulary) {
    const Dataset good{uneven_documents(6, 20)};
    for (const std::int32_t token : {TokenizerSpec().vocabulary_size, -1}) {
        Documents documents = uneven_documents(6, 20);
        documents.tokens[3] = token;
        EXPECT_THROW(Dataset{documents}, Error);
    }
    TrainConfig small = plain_sgd(0.1);
    small.model.gpt().vocab_size = TokenizerSpec().vocabulary_size - 1;
    EXPECT_THROW(Trainer(world(), small, &good), Error);
    Trainer trainer(world(), small, nullptr);
    EXPECT_THROW(trainer.evaluate(&good), Error);
}

TEST(StepGradient, R14FiniteDifferenceOfTheLoggedLossIsTheGradientUnderEachReduction) {
    // One batch holds all data, so each step logs the loss of the same sequences. (A mean of means
    // would be another function each step, since the epoch's order decides who shares a mean.)
    const Dataset data{uneven_documents(24, 90, 5)};
    std::set<double> losses;
    for (const char* reduction : {"token-mean", "sequence-mean", "sum", "constant:50"}) {
        // The step is as long as under token mean, or nothing could be seen.
        const double lr = reduction == std::string("sum") ? 1e-6 : 1e-3;
        TrainConfig config = plain_sgd(lr);
        config.plan.reduction = LossReduction::parse(reduction);
        Trainer trainer(world(), config, &data);
        std::vector<std::vector<float>> weights;
        std::vector<StepRecord> records;
        for (int i = 0; i < 3; ++i) {
            weights.emplace_back(trainer.weights().begin(), trainer.weights().end());
            records.push_back(trainer.step());
        }
        const auto first = applied(weights[0], weights[1], lr);
        const auto second = applied(weights[1], weights[2], lr);
        double slope = 0.0;  // mean of both ends' slopes along the step: the error is third order
        for (std::size_t i = 0; i < first.size(); ++i)
            slope += 0.5 * first[i] * (first[i] + second[i]);
        const double fall = (*records[0].loss - *records[1].loss) / lr;
        EXPECT_GT(fall, 0.01) << reduction;
        EXPECT_NEAR(fall / slope, 1.0, 1e-3) << reduction;
        EXPECT_NEAR(records[0].grad_norm /
                        difference(first, first, 0, trainer.parameters().flat_size()).second,
                    1.0, 1e-3)
            << reduction;
        EXPECT_TRUE(losses.insert(*records[0].loss).second) << reduction << " is like another one";
    }
}

TEST(StepGradient, R24WhatIsRecordedIsOfTheGlobalNormalizedUnclippedGradient) {
    const Dataset data{uneven_documents(24, 90, 5)};
    TrainConfig config = plain_sgd(0.1);
    config.plan.micro_batch_size = 3;
    config.optimizer.clip_grad = 0.01;
    const ParameterTable table(config.model);
    Trainer trainer(world(), config, &data);
    const StepPlan plan = Planner(data, trainer.config().plan).plan(0);
    const std::vector<float> before(trainer.weights().begin(), trainer.weights().end());
    const auto norm_of = [&](std::vector<double> gradient, double denominator) {
        for (double& value : gradient) value /= denominator;
        return difference(gradient, gradient, 0, table.flat_size()).second;
    };
    const auto gradient = reference(config.model, table, before, plan).second;
    const StepRecord record = trainer.step();
    EXPECT_NEAR(record.grad_norm / norm_of(gradient, plan.denominator), 1.0, tolerance);
    EXPECT_GT(record.grad_norm, 10 * config.optimizer.clip_grad);
    EXPECT_NEAR(record.clipped_grad_norm / config.optimizer.clip_grad, 1.0, 1e-3);
    // The largest micro-batch's norm is of its part of the same gradient.
    const std::vector<double> exact(before.begin(), before.end());
    const auto model = make_model<double>(config.model, table);
    PlainSink<double> sink(table);
    const MicroBatch batch = plan.micro_batch(record.largest.front().micro_batch);
    model->reserve(MicroBatchSize::of(batch), true);
    model->forward_backward(exact.data(), batch, {}, sink);
    EXPECT_NEAR(record.largest.front().norm / norm_of(sink.sum, plan.denominator), 1.0, tolerance);
}

TEST(StepGradient, R3R11NormAndClipFactorDoNotDependOnTheCut) {
    const Dataset data{uneven_documents(24, 90, 5)};
    TrainConfig config = plain_sgd(0.1);
    config.optimizer.clip_grad = 0.05;
    std::vector<StepRecord> records;
    std::vector<std::vector<float>> after;
    for (const std::int64_t sequences : {24, 1, 2, 5}) {
        config.plan.micro_batch_size = sequences;
        Trainer trainer(world(), config, &data);
        records.push_back(trainer.step());
        after.emplace_back(trainer.weights().begin(), trainer.weights().end());
    }
    EXPECT_GT(records[0].grad_norm, 2 * config.optimizer.clip_grad);
    for (std::size_t i = 0; i < records.size(); ++i) {
        EXPECT_NEAR(records[i].grad_norm / records[0].grad_norm, 1.0, tolerance);
        EXPECT_NEAR(records[i].clipped_grad_norm / config.optimizer.clip_grad, 1.0, 1e-4);
        EXPECT_NEAR(*records[i].loss / *records[0].loss, 1.0, tolerance);
        const auto [apart, size] =
            difference(after[i], after[0], 0, static_cast<Index>(after[0].size()));
        EXPECT_LT(apart, 1e-7 * size);
    }
}

}  // namespace
}  // namespace evengrad
