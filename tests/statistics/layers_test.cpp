// Statistics of layers, where the answers are known.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/activations.hpp"
#include "model/gpt_fixture.hpp"
#include "model/mlp_fixture.hpp"
#include "mpi_main.hpp"
#include "statistics/layer_collector.hpp"

namespace evengrad {
namespace {

using namespace test;

/// What a layer's micro-batch passed to a sink, kept.
template <class T>
struct KeptLayer {
    std::vector<T> input, output, derivative, signal;
    std::vector<float> weights;
};

/// [layers]
template <class T>
using KeptLayers = std::vector<KeptLayer<T>>;

template <class T>
class KeepingSink final : public LayerSink<T> {
  public:
    explicit KeepingSink(std::vector<ActivationLayer> layers)
        : kept(layers.size()), layers_(std::move(layers)) {}

    void add(Index layer, const LayerValues<T>& v) override {
        const auto at = static_cast<std::size_t>(layer);
        const ActivationLayer& shape = layers_[at];
        kept[at] = {{v.input, v.input + v.rows * shape.inputs},
                    {v.output, v.output + v.rows * shape.units},
                    {v.derivative, v.derivative + v.rows * shape.units},
                    {v.signal, v.signal + v.rows * shape.units},
                    {v.weights, v.weights + v.rows}};
    }
    KeptLayers<T> kept;

  private:
    std::vector<ActivationLayer> layers_;
};

LayerValues<float> values_of(const KeptLayer<float>& kept) {
    return {std::ssize(kept.weights), kept.input.data(),  kept.output.data(),
            kept.derivative.data(),   kept.signal.data(), kept.weights.data()};
}

constexpr float off = std::numeric_limits<float>::quiet_NaN();  // must not be looked at

/// Two inputs, three units, tanh; two micro-batches, the first of which has a prompt.
const std::vector<ActivationLayer> hand_made_layer{{"layers.0", 2, 3, Activation::tanh}};
const std::vector<KeptLayer<float>> hand_made{
    {{3, 4, off, off, 0, 0},
     {1, 2, 3, off, off, off, -1, 0, 1},
     {1, 0.5f, 0, off, off, off, 0, 0.0099f, 0},
     {8, 0, -8, off, off, off, 4, 4, 4},
     {2, 0, 1}},
    {{0, -2}, {6, 6, 6}, {0.0101f, 0, 0}, {0, 0, 12}, {3}}};

/// Each rank takes the micro-batches of its turn.
std::vector<LayerStatistics> collect(const Communicator& ranks,
                                     const std::vector<ActivationLayer>& layers,
                                     const std::vector<KeptLayers<float>>& micro_batches,
                                     std::vector<StuckUnits>* stuck = nullptr) {
    LayerCollector collector(layers, std::ssize(micro_batches));
    for (std::size_t k = 0; k < micro_batches.size(); ++k) {
        if (static_cast<int>(k) % ranks.size() != ranks.rank()) continue;
        collector.begin_micro_batch(static_cast<std::int64_t>(k));
        for (std::size_t l = layers.size(); l-- > 0;)
            if (!micro_batches[k][l].weights.empty())
                collector.add(static_cast<Index>(l), values_of(micro_batches[k][l]));
    }
    const auto statistics = collector.combine(ranks);
    if (stuck) *stuck = collector.stuck_units();
    return statistics;
}

TEST(Layers, OfHandMadeValues) {
    const auto found = collect(world(), hand_made_layer, {{hand_made[0]}, {hand_made[1]}});
    ASSERT_EQ(found.size(), 1u);
    const LayerStatistics& layer = found[0];
    // 1 2 3 -1 0 1 6 6 6; three positions, whose weights are 2 on average.
    EXPECT_NEAR(layer.forward_mean, 24.0 / 9.0, 1e-14);
    EXPECT_NEAR(layer.forward_variance, 124.0 / 9.0 - std::pow(24.0 / 9.0, 2), 1e-14);
    // 8 0 -8 4 4 4 0 0 12
    EXPECT_NEAR(layer.backward_variance, (320.0 / 9.0 - std::pow(24.0 / 9.0, 2)) / 4.0, 1e-14);
    EXPECT_EQ(layer.input_norm, std::sqrt(29.0 / 3.0));
    EXPECT_NEAR(layer.derivative_mean_square,
                (1.25 + std::pow(0.0099, 2) + std::pow(0.0101, 2)) / 9.0, 1e-9);
    EXPECT_EQ(layer.saturated_fraction, 6.0 / 9.0);
    EXPECT_EQ(layer.dead_fraction, 1.0 / 3.0) << "the last unit alone is always 0";
}

TEST(Layers, UnitsThatNoPositionMovesAreNamed) {
    std::vector<KeptLayers<float>> micro_batches{{hand_made[0]}, {hand_made[1]}};
    std::vector<StuckUnits> stuck;
    collect(world(), hand_made_layer, micro_batches, &stuck);
    EXPECT_EQ(stuck, (std::vector<StuckUnits>{{{2}, {}}}));
    micro_batches[0][0].derivative[1] = -0.0099f;  // where it was 0.5
    collect(world(), hand_made_layer, micro_batches, &stuck);
    EXPECT_EQ(stuck, (std::vector<StuckUnits>{{{2}, {1}}}));
    micro_batches[1][0].derivative[2] = 0.01f;  // at 1 % it isn't saturated
    collect(world(), hand_made_layer, micro_batches, &stuck);
    EXPECT_EQ(stuck, (std::vector<StuckUnits>{{{}, {1}}}));
}

TEST(Layers, AMicroBatchWithoutLossAddsNothing) {
    KeptLayer<float> prompt = hand_made[0];
    prompt.weights = {0, 0, 0};
    // One that has no loss at all isn't even passed on.
    const auto with = collect(world(), hand_made_layer,
                              {{prompt}, {hand_made[0]}, {KeptLayer<float>{}}, {hand_made[1]}});
    EXPECT_EQ(with, collect(world(), hand_made_layer, {{hand_made[0]}, {hand_made[1]}}));
}

TEST(Layers, LargeMeansCancelNothing) {
    // A row's squares come to 5e17, where doubles are 64 apart; its squared distances to 12012.
    const std::vector<ActivationLayer> layer{{"layers.0", 1, 3003, Activation::identity}};
    KeptLayer<float> kept;
    for (int row = 0; row < 20; ++row) {
        kept.weights.push_back(1.0f);
        kept.input.push_back(0.0f);
        for (int u = 0; u < 3003; ++u)
            kept.output.push_back(12345677.0f + static_cast<float>(u % 7 - 3));
    }
    kept.signal = kept.derivative = std::vector<float>(kept.output.size(), 1.0f);
    const auto found = collect(world(), layer, {{kept}, {kept}})[0];
    EXPECT_NEAR(found.forward_variance, 4.0, 1e-12);
}

TEST(Layers, ASignalThatHasVanishedStillHasAVariance) {
    KeptLayer<float> kept = hand_made[1];
    kept.signal = {-1e-30f, 0, 1e-30f};
    const auto found = collect(world(), hand_made_layer, {{kept}})[0];
    EXPECT_NEAR(found.backward_variance * 9e60, 2.0 / 3.0, 1e-6);
}

/// A GPT with dropout, or a perceptron of ReLUs, and five micro-batches; one has no loss.
class LayersOfModel : public testing::TestWithParam<const char*> {
  protected:
    LayersOfModel() {
        for (std::uint32_t k = 0; k < 5; ++k) {
            texts_.push_back(random_batch({3, 9, 1 + static_cast<int>(k)}, 17, k));
            rows_.emplace_back(mlp_config(), 8 + static_cast<int>(k), k);
        }
        std::fill(texts_[3].weights.begin(), texts_[3].weights.end(), 0.0f);
        std::fill(rows_[3].weights.begin(), rows_[3].weights.end(), 0.0f);
    }
    static MlpConfig mlp_config() {
        MlpConfig config = small_mlp();
        config.activation = Activation::relu;
        return config;
    }
    bool is_mlp() const { return config_.is_mlp(); }
    MicroBatch batch(std::size_t k) const { return is_mlp() ? rows_[k].view() : texts_[k].view(); }

