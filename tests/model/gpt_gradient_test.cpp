// The backward pass against central finite differences in double, for every tensor.
#include "model/gpt_fixture.hpp"

namespace evengrad::test {
namespace {

struct Case {
    const char* name;
    std::vector<std::int32_t> lengths;
    double dropout;
    Activation activation = Activation::gelu_tanh;
};

class GptGradient : public testing::TestWithParam<Case> {};

// R6 (lengths 1 and 2, boundaries inside a pack), R14 (the logged loss is the optimized one).
TEST_P(GptGradient, R6_R14_EqualsFiniteDifferencesOfTheLoss) {
    GptConfig config = small_config();
    config.activation = GetParam().activation;
    config.negative_slope = 0.3;
    const ParameterTable table(config);
    const OwnedBatch batch = random_batch(GetParam().lengths, config.vocab_size);
    const DropoutKey dropout{dropout_step_key(3, 5), GetParam().dropout};
    AlignedBuffer<double> weights = lively_weights<double>(table);
    Gpt<double> gpt(config, table);
    gpt.reserve(MicroBatchSize::of(batch.view()), true);
    PlainSink<double> sink(table);
    const LossSums sums = gpt.forward_backward(weights.data(), batch.view(), dropout, sink);
    const auto loss = [&](const double* moved) {
        return gpt.forward(moved, batch.view(), dropout).loss;
    };
    EXPECT_EQ(sums.loss, loss(weights.data()));
    // Steps so small that none crosses a kink.
    const double step = config.activation == Activation::leaky_relu ? 1e-6 : 1e-3;
    const double worst = expect_gradient_of(loss, table, weights, sink.sum, step);
    RecordProperty("worst_relative_error", fmt::format("{:.2e}", worst));
}

INSTANTIATE_TEST_SUITE_P(Cases, GptGradient,
                         testing::Values(Case{"packed", {9, 4, 6}, 0.0}, Case{"length_1", {1}, 0.0},
                                         Case{"length_2", {2}, 0.0},
                                         Case{"lengths_1_and_2", {1, 2, 1, 9, 2}, 0.0},
                                         Case{"dropout", {9, 1, 5}, 0.3},
                                         Case{"silu", {9, 4}, 0.0, Activation::silu},
                                         Case{"leaky_relu", {7}, 0.0, Activation::leaky_relu}),
                         [](const auto& info) { return info.param.name; });

TEST(Gpt, CutIntoMicroBatchesGivesTheSameSum) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    const OwnedBatch batch = random_batch({9, 1, 2, 7, 3}, config.vocab_size);
    const DropoutKey dropout{dropout_step_key(3, 5), 0.2};
    const AlignedBuffer<double> weights = lively_weights<double>(table);
    Gpt<double> gpt(config, table);
    gpt.reserve(MicroBatchSize::of(batch.view()), true);
    PlainSink<double> whole(table), parts(table);
    const double loss = gpt.forward_backward(weights.data(), batch.view(), dropout, whole).loss;
    double sum = 0.0;
    for (std::size_t s = 0; s < batch.lengths.size(); ++s)
        sum +=
            gpt.forward_backward(weights.data(), batch.part(s, s + 1).view(), dropout, parts).loss;
    EXPECT_NEAR(sum, loss, 1e-12 * std::abs(loss));
    const double all = norm_of(whole.sum);
    for (const Tensor& tensor : table.tensors())
        EXPECT_LT(tensor_error(tensor, parts.sum, whole.sum, all), 1e-12) << tensor.name;
}

TEST(Gpt, R7_NothingWithALossGivesNoContribution) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    OwnedBatch batch = random_batch({9, 3}, config.vocab_size);
    std::fill(batch.weights.begin(), batch.weights.end(), 0.0f);
    const AlignedBuffer<float> weights = lively_weights<float>(table);
    Gpt<float> gpt(config, table);
    gpt.reserve(MicroBatchSize::of(batch.view()), true);
    PlainSink<float> sink(table);
    EXPECT_EQ(gpt.forward_backward(weights.data(), batch.view(), {}, sink).loss, 0.0);
    EXPECT_TRUE(sink.contributions.empty());
}

TEST(Gpt, SquaredNormOfAMicroBatchCountsTheTiedEmbeddingOnce) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    const OwnedBatch batch = random_batch({9, 8, 2}, config.vocab_size);
    const AlignedBuffer<double> weights = lively_weights<double>(table);
    Gpt<double> gpt(config, table);
    gpt.reserve(MicroBatchSize::of(batch.view()), true);
    PlainSink<double> sink(table);
    gpt.forward_backward(weights.data(), batch.view(), {}, sink);
    const double norm = norm_of(sink.sum);
    EXPECT_NEAR(sink.squares, norm * norm, 1e-12 * norm * norm);
}

TEST(Gpt, ResultsDoNotDependOnWhatTheScratchHeld) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    const OwnedBatch first = random_batch({9, 9, 4}, config.vocab_size, 1);
    const OwnedBatch batch = random_batch({3, 8, 1}, config.vocab_size, 2);
    const AlignedBuffer<float> weights = lively_weights<float>(table);
    const DropoutKey dropout{1, 0.1};
    Gpt<float> fresh(config, table), used(config, table);
    fresh.reserve(MicroBatchSize::of(batch.view()), true);
    PlainSink<float> clean(table), ignored(table), after(table);
    fresh.forward_backward(weights.data(), batch.view(), dropout, clean);
    used.reserve(MicroBatchSize::of(first.view()), true);
    used.forward_backward(weights.data(), first.view(), dropout, ignored);
    used.forward_backward(weights.data(), batch.view(), dropout, after);
    EXPECT_EQ(clean.sum, after.sum);
}

TEST(Gpt, ReservedScratchSuffices) {
    for (const double dropout : {0.0, 0.5})
        for (const Index layers : {1, 3}) {
            GptConfig config = small_config();
            config.num_layers = layers;
            const ParameterTable table(config);
            for (const auto& lengths :
                 {std::vector<std::int32_t>{9}, {1}, {9, 9, 9, 9}, {5, 1, 2}}) {
                OwnedBatch batch = random_batch(lengths, config.vocab_size);
                batch.weights.front() = 1.0f;
                const AlignedBuffer<float> weights = lively_weights<float>(table);
                Gpt<float> gpt(config, table);  // its arena throws when it is too small
                gpt.reserve(MicroBatchSize::of(batch.view()), true);
                PlainSink<float> sink(table);
                gpt.forward_backward(weights.data(), batch.view(), {1, dropout}, sink);
                Gpt<float> forward_only(config, table);
                forward_only.reserve(MicroBatchSize::of(batch.view()), false);
                const double loss =
                    forward_only.forward(weights.data(), batch.view(), {1, dropout}).loss;
                EXPECT_TRUE(std::isfinite(loss));
            }
        }
}

TEST(Gpt, ForwardAloneGivesTheSameLossAsTraining) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    const OwnedBatch batch = random_batch({9, 5, 2}, config.vocab_size);
    const AlignedBuffer<float> weights = lively_weights<float>(table);
    Gpt<float> gpt(config, table);
    gpt.reserve(MicroBatchSize::of(batch.view()), true);
    PlainSink<float> sink(table);
    const LossSums trained = gpt.forward_backward(weights.data(), batch.view(), {}, sink);
    const LossSums alone = gpt.forward(weights.data(), batch.view());
    EXPECT_EQ(alone.loss, trained.loss);
    EXPECT_EQ(alone.correct, trained.correct);
}

}  // namespace
}  // namespace evengrad::test
