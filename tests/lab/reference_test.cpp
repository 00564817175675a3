// Several weighings from one pass over the sequences, against each by itself.
#include "lab/reference.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "plan/documents.hpp"
#include "train/sums_of_ranks.hpp"

namespace evengrad {
namespace {

using namespace test;

class WeighedGradientsTest : public testing::Test {
  protected:
    static GptConfig small_model() {
        return {.num_layers = 1,
                .hidden_size = 16,
                .ffn_hidden_size = 32,
                .num_attention_heads = 2,
                .seq_length = 64,
                .vocab_size = 400};
    }

    Dataset data_ = dataset(test::uneven_documents(12, 40));
    GptConfig model_ = small_model();
    ParameterTable table_{model_};
    std::vector<float> weights_ = initial_weights(table_, 3);
    StepPlan singles_ = [&] {
        PlanConfig config;
        config.seq_length = 64;
        config.global_batch_size = 12;
        config.micro_batch_size = 1;
        return Planner(data_, config).plan(0);
    }();

    Weighing weighing(const char* reduction, std::int64_t size) const {
        return weighing_of(LossReduction::parse(reduction), recut(singles_, size));
    }
    WeighedGradients measure(const std::vector<Weighing>& weighings) const {
        return WeighedGradients(model_, table_, weights_, singles_, {}, weighings);
    }
};

TEST_F(WeighedGradientsTest, EachIsTheGradientOfItsOwnReducedPlan) {
    const std::vector<std::pair<const char*, std::int64_t>> all{
        {"token-mean", 1}, {"sequence-mean", 5},    {"sum", 2},
        {"constant:7", 2}, {"micro-batch-mean", 3}, {"rank-mean:2", 2}};
    std::vector<Weighing> weighings;
    for (const auto& [reduction, size] : all) weighings.push_back(weighing(reduction, size));
    const WeighedGradients gradients = measure(weighings);
    EXPECT_EQ(gradients.directions(), 4u);  // sum and constant are multiples of the token mean
    for (std::size_t w = 0; w < all.size(); ++w) {
        StepPlan plan = recut(singles_, all[w].second);
        apply_reduction(LossReduction::parse(all[w].first), plan);
        auto [loss, gradient] = reference(model_, table_, weights_, plan);
        for (double& value : gradient) value /= plan.denominator;
        EXPECT_NEAR(gradients.loss(w) / (loss / plan.denominator), 1.0, 1e-7) << all[w].first;
        // The plan's weights are floats, each rounded by itself.
        EXPECT_LT(gradient_error(table_, gradients.gradient(w), gradient).overall, 1e-7)
            << all[w].first;
    }
}

TEST_F(WeighedGradientsTest, TheReferenceIsTheSumOfItsParts) {
    const std::vector<Weighing> one{weighing("token-mean", 1)};
    const WeighedGradients whole = measure(one);
    std::vector<double> sum(weights_.size(), 0.0);
    for (std::size_t s = 0; s < 12; ++s) {
        Weighing part = one.front();
        for (std::size_t other = 0; other < 12; ++other)
            if (other != s) part.factors[other] = 0.0;
        const std::vector<double> gradient = measure({part}).gradient(0);
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += gradient[i];
    }
    EXPECT_LT(gradient_error(table_, sum, whole.gradient(0)).overall, 1e-14);
}

TEST_F(WeighedGradientsTest, ScaleAloneIsToldFromDirection) {
    const WeighedGradients gradients = measure(
        {weighing("token-mean", 1), weighing("constant:10", 1), weighing("sequence-mean", 1)});
    const double ratio = singles_.denominator / (12 * 10.0);
    const Deviation scaled = gradients.deviation_of(1, 0), turned = gradients.deviation_of(2, 0);
    EXPECT_NEAR(scaled.error, std::abs(ratio - 1.0), 1e-12);
    EXPECT_NEAR(scaled.norm_ratio, ratio, 1e-12);
    EXPECT_NEAR(scaled.cosine, 1.0, 1e-12);
    EXPECT_LT(turned.cosine, 1.0 - 1e-4);
    // |v - r|^2 = |v|^2 + |r|^2 - 2 v.r
    EXPECT_NEAR(
        turned.error * turned.error,
        turned.norm_ratio * turned.norm_ratio + 1.0 - 2.0 * turned.norm_ratio * turned.cosine,
        1e-10);
    EXPECT_EQ(gradients.deviation_of(0, 0).error, 0.0);
}

TEST_F(WeighedGradientsTest, DeviationOfKnownVectors) {
    const std::vector<double> reference{3, 4, 0}, zero(3, 0.0);
    const std::vector<float> other{0, 8, 0};
    const Deviation found = deviation<float>(other, 0.5, reference, 1.0);
    EXPECT_NEAR(found.error, 3.0 / 5.0, 1e-12);
    EXPECT_NEAR(found.cosine, 4.0 / 5.0, 1e-12);
    EXPECT_NEAR(found.norm_ratio, 4.0 / 5.0, 1e-12);
    EXPECT_THROW(deviation<double>(zero, 1.0, reference, 1.0), Error);
    EXPECT_THROW(deviation<double>(reference, 1.0, zero, 1.0), Error);
}

TEST_F(WeighedGradientsTest, ALossThatIsNoNumberIsAnError) {
    weights_.front() = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THROW(measure({weighing("token-mean", 1)}), Error);
}

}  // namespace
}  // namespace evengrad
