// Logits for generation: the same function as training's loss, in the scratch of forward alone.
#include <cmath>

#include "model/gpt_fixture.hpp"

namespace evengrad::test {
namespace {

TEST(GptLogits, GiveTheLossOfTraining) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    const OwnedBatch batch = random_batch({9, 1, 2, 6}, config.vocab_size);
    const AlignedBuffer<double> weights = lively_weights<double>(table);
    Gpt<double> gpt(config, table);  // its arena throws when it is too small
    gpt.reserve(MicroBatchSize::of(batch.view()), false);
    const auto v = static_cast<std::size_t>(config.vocab_size);
    std::vector<double> logits(batch.tokens.size() * v, 0.0);
    gpt.logits(weights.data(), batch.view(), logits.data());
    double expected = 0.0;
    const double* row = logits.data();
    for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
        if (batch.weights[i] == 0.0f) continue;
        double total = 0.0;
        for (std::size_t j = 0; j < v; ++j) total += std::exp(row[j]);
        const auto target = static_cast<std::size_t>(batch.targets[i]);
        expected += static_cast<double>(batch.weights[i]) * (std::log(total) - row[target]);
        row += v;
    }
    ASSERT_LT(row, logits.data() + logits.size()) << "some token is to be masked";
    const double loss = gpt.forward(weights.data(), batch.view()).loss;
    EXPECT_NEAR(loss, expected, 1e-12 * std::abs(expected));
}

// The last position's logits, at each length a prompt can have.
TEST(GptLogits, OfTheLastPositionDoNotNeedTheOthersLogits) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    const AlignedBuffer<float> weights = lively_weights<float>(table);
    const auto v = static_cast<std::size_t>(config.vocab_size);
    for (std::int32_t length = 1; length <= 9; ++length) {
        OwnedBatch batch = random_batch({length}, config.vocab_size);
        std::fill(batch.weights.begin(), batch.weights.end(), 1.0f);
        std::vector<float> all(batch.tokens.size() * v), last(v);
        Gpt<float> gpt(config, table), small(config, table);
        gpt.reserve(MicroBatchSize::of(batch.view()), false);
        gpt.logits(weights.data(), batch.view(), all.data());
        std::fill(batch.weights.begin(), batch.weights.end() - 1, 0.0f);
        small.reserve(MicroBatchSize::of(batch.view()), false);
        small.logits(weights.data(), batch.view(), last.data());
        EXPECT_TRUE(std::equal(last.begin(), last.end(), all.end() - static_cast<long>(v)))
            << length;
    }
}

// R6: what follows a position, or lies beside its sequence, doesn't change its logits.
TEST(GptLogits, R6_SeeNeitherTheFutureNorOtherSequences) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    const AlignedBuffer<double> weights = lively_weights<double>(table);
    OwnedBatch batch = random_batch({5, 7, 2}, config.vocab_size);
    std::fill(batch.weights.begin(), batch.weights.end(), 1.0f);
    const auto v = static_cast<std::size_t>(config.vocab_size);
    Gpt<double> gpt(config, table);
    gpt.reserve(MicroBatchSize::of(batch.view()), false);
    const auto logits = [&] {
        std::vector<double> out(batch.tokens.size() * v);
        gpt.logits(weights.data(), batch.view(), out.data());
        return out;
    };
    const std::vector<double> before = logits();
    const std::size_t changed = 8;  // the fourth of the second sequence's seven tokens
    batch.tokens[changed] = (batch.tokens[changed] + 1) % static_cast<std::int32_t>(v);
    const std::vector<double> after = logits();
    for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
        const bool same = std::equal(before.begin() + static_cast<long>(i * v),
                                     before.begin() + static_cast<long>((i + 1) * v),
                                     after.begin() + static_cast<long>(i * v));
        EXPECT_EQ(same, i < changed || i >= 12) << i;
    }
}

}  // namespace
}  // namespace evengrad::test
