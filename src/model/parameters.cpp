#include <algorithm>
#include <cmath>

#include "base/aligned.hpp"
#include "base/philox.hpp"
#include <evengrad/error.hpp>
#include <evengrad/model.hpp>

namespace evengrad {

std::vector<std::string> GptConfig::validate() const {
    std::vector<std::string> problems;
    // Bounds that no sensible run meets, so that sizes below cannot overflow.
    const auto within = [&](Index value, Index low, Index high, const char* option) {
        if (value < low || value > high)
            problems.push_back(
                fmt::format("--{} must be between {} and {}, not {}", option, low, high, value));
        return value >= low && value <= high;
    };
    within(num_layers, 1, 4096, "num-layers");
    const bool hidden = within(hidden_size, 1, 65536, "hidden-size");
    within(ffn_hidden_size, 0, 1 << 20, "ffn-hidden-size");
    const bool heads = within(num_attention_heads, 1, 65535, "num-attention-heads");
    within(seq_length, 1, 1 << 20, "seq-length");
    within(vocab_size, 2, 1 << 24, "vocab-size");
    if (hidden && heads && hidden_size % num_attention_heads != 0)
        problems.push_back(
            fmt::format("--hidden-size {} is not divisible by --num-attention-heads {}",
                        hidden_size, num_attention_heads));
    if (!(dropout >= 0.0 && dropout < 1.0))
        problems.push_back(
            fmt::format("--dropout must be at least 0 and below 1, not {}", dropout));
    if (!(init_method_std > 0.0 && init_method_std < 100.0))
        problems.push_back(fmt::format("--init-method-std must be above 0 and below 100, not {}",
                                       init_method_std));
    return problems;
}

double GptConfig::training_flops(Index length, Index loss_rows) const {
    const auto c = static_cast<double>(hidden_size), f = static_cast<double>(ffn_size());
    const auto n = static_cast<double>(length), rows = static_cast<double>(loss_rows);
    const double products = 2.0 * n * (4.0 * c * c + 2.0 * c * f);
    const double attention = 2.0 * 2.0 * c * n * (n + 1.0) / 2.0;
    const double head = 2.0 * rows * c * static_cast<double>(vocab_size);
    return 3.0 * (static_cast<double>(num_layers) * (products + attention) + head);
}

ParameterTable::ParameterTable(const GptConfig& config) {
    const Index c = config.hidden_size, f = config.ffn_size();
    const double std = config.init_method_std;
    // Radford et al. 2019: residual projections scaled by 1/sqrt(residual layers).
    const double residual_std = std / std::sqrt(2.0 * static_cast<double>(config.num_layers));
    const auto norm = [&](const std::string& name) {
        add(name + ".weight", {c}, false, 0.0, 1.0);
        add(name + ".bias", {c}, false, 0.0, 0.0);
    };
    const auto linear = [&](const std::string& name, Index out, Index in, double weight_std) {
        add(name + ".weight", {out, in}, true, weight_std, 0.0);
        add(name + ".bias", {out}, false, 0.0, 0.0);
    };
    // The tied embedding gets two contributions: the head's, and those of the input's rows.
    add("wte.weight", {config.vocab_size, c}, true, std, 0.0, 2);
    add("wpe.weight", {config.seq_length, c}, true, std, 0.0);
    for (Index layer = 0; layer < config.num_layers; ++layer) {
        const std::string block = fmt::format("blocks.{}.", layer);
        norm(block + "ln_1");
        linear(block + "attn.qkv", 3 * c, c, std);
        linear(block + "attn.proj", c, c, residual_std);
        norm(block + "ln_2");
        linear(block + "mlp.fc", f, c, std);
        linear(block + "mlp.proj", c, f, residual_std);
    }
    norm("ln_f");
}

Index ParameterTable::add(std::string name, std::vector<Index> shape, bool decay, double std,
                          double constant, Index contributions) {
    Index count = 1;
    for (const Index extent : shape) count *= extent;
    Tensor tensor{std::move(name),
                  std::move(shape),
                  flat_size_,
                  count,
                  static_cast<Index>(blocks_.size()),
                  0,
                  decay,
                  std,
                  constant,
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

void initialize(const Tensor& tensor, std::uint64_t seed, Index begin, float* values, Index count) {
    if (tensor.init_std == 0.0) {
        std::fill_n(values, count, static_cast<float>(tensor.init_constant));
        return;
    }
    const Philox philox(seed, RandomPurpose::initialization);
    // Four numbers a draw, counted over the flat array, so that tensors never share one.
    for (Index i = begin; i < begin + count;) {
        const auto draw = static_cast<std::uint64_t>(i / 4);
        const auto words =
            philox(static_cast<std::uint32_t>(draw), static_cast<std::uint32_t>(draw >> 32));
        const auto first = normal_pair(words[0], words[1]);
        const auto second = normal_pair(words[2], words[3]);
        const double normal[4] = {first[0], first[1], second[0], second[1]};
        do {
            *values++ = static_cast<float>(tensor.init_std * normal[i % 4]);
            ++i;
        } while (i % 4 != 0 && i < begin + count);
    }
}

}  // namespace evengrad
