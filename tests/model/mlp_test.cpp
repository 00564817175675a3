// Mlp: its backward pass against finite differences in double, its forward pass and what it shows
// of its layers against plain loops, and how micro-batches may be cut.
#include "kernels/activations.hpp"
#include "model/mlp_fixture.hpp"

namespace evengrad::test {
namespace {

using Numbers = std::vector<double>;

class MlpGradient : public testing::TestWithParam<std::size_t> {};

// R6, R14 for rows.
TEST_P(MlpGradient, R14_EqualsFiniteDifferencesOfTheLoss) {
    double worst = 0.0;
    for (const MlpLoss loss : {MlpLoss::cross_entropy, MlpLoss::mse})
        for (const MlpNorm norm : {MlpNorm::none, MlpNorm::layernorm})
            for (const bool residual : {false, true}) {
                MlpConfig config = small_mlp();
                config.activation = static_cast<Activation>(GetParam());
                config.loss = loss;
                config.norm = norm;
                config.residual = residual;
                const ParameterTable table(config);
                const RowBatch batch(config, 6);
                const AlignedBuffer<double> weights = lively_weights<double>(table);
                Mlp<double> mlp(config, table);
                mlp.reserve(MicroBatchSize::of(batch.view()), true);
                PlainSink<double> sink(table);
                const LossSums sums = mlp.forward_backward(weights.data(), batch.view(), {}, sink);
                const auto value = [&](const double* moved) {
                    return mlp.forward(moved, batch.view()).loss;
                };
                EXPECT_EQ(sums.loss, value(weights.data()));
                // Steps so small that none crosses a kink, or a jump of a second derivative.
                worst = std::max(worst, expect_gradient_of(value, table, weights, sink.sum, 1e-5));
            }
    RecordProperty("worst_relative_error", fmt::format("{:.2e}", worst));
    fmt::print("worst tensor: {:.2e}\n", worst);
}

INSTANTIATE_TEST_SUITE_P(Kinds, MlpGradient,
                         testing::Range<std::size_t>(0, activation_names.size()),
                         [](const auto& info) {
                             std::string name = activation_names[info.param];
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

/// One row through the layers by plain loops, as MlpConfig describes them.
struct PlainRow {
    std::vector<Numbers> input, before, after;  ///< by layer: x; of the activation: input, output
    Numbers outputs;

    PlainRow(const MlpConfig& config, const ParameterTable& table, const double* weights,
             const float* features) {
        const auto parameter = [&](const std::string& name) {
            return weights + table[table.find(name)].offset;
        };
        Numbers x(features, features + config.features());
        for (Index l = 0; l < config.layers(); ++l) {
            const std::string name = fmt::format("layers.{}", l);
            const auto in = static_cast<std::size_t>(config.width(l));
            const auto out = static_cast<std::size_t>(config.width(l + 1));
            Numbers z(out);
            for (std::size_t i = 0; i < out; ++i) {
                z[i] = parameter(name + ".bias")[i];
                for (std::size_t j = 0; j < in; ++j)
                    z[i] += parameter(name + ".weight")[i * in + j] * x[j];
            }
            input.push_back(x);
            if (l + 1 == config.layers()) {
                outputs = z;
                return;
            }
            if (config.norm == MlpNorm::layernorm) {
                double mean = 0.0, variance = 0.0;
                for (const double v : z) mean += v / static_cast<double>(out);
                for (const double v : z)
                    variance += (v - mean) * (v - mean) / static_cast<double>(out);
                for (std::size_t i = 0; i < out; ++i)
                    z[i] = (z[i] - mean) / std::sqrt(variance + 1e-5) *
                               parameter(name + ".norm.weight")[i] +
                           parameter(name + ".norm.bias")[i];
            }
            Numbers y(out);
            activate(config.activation, config.negative_slope, z.data(), config.width(l + 1),
                     y.data());
            before.push_back(z);
            after.push_back(y);
            if (config.residual && in == out)
                for (std::size_t i = 0; i < out; ++i) y[i] += x[i];
            x = y;
        }
    }
};

/// Keeps all that it is shown.
struct KeptLayer {
    Index layer;
    Numbers input, output, derivative, signal;
    std::vector<float> weights;
};
class KeepingSink final : public LayerSink<double> {
  public:
    explicit KeepingSink(const MlpConfig& config) : config_(config) {}
    void add(Index layer, const LayerValues<double>& v) override {
        const Index in = v.rows * config_.width(layer), out = v.rows * config_.width(layer + 1);
        kept.push_back({layer, Numbers(v.input, v.input + in), Numbers(v.output, v.output + out),
                        Numbers(v.derivative, v.derivative + out),
                        Numbers(v.signal, v.signal + out),
                        std::vector<float>(v.weights, v.weights + v.rows)});
    }
    std::vector<KeptLayer> kept;

  private:
    const MlpConfig& config_;
};

class MlpLayers : public testing::TestWithParam<std::tuple<MlpNorm, bool>> {};

TEST_P(MlpLayers, OutputsLossAndLayersAreThoseOfPlainLoops) {
    MlpConfig config = small_mlp();
    std::tie(config.norm, config.residual) = GetParam();
    const ParameterTable table(config);
    const RowBatch batch(config, 5);
    const AlignedBuffer<double> weights = lively_weights<double>(table);
    for (const MlpLoss kind : {MlpLoss::cross_entropy, MlpLoss::mse}) {
        config.loss = kind;
        Mlp<double> mlp(config, table);
        mlp.reserve(MicroBatchSize::of(batch.view()), true);
        PlainSink<double> sink(table);
        KeepingSink layers(config);
        const LossSums sums = mlp.forward_backward(weights.data(), batch.view(), {}, sink, &layers);
        Numbers outputs(batch.values.size());
        mlp.outputs(weights.data(), batch.view(), outputs.data());

        const std::size_t hidden = config.layer_widths.size() - 2;
        ASSERT_EQ(layers.kept.size(), hidden);
        const auto row_of = [](const Numbers& all, std::size_t r, std::size_t width) {
            return Numbers(all.begin() + static_cast<Index>(r * width),
                           all.begin() + static_cast<Index>((r + 1) * width));
        };
        const auto expect_near = [](const Numbers& a, const Numbers& b, const char* what) {
            ASSERT_EQ(a.size(), b.size());
            for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-13) << what;
        };
        double loss = 0.0, correct = 0.0;
        for (std::size_t r = 0; r < batch.lengths.size(); ++r) {
            const PlainRow plain(config, table, weights.data(),
                                 batch.features.data() + r * batch.inputs);
            expect_near(row_of(outputs, r, batch.outputs), plain.outputs, "outputs");
            const auto weight = static_cast<double>(batch.weights[r]);
            const auto target = static_cast<std::size_t>(batch.targets[r]);
            double sum = 0.0, distance = 0.0;
            for (std::size_t i = 0; i < batch.outputs; ++i) {
                sum += std::exp(plain.outputs[i]);
                const auto value = static_cast<double>(batch.values[r * batch.outputs + i]);
                distance += std::pow(plain.outputs[i] - value, 2);
            }
            if (kind == MlpLoss::cross_entropy) {
                loss += weight * (std::log(sum) - plain.outputs[target]);
                const auto largest = std::max_element(plain.outputs.begin(), plain.outputs.end());
                correct += *largest == plain.outputs[target] ? weight : 0.0;
            } else {
                loss += weight * distance / static_cast<double>(batch.outputs);
            }
            // The signal of one row is its gradient of what is added to the activation's input.
            PlainSink<double> alone(table);
            mlp.forward_backward(weights.data(), batch.part(r, r + 1), {}, alone);
            for (std::size_t i = 0; i < hidden; ++i) {
                const KeptLayer& kept = layers.kept[i];
                EXPECT_EQ(kept.layer, static_cast<Index>(hidden - 1 - i));
                EXPECT_EQ(kept.weights, batch.weights);
                const auto l = static_cast<std::size_t>(kept.layer);
                const std::size_t out = plain.before[l].size();
                expect_near(row_of(kept.input, r, plain.input[l].size()), plain.input[l], "input");
                expect_near(row_of(kept.output, r, out), plain.after[l], "output");
                Numbers y(out), derivative(out);
                activate_with_derivative(config.activation, config.negative_slope,
                                         plain.before[l].data(), static_cast<Index>(out), y.data(),
                                         derivative.data());
                expect_near(row_of(kept.derivative, r, out), derivative, "derivative");
                const bool norms = config.norm == MlpNorm::layernorm;
                const Tensor& bias =
                    table[table.find(fmt::format("layers.{}{}.bias", l, norms ? ".norm" : ""))];
                const Numbers signal(alone.sum.begin() + bias.offset,
                                     alone.sum.begin() + bias.offset + bias.count);
                expect_near(row_of(kept.signal, r, out), signal, "signal");
            }
        }
        EXPECT_NEAR(sums.loss, loss, 1e-13 * loss);
        EXPECT_EQ(sums.correct, correct);
        EXPECT_EQ(correct > 0.0, kind == MlpLoss::cross_entropy);
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, MlpLayers,
                         testing::Combine(testing::Values(MlpNorm::none, MlpNorm::layernorm),
                                          testing::Bool()));

/// Everything on: what follows shall hold for it.
MlpConfig full_config() {
    MlpConfig config = small_mlp();
    config.norm = MlpNorm::layernorm;
    config.residual = true;
    return config;
}

TEST(Mlp, CutIntoMicroBatchesGivesTheSameSums) {
    const MlpConfig config = full_config();
    const ParameterTable table(config);
    const RowBatch batch(config, 9);
    const AlignedBuffer<double> weights = lively_weights<double>(table);
    Mlp<double> mlp(config, table);
    mlp.reserve(MicroBatchSize::of(batch.view()), true);
    PlainSink<double> whole(table), parts(table);
    const LossSums sums = mlp.forward_backward(weights.data(), batch.view(), {}, whole);
    LossSums sum;
    for (const auto& [first, last] : {std::pair<std::size_t, std::size_t>{0, 5}, {5, 6}, {6, 9}}) {
        const LossSums part =
            mlp.forward_backward(weights.data(), batch.part(first, last), {}, parts);
        sum.loss += part.loss;
        sum.correct += part.correct;
    }
    EXPECT_NEAR(sum.loss, sums.loss, 1e-12 * sums.loss);
    EXPECT_EQ(sum.correct, sums.correct);
    const double all = norm_of(whole.sum);
    for (const Tensor& tensor : table.tensors())
        EXPECT_LT(tensor_error(tensor, parts.sum, whole.sum, all), 1e-12) << tensor.name;
}

TEST(Mlp, R7_RowsWithoutALossContributeNothing) {
    const MlpConfig config = full_config();
    const ParameterTable table(config);
    RowBatch batch(config, 4);
    const AlignedBuffer<double> weights = lively_weights<double>(table);
    Mlp<double> mlp(config, table);
    mlp.reserve(MicroBatchSize::of(batch.view()), true);
    batch.weights = {1.0f, 0.5f, 0.0f, 0.0f};
    PlainSink<double> all(table), first(table), none(table);
    const LossSums sums = mlp.forward_backward(weights.data(), batch.view(), {}, all);
    EXPECT_NEAR(mlp.forward_backward(weights.data(), batch.part(0, 2), {}, first).loss, sums.loss,
                1e-14 * sums.loss);
    for (const Tensor& tensor : table.tensors())
        EXPECT_LT(tensor_error(tensor, first.sum, all.sum, norm_of(all.sum)), 1e-13);
    EXPECT_EQ(mlp.forward_backward(weights.data(), batch.part(2, 4), {}, none).loss, 0.0);
    EXPECT_TRUE(none.contributions.empty());
}

TEST(Mlp, GradientsComeInOneOrderEachOnce) {
    const MlpConfig config = full_config();
    const ParameterTable table(config);
    const RowBatch batch(config, 3);
    const AlignedBuffer<float> weights = lively_weights<float>(table);
    Mlp<float> mlp(config, table);
    mlp.reserve(MicroBatchSize::of(batch.view()), true);
    PlainSink<float> sink(table);
    mlp.forward_backward(weights.data(), batch.view(), {}, sink);
    std::vector<std::string> names, expected = {"layers.3.weight", "layers.3.bias"};
    for (const Index tensor : sink.contributions) names.push_back(table[tensor].name);
    for (const char* layer : {"layers.2", "layers.1", "layers.0"})
        for (const char* part : {".norm.weight", ".norm.bias", ".weight", ".bias"})
            expected.push_back(std::string(layer) + part);
    EXPECT_EQ(names, expected);
    const double norm = norm_of(sink.sum);
    EXPECT_NEAR(sink.squares, norm * norm, 1e-12 * norm * norm);
}

TEST(Mlp, ResultsDoNotDependOnWhatTheScratchHeldOrOnTheLayerSink) {
    const MlpConfig config = full_config();
    const ParameterTable table(config);
    const RowBatch first(config, 9, 1), batch(config, 4, 2);
    const AlignedBuffer<float> weights = lively_weights<float>(table);
    struct Nothing final : LayerSink<float> {
        void add(Index, const LayerValues<float>&) override {}
    } nothing;
    Mlp<float> fresh(config, table), used(config, table);
    PlainSink<float> clean(table), ignored(table), after(table);
    fresh.reserve(MicroBatchSize::of(batch.view()), true);
    const LossSums sums = fresh.forward_backward(weights.data(), batch.view(), {}, clean);
    used.reserve(MicroBatchSize::of(first.view()), true);
    used.forward_backward(weights.data(), first.view(), {}, ignored);
    used.forward_backward(weights.data(), batch.view(), {}, after, &nothing);
    EXPECT_EQ(clean.sum, after.sum);
    EXPECT_EQ(used.forward(weights.data(), batch.view()).loss, sums.loss);
}

TEST(Mlp, ReservedScratchSuffices) {
    for (const auto& widths :
         {std::vector<Index>{3, 2}, {1, 1, 1}, {40, 3, 50, 2}, {2, 30, 30, 30, 3}})
        for (const MlpNorm norm : {MlpNorm::none, MlpNorm::layernorm})
            for (const std::int32_t rows : {1, 2, 33}) {
                MlpConfig config = full_config();
                config.layer_widths = widths;
                config.norm = norm;
                const ParameterTable table(config);
                RowBatch batch(config, rows);
                batch.weights.front() = 1.0f;
                const AlignedBuffer<float> weights = lively_weights<float>(table);
                const MicroBatchSize size = MicroBatchSize::of(batch.view());
                const auto mlp = make_model<float>(config, table);  // its arena throws when full
                mlp->reserve(size, true);
                EXPECT_EQ(mlp->reserved_bytes(), mlp->scratch_bytes(size, true));
                PlainSink<float> sink(table);
                mlp->forward_backward(weights.data(), batch.view(), {}, sink);
                const auto forward_only = make_model<float>(config, table);
                forward_only->reserve(size, false);
                EXPECT_LT(forward_only->reserved_bytes(), mlp->reserved_bytes());
                EXPECT_TRUE(
                    std::isfinite(forward_only->forward(weights.data(), batch.view()).loss));
            }
}

TEST(Mlp, ScratchThatCannotBeHadIsSaidInBytes) {
    const MlpConfig config = small_mlp();
    const ParameterTable table(config);
    Mlp<float> mlp(config, table);
    const MicroBatchSize huge{Index{1} << 42, 1, 1};
    const std::string bytes = std::to_string(mlp.scratch_bytes(huge, true));
    try {
        mlp.reserve(huge, true);
        ADD_FAILURE() << "was had";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(bytes + " bytes ("), std::string::npos)
            << error.what();
        EXPECT_NE(error.hint().find("fewer ranks"), std::string::npos);
    }
    EXPECT_EQ(mlp.reserved_bytes(), 0u);
}

}  // namespace
}  // namespace evengrad::test
