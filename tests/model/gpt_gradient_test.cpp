// The backward pass against central finite differences in double, for every tensor.
#include "model/gpt_fixture.hpp"

namespace evengrad::test {
namespace {

struct Case {
    const char* name;
    std::vector<std::int32_t> lengths;
    double dropout;
};

class GptGradient : public testing::TestWithParam<Case> {};

// R6 (lengths 1 and 2, boundaries inside a pack), R14 (the logged loss is the optimized one).
TEST_P(GptGradient, R6_R14_EqualsFiniteDifferencesOfTheLoss) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    const OwnedBatch batch = random_batch(GetParam().lengths, config.vocab_size);
    const DropoutKey dropout{dropout_step_key(3, 5), GetParam().dropout};
    AlignedBuffer<double> weights = lively_weights<double>(table);
    Gpt<double> gpt(config, table);
    gpt.reserve(MicroBatchSize::of(batch.view()), true);
    PlainSink<double> sink(table);
    const double loss = gpt.forward_backward(weights.data(), batch.view(), dropout, sink);
    EXPECT_EQ(loss, gpt.forward(weights.data(), batch.view(), dropout));

    // Directional derivatives of one tensor at a time, along several random directions.
    const double all = norm_of(sink.sum);
    const Philox philox(5, RandomPurpose::test);
    double worst = 0.0;
    for (Index t = 0; t < table.size(); ++t) {
        const Tensor& tensor = table[t];
        double difference = 0.0, norm = 0.0;
        for (std::uint32_t trial = 0; trial < 4; ++trial) {
            std::vector<double> direction(static_cast<std::size_t>(tensor.count));
            for (Index i = 0; i < tensor.count; ++i) {
                const auto words =
                    philox(static_cast<std::uint32_t>(i), trial, static_cast<std::uint32_t>(t));
                direction[static_cast<std::size_t>(i)] = normal_pair(words[0], words[1])[0];
            }
            double expected = 0.0;
            for (Index i = 0; i < tensor.count; ++i)
                expected += sink.sum[static_cast<std::size_t>(tensor.offset + i)] *
                            direction[static_cast<std::size_t>(i)];
            // Fourth order, so that the step can be large against rounding.
            const double h = 1e-3 / std::sqrt(static_cast<double>(tensor.count));
            const auto at = [&](double step) {
                AlignedBuffer<double> moved(table.flat_size());
                std::copy_n(weights.data(), table.flat_size(), moved.data());
                for (Index i = 0; i < tensor.count; ++i)
                    moved[tensor.offset + i] += step * direction[static_cast<std::size_t>(i)];
                return gpt.forward(moved.data(), batch.view(), dropout);
            };
            const double measured =
                (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            difference += (measured - expected) * (measured - expected);
            norm += expected * expected;
        }
        const double error = std::sqrt(difference) / std::max(std::sqrt(norm), 1e-6 * all);
        EXPECT_LT(error, 1e-6) << tensor.name;
        worst = std::max(worst, error);
    }
    RecordProperty("worst_relative_error", fmt::format("{:.2e}", worst));
}

INSTANTIATE_TEST_SUITE_P(Cases, GptGradient,
                         testing::Values(Case{"packed", {9, 4, 6}, 0.0}, Case{"length_1", {1}, 0.0},
                                         Case{"length_2", {2}, 0.0},
                                         Case{"lengths_1_and_2", {1, 2, 1, 9, 2}, 0.0},
                                         Case{"dropout", {9, 1, 5}, 0.3}),
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
    const double loss = gpt.forward_backward(weights.data(), batch.view(), dropout, whole);
    double sum = 0.0;
    for (std::size_t s = 0; s < batch.lengths.size(); ++s)
        sum += gpt.forward_backward(weights.data(), batch.part(s, s + 1).view(), dropout, parts);
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
    EXPECT_EQ(gpt.forward_backward(weights.data(), batch.view(), {}, sink), 0.0);
    EXPECT_EQ(sink.contributions, 0);
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
                    forward_only.forward(weights.data(), batch.view(), {1, dropout});
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
    const double trained = gpt.forward_backward(weights.data(), batch.view(), {}, sink);
    EXPECT_EQ(gpt.forward(weights.data(), batch.view()), trained);
}

}  // namespace
}  // namespace evengrad::test
