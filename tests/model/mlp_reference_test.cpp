// Outputs, loss and all gradients of multilayer perceptrons against values recorded from PyTorch
// (tests/reference): every activation, with and without normalization, residuals, both losses.
#include "hdf5/file.hpp"
#include "model/mlp_fixture.hpp"

namespace evengrad::test {
namespace {

constexpr std::uint64_t limit = 1 << 20;

class MlpReference : public testing::TestWithParam<std::size_t> {
  protected:
    template <class T>
    void compare(double tolerance) {
        const hdf5::File file = hdf5::File::open(EVENGRAD_SOURCE_DIR "/tests/reference/mlp.h5");
        const hdf5::Group root = file.root();
        const hdf5::Group recorded = root.open_group(activation_names[GetParam()]);
        const auto flag = [&](const char* name) { return recorded.get<std::int64_t>(name) != 0; };
        MlpConfig config;
        for (const std::int32_t width : root.read<std::int32_t>("layer_widths", limit))
            config.layer_widths.push_back(width);
        config.activation = static_cast<Activation>(GetParam());
        config.negative_slope = root.get<double>("negative_slope");
        config.norm = flag("norm") ? MlpNorm::layernorm : MlpNorm::none;
        config.residual = flag("residual");
        config.loss = flag("mse") ? MlpLoss::mse : MlpLoss::cross_entropy;

        const auto targets = root.read<std::int32_t>("targets", limit);
        RowBatch batch(config, static_cast<std::int32_t>(targets.size()));
        batch.targets = targets;
        const auto floats = [&](const char* name) {
            const auto numbers = root.read<double>(name, limit);
            std::vector<float> out;
            for (const double number : numbers) out.push_back(static_cast<float>(number));
            return out;
        };
        batch.features = floats("features");
        batch.values = floats("values");
        batch.weights = floats("weights");

        const ParameterTable table(config);
        const auto flat = [&](const char* name) {  // in the table's order, with its gaps
            const auto dense = recorded.read<double>(name, limit);
            std::vector<double> out(static_cast<std::size_t>(table.flat_size()), 0.0);
            EXPECT_EQ(static_cast<Index>(dense.size()), table.parameter_count()) << name;
            auto from = dense.begin();
            for (const Tensor& tensor : table.tensors()) {
                std::copy_n(from, tensor.count, out.begin() + tensor.offset);
                from += tensor.count;
            }
            return out;
        };
        AlignedBuffer<T> weights(table.flat_size());
        const auto parameters = flat("parameters"), gradients = flat("gradients");
        for (Index i = 0; i < table.flat_size(); ++i)
            weights[i] = static_cast<T>(parameters[static_cast<std::size_t>(i)]);

        Mlp<T> mlp(config, table);
        mlp.reserve(MicroBatchSize::of(batch.view()), true);
        const auto expected = recorded.read<double>("outputs", limit);
        std::vector<T> outputs(expected.size());
        mlp.outputs(weights.data(), batch.view(), outputs.data());
        double difference = 0.0;
        for (std::size_t i = 0; i < outputs.size(); ++i)
            difference += std::pow(static_cast<double>(outputs[i]) - expected[i], 2);
        EXPECT_LT(std::sqrt(difference) / norm_of(expected), tolerance) << "outputs";

        PlainSink<T> sink(table);
        const double loss = mlp.forward_backward(weights.data(), batch.view(), {}, sink).loss;
        const double recorded_loss = recorded.read<double>("loss", 1).front();
        EXPECT_NEAR(loss, recorded_loss, tolerance * std::abs(recorded_loss));
        const double norm = norm_of(gradients);
        double worst = 0.0;
        for (const Tensor& tensor : table.tensors()) {
            const double error = tensor_error(tensor, sink.sum, gradients, norm);
            EXPECT_LT(error, tolerance) << tensor.name;
            worst = std::max(worst, error);
        }
        fmt::print("{}: worst tensor {:.2e}, allowed {:.0e}\n", activation_names[GetParam()], worst,
                   tolerance);
    }
};

TEST_P(MlpReference, PyTorchInDouble) {
    compare<double>(1e-10);
}
TEST_P(MlpReference, PyTorchInFloat) {
    compare<float>(1e-5);
}

INSTANTIATE_TEST_SUITE_P(Kinds, MlpReference,
                         testing::Range<std::size_t>(0, activation_names.size()));

}  // namespace
}  // namespace evengrad::test
