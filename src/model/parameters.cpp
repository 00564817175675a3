#include <algorithm>
#include <cmath>

#include "base/aligned.hpp"
#include <evengrad/error.hpp>
#include <evengrad/model.hpp>

namespace evengrad {

ParameterTable::ParameterTable(const ModelConfig& config) {
    if (config.is_mlp())
        add_mlp(config.mlp());
    else
        add_gpt(config.gpt());
}

void ParameterTable::add_norm(const std::string& name, Index size) {
    add(name + ".weight", {size}, false, {Initializer::Kind::constant, 1.0});
    add(name + ".bias", {size}, false, {Initializer::Kind::constant, 0.0});
}

void ParameterTable::add_linear(const std::string& name, Index out, Index in,
                                const Initializer& initializer) {
    add(name + ".weight", {out, in}, true, initializer);
    add(name + ".bias", {out}, false, {Initializer::Kind::constant, 0.0});
}

void ParameterTable::add_gpt(const GptConfig& config) {
    const Index c = config.hidden_size, f = config.ffn_size();
    const InitConfig& init = config.init;
    const Initializer embedding{Initializer::Kind::normal, init.std};
    // `residual`: whether its output is added to the residual stream.
    const auto linear = [&](const std::string& name, Index out, Index in, Activation activation,
                            bool residual) {
        Initializer initializer =
            initializer_of(init, out, in, gain_of(init, activation, config.negative_slope));
        if (residual && init.scheme == InitScheme::gpt2)
            initializer.scale /= std::sqrt(2.0 * static_cast<double>(config.num_layers));
        add_linear(name, out, in, initializer);
    };
    // The tied embedding gets two contributions: the head's, and those of the input's rows.
    add("wte.weight", {config.vocab_size, c}, true, embedding, 2);
    add("wpe.weight", {config.seq_length, c}, true, embedding);
    for (Index layer = 0; layer < config.num_layers; ++layer) {
        const std::string block = fmt::format("blocks.{}.", layer);
        add_norm(block + "ln_1", c);
        linear(block + "attn.qkv", 3 * c, c, Activation::identity, false);
        linear(block + "attn.proj", c, c, Activation::identity, true);
        add_norm(block + "ln_2", c);
        linear(block + "mlp.fc", f, c, config.activation, false);
        linear(block + "mlp.proj", c, f, Activation::identity, true);
    }
    add_norm("ln_f", c);
}

void ParameterTable::add_mlp(const MlpConfig& config) {
    const Index last = config.layers() - 1;
    for (Index layer = 0; layer <= last; ++layer) {
        const std::string name = fmt::format("layers.{}", layer);
        const Index out = config.width(layer + 1), in = config.width(layer);
        const Activation next = layer < last ? config.activation : Activation::identity;
        const double gain = gain_of(config.init, next, config.negative_slope);
        add_linear(name, out, in, initializer_of(config.init, out, in, gain));
        if (layer < last && config.norm == MlpNorm::layernorm) add_norm(name + ".norm", out);
    }
}

Index ParameterTable::add(std::string name, std::vector<Index> shape, bool decay,
                          Initializer initializer, Index contributions) {
    Index count = 1;
    for (const Index extent : shape) count *= extent;
    Tensor tensor{std::move(name),
                  std::move(shape),
                  flat_size_,
                  count,
                  static_cast<Index>(blocks_.size()),
                  0,
                  decay,
                  initializer,
                  contributions};
    for (Index begin = 0; begin < count; begin += block_size)
        blocks_.push_back({size(), flat_size_ + begin, std::min(block_size, count - begin)});
    tensor.block_count = static_cast<Index>(blocks_.size()) - tensor.first_block;
    flat_size_ += round_up<Index>(count, 16);
    tensors_.push_back(std::move(tensor));
    return size() - 1;
}

Index ParameterTable::parameter_count() const {
    Index total = 0;
    for (const Tensor& tensor : tensors_) total += tensor.count;
    return total;
}

Index ParameterTable::largest_tensor() const {
    Index largest = 0;
    for (const Tensor& tensor : tensors_) largest = std::max(largest, tensor.count);
    return largest;
}

Index ParameterTable::find(const std::string& name) const {
    for (Index t = 0; t < size(); ++t)
        if ((*this)[t].name == name) return t;
    throw Error(fmt::format("there is no tensor '{}' in this model", name));
}

}  // namespace evengrad
