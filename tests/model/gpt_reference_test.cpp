// Logits, loss and all gradients against values recorded from PyTorch (tests/reference).
#include "hdf5/file.hpp"
#include "model/gpt_fixture.hpp"

namespace evengrad::test {
namespace {

struct Reference {
    GptConfig config;
    OwnedBatch batch;
    std::vector<double> parameters, gradients;  ///< flat
    std::vector<double> logits;
    double loss = 0.0;
};

Reference read_reference() {
    const hdf5::File file = hdf5::File::open(EVENGRAD_SOURCE_DIR "/tests/reference/gpt.h5");
    const hdf5::Group root = file.root();
    Reference r;
    const auto size = [&](const char* name) { return root.get<std::int64_t>(name); };
    r.config.vocab_size = size("vocab_size");
    r.config.seq_length = size("seq_length");
    r.config.hidden_size = size("hidden");
    r.config.ffn_hidden_size = size("ffn");
    r.config.num_attention_heads = size("heads");
    r.config.num_layers = size("layers");
    constexpr std::uint64_t limit = 1 << 20;
    r.batch.tokens = root.read<std::int32_t>("tokens", limit);
    r.batch.targets = root.read<std::int32_t>("targets", limit);
    r.batch.lengths = root.read<std::int32_t>("lengths", limit);
    for (const double weight : root.read<double>("weights", limit))
        r.batch.weights.push_back(static_cast<float>(weight));
    for (std::size_t s = 0; s < r.batch.lengths.size(); ++s) {
        r.batch.keys.push_back(static_cast<std::int32_t>(s));
        r.batch.ids.push_back(static_cast<std::int64_t>(s));
    }
    r.logits = root.read<double>("logits", limit);
    r.loss = root.read<double>("loss", 1).front();
    const ParameterTable table(r.config);
    for (auto* values : {&r.parameters, &r.gradients}) {
        values->assign(static_cast<std::size_t>(table.flat_size()), 0.0);
        for (const Tensor& tensor : table.tensors()) {
            std::string path = tensor.name;
            std::replace(path.begin(), path.end(), '.', '/');
            path = (values == &r.parameters ? "parameters/" : "gradients/") + path;
            const auto stored = root.read<double>(path, limit);
            EXPECT_EQ(static_cast<Index>(stored.size()), tensor.count) << path;
            std::copy(stored.begin(), stored.end(), values->begin() + tensor.offset);
        }
    }
    return r;
}

template <class T>
void compare(double tolerance) {
    const Reference r = read_reference();
    const ParameterTable table(r.config);
    AlignedBuffer<T> weights(table.flat_size());
    for (Index i = 0; i < table.flat_size(); ++i)
        weights[i] = static_cast<T>(r.parameters[static_cast<std::size_t>(i)]);
    Gpt<T> gpt(r.config, table);
    gpt.reserve(MicroBatchSize::of(r.batch.view()), true);

    OwnedBatch all_rows = r.batch;
    std::fill(all_rows.weights.begin(), all_rows.weights.end(), 1.0f);
    std::vector<T> logits(r.logits.size());
    gpt.logits(weights.data(), all_rows.view(), logits.data());
    double difference = 0.0;
    for (std::size_t i = 0; i < logits.size(); ++i)
        difference += std::pow(static_cast<double>(logits[i]) - r.logits[i], 2);
    EXPECT_LT(std::sqrt(difference) / norm_of(r.logits), tolerance) << "logits";

    PlainSink<T> sink(table);
    const double loss = gpt.forward_backward(weights.data(), r.batch.view(), {}, sink).loss;
    EXPECT_NEAR(loss, r.loss, tolerance * std::abs(r.loss));
    const double norm = norm_of(r.gradients);
    double worst = 0.0;
    for (const Tensor& tensor : table.tensors()) {
        const double error = tensor_error(tensor, sink.sum, r.gradients, norm);
        EXPECT_LT(error, tolerance) << tensor.name;
        worst = std::max(worst, error);
    }
    testing::Test::RecordProperty("worst_relative_error", fmt::format("{:.2e}", worst));
    fmt::print("worst tensor: {:.2e}, allowed {:.0e}\n", worst, tolerance);
}

TEST(GptReference, PyTorchInDouble) {
    compare<double>(1e-10);
}
TEST(GptReference, PyTorchInFloat) {
    compare<float>(1e-5);
}

}  // namespace
}  // namespace evengrad::test