    template <class T>
    std::vector<KeptLayers<T>> run() {
        const auto model = make_model<T>(config_, table_);
        const AlignedBuffer<T> weights = lively_weights<T>(table_);
        std::vector<KeptLayers<T>> all;
        for (std::size_t k = 0; k < texts_.size(); ++k) {
            model->reserve(MicroBatchSize::of(batch(k)), true);
            PlainSink<T> gradient(table_);
            KeepingSink<T> layers(layers_);
            model->forward_backward(weights.data(), batch(k), {1, is_mlp() ? 0.0 : 0.1}, gradient,
                                    &layers);
            all.push_back(layers.kept);
        }
        return all;
    }

    ModelConfig config_ =
        GetParam() == std::string("mlp") ? ModelConfig(mlp_config()) : ModelConfig(small_config());
    ParameterTable table_{config_};
    std::vector<ActivationLayer> layers_ = activation_layers(config_);
    std::vector<OwnedBatch> texts_;
    std::vector<RowBatch> rows_;
};

/// What the columns are defined as, value by value.
LayerStatistics in_double(const ActivationLayer& shape,
                          const std::vector<const KeptLayer<double>*>& micro_batches) {
    double elements = 0.0, positions = 0.0, weight = 0.0, y = 0.0, signal = 0.0;
    std::vector<bool> alive(static_cast<std::size_t>(shape.units));
    LayerStatistics out;
    const auto each = [&](auto&& function) {
        for (const KeptLayer<double>* kept : micro_batches)
            for (std::size_t r = 0; r < kept->weights.size(); ++r)
                if (kept->weights[r] > 0.0f) function(*kept, r);
    };
    const auto units = static_cast<std::size_t>(shape.units);
    const auto inputs = static_cast<std::size_t>(shape.inputs);
    each([&](const KeptLayer<double>& kept, std::size_t r) {
        positions += 1.0;
        weight += static_cast<double>(kept.weights[r]);
        for (std::size_t i = r * inputs; i < (r + 1) * inputs; ++i)
            out.input_norm += kept.input[i] * kept.input[i];
        for (std::size_t u = 0; u < units; ++u) {
            const double derivative = kept.derivative[r * units + u];
            elements += 1.0;
            y += kept.output[r * units + u];
            signal += kept.signal[r * units + u];
            out.derivative_mean_square += derivative * derivative;
            out.saturated_fraction +=
                std::abs(derivative) < 0.01 * largest_derivative(shape.activation);
            if (derivative != 0.0) alive[u] = true;
        }
    });
    each([&](const KeptLayer<double>& kept, std::size_t r) {
        for (std::size_t i = r * units; i < (r + 1) * units; ++i) {
            out.forward_variance += std::pow(kept.output[i] - y / elements, 2);
            out.backward_variance += std::pow(kept.signal[i] - signal / elements, 2);
        }
    });
    out.forward_mean = y / elements;
    out.forward_variance /= elements;
    out.backward_variance /= elements * std::pow(weight / positions, 2);
    out.input_norm = std::sqrt(out.input_norm / positions);
    out.derivative_mean_square /= elements;
    out.saturated_fraction /= elements;
    out.dead_fraction = static_cast<double>(std::count(alive.begin(), alive.end(), false)) /
                        static_cast<double>(units);
    return out;
}

TEST_P(LayersOfModel, AgreeWithADoubleReferenceOnAnyNumberOfRanks) {
    const auto kept = run<float>();
    ASSERT_TRUE(kept[3][0].weights.empty()) << "nothing in it has a loss";
    std::vector<std::vector<LayerStatistics>> all;
    std::vector<std::vector<StuckUnits>> stuck;
    for (int count = 1; count <= world().size(); ++count) {
        const bool inside = world().rank() < count;
        const Communicator ranks = world().split(inside ? 0 : 1, world().rank());
        if (!inside) continue;
        all.push_back(collect(ranks, layers_, kept, &stuck.emplace_back()));
    }
    for (const auto& other : all) EXPECT_EQ(other, all[0]);
    for (const auto& other : stuck) EXPECT_EQ(other, stuck[0]);
    const auto exact = run<double>();
    ASSERT_EQ(all[0].size(), is_mlp() ? 3u : 2u);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        std::vector<const KeptLayer<double>*> of_layer;
        for (const KeptLayers<double>& micro_batch : exact) of_layer.push_back(&micro_batch[l]);
        const LayerStatistics expected = in_double(layers_[l], of_layer), &found = all[0][l];
        const auto near = [&](double LayerStatistics::*number, const char* what) {
            EXPECT_NEAR(found.*number, expected.*number, 2e-6 * std::abs(expected.*number))
                << what << " of " << layers_[l].name;
        };
        near(&LayerStatistics::forward_mean, "mean");
        near(&LayerStatistics::forward_variance, "forward variance");
        near(&LayerStatistics::backward_variance, "backward variance");
        near(&LayerStatistics::input_norm, "input norm");
        near(&LayerStatistics::derivative_mean_square, "derivative");
        near(&LayerStatistics::saturated_fraction, "saturated");
        near(&LayerStatistics::dead_fraction, "dead");
        EXPECT_EQ(static_cast<double>(stuck[0][l].dead.size()),
                  found.dead_fraction * static_cast<double>(layers_[l].units));
        EXPECT_GT(expected.backward_variance, 0.0);
        EXPECT_GT(expected.saturated_fraction, 0.0);
    }
}

TEST_P(LayersOfModel, WeightsThatAreTwiceAsLargeChangeNothing) {
    const auto once = collect(world(), layers_, run<float>());
    for (std::size_t k = 0; k < texts_.size(); ++k)
        for (auto* weights : {&texts_[k].weights, &rows_[k].weights})
            for (float& weight : *weights) weight *= 2.0f;
    EXPECT_EQ(collect(world(), layers_, run<float>()), once);
}

INSTANTIATE_TEST_SUITE_P(Models, LayersOfModel, testing::Values("gpt", "mlp"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Layers, NoDerivativeIsLargerThanTheLargest) {
    std::vector<double> z, y, derivative;
    for (int i = -20000; i <= 20000; ++i) z.push_back(1e-3 * i);
    y.resize(z.size());
    derivative.resize(z.size());
    for (std::size_t i = 0; i < activation_names.size(); ++i) {
        const auto kind = static_cast<Activation>(i);
        activate_with_derivative(kind, 0.3, z.data(), std::ssize(z), y.data(), derivative.data());
        double largest = 0.0;
        for (const double value : derivative) largest = std::max(largest, std::abs(value));
        EXPECT_NEAR(largest, largest_derivative(kind), 1e-6) << activation_names[i];
    }
}

}  // namespace
}  // namespace evengrad
