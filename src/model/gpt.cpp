#include "model/gpt.hpp"

#include <algorithm>

#include "kernels/activations.hpp"
#include "kernels/attention.hpp"
#include "model/gpt_pass.hpp"

namespace evengrad {

template <class T>
Gpt<T>::Gpt(const GptConfig& config, const ParameterTable& table)
    : config_(config),
      table_(&table),
      wte_(table.find("wte.weight")),
      wpe_(table.find("wpe.weight")),
      ln_f_(table.find("ln_f.weight")) {
    for (Index layer = 0; layer < config.num_layers; ++layer) {
        const auto find = [&](const char* part) {
            return table.find(fmt::format("blocks.{}.{}.weight", layer, part));
        };
        blocks_.push_back({find("ln_1"), find("attn.qkv"), find("attn.proj"), find("ln_2"),
                           find("mlp.fc"), find("mlp.proj")});
    }
}

/// Rows of logits held at a time: about 4 MB of floats, so that a chunk stays in the caches.
template <class T>
Index Gpt<T>::head_chunk() const {
    return std::clamp<Index>((Index{1} << 20) / config_.vocab_size, 64, 1024);
}

template <class T>
std::size_t Gpt<T>::scratch_bytes(const MicroBatchSize& size, bool backward) const {
    const Index n = size.tokens, c = config_.hidden_size, f = config_.ffn_size();
    const auto room = [](Index count) { return arena_bytes<T>(count); };
    // Activations of one block; the backward pass needs those of all, generation of one only.
    const std::size_t block = 3 * room(n * c) + 4 * room(n) + room(3 * n * c) +
                              room(config_.num_attention_heads * n) + room(n * f);
    std::size_t bytes = (backward ? static_cast<std::size_t>(config_.num_layers) : 1) * block;
    bytes += 2 * room(n * c);        // last output, normalized input
    bytes += room(n * f) + room(c);  // activated; a row of dropout factors
    bytes += attention_scratch<T>(size.longest_sequence);
    const Index rows = size.loss_rows;
    bytes += 2 * room(rows * c) + 2 * room(rows) + room(rows);  // the head's rows
    bytes += 2 * arena_bytes<Index>(rows) + arena_bytes<float>(rows);
    bytes += room(std::min(rows, head_chunk()) * config_.vocab_size);
    if (backward) {
        bytes += room(table_->largest_tensor()) + room(4 * std::max(c, f));
        bytes += 3 * room(n * c) + room(3 * n * c) + 2 * room(n * f);  // gradients of activations
        bytes += room(n * c) + 2 * arena_bytes<Index>(n);              // rows of the embedding
        bytes += 2 * room(rows * c);
    }
    return bytes + 64 * cache_line;
}

template <class T>
void Gpt<T>::drop_rows(const Pass& pass, Index site, T* x) {
    if (pass.dropout.probability == 0.0) return;
    const Index c = config_.hidden_size;
    const Arena::Frame frame(arena_);
    T* factors = arena_.take<T>(c);
    for (std::size_t s = 0; s < pass.batch.lengths.size(); ++s)
        for (std::int32_t position = 0; position < pass.batch.lengths[s]; ++position, x += c) {
            dropout_factors(pass.dropout, static_cast<std::uint32_t>(site),
                            static_cast<std::uint32_t>(pass.batch.keys[s]),
                            static_cast<std::uint32_t>(position), c, factors);
            multiply_into(x, factors, c);
        }
}

template <class T>
void Gpt<T>::forward_trunk(Pass& pass) {
    const Index n = pass.tokens, c = config_.hidden_size, f = config_.ffn_size();
    const Index kept = pass.sink ? config_.num_layers : 1;
    for (Index layer = 0; layer < config_.num_layers; ++layer) {
        if (layer >= kept) {
            // Without a backward pass all blocks share the activations of one.
            pass.blocks.push_back(pass.blocks.front());
            continue;
        }
        BlockActivations a{};
        a.input = arena_.take<T>(n * c);
        a.mean_1 = arena_.take<T>(n);
        a.rstd_1 = arena_.take<T>(n);
        a.qkv = arena_.take<T>(3 * n * c);
        a.attention = arena_.take<T>(n * c);
        a.log_sum = arena_.take<T>(config_.num_attention_heads * n);
        a.middle = arena_.take<T>(n * c);
        a.mean_2 = arena_.take<T>(n);
        a.rstd_2 = arena_.take<T>(n);
        a.hidden = arena_.take<T>(n * f);
        pass.blocks.push_back(a);
    }
    pass.output = arena_.take<T>(n * c);
    pass.normalized = arena_.take<T>(n * c);

    // x = wte[token] + wpe[position]
    T* x = pass.blocks.front().input;
    const Index past = pass.cache ? pass.cache->length() : 0;
    Index row = 0;
    for (const std::int32_t length : pass.batch.lengths) {
        for (Index position = past; position < past + length; ++position, ++row) {
            const Index token = pass.batch.tokens[static_cast<std::size_t>(row)];
            std::copy_n(pass.parameter(wte_) + token * c, c, x + row * c);
            add_into(x + row * c, pass.parameter(wpe_) + position * c, c);
        }
    }
    drop_rows(pass, 0, x);
    for (Index layer = 0; layer < config_.num_layers; ++layer) {
        const bool last = layer + 1 == config_.num_layers;
        T* output = last ? pass.output : pass.blocks[static_cast<std::size_t>(layer + 1)].input;
        forward_block(pass, layer, output);
    }
}

template <class T>
void Gpt<T>::forward_block(Pass& pass, Index layer, T* output) {
    const Index n = pass.tokens, c = config_.hidden_size, f = config_.ffn_size();
    const BlockTensors& w = blocks_[static_cast<std::size_t>(layer)];
    const BlockActivations& a = pass.blocks[static_cast<std::size_t>(layer)];
    const AttentionShape heads{config_.num_attention_heads, config_.head_size()};

    layer_norm_statistics(a.input, n, c, a.mean_1, a.rstd_1);
    norm(pass, w.ln_1, a.input, a.mean_1, a.rstd_1, n, pass.normalized);
    linear(pass, w.qkv, pass.normalized, n, a.qkv);
    if (pass.cache) {
        pass.cache->put(layer, a.qkv, n);
        attention_extend(a.qkv, 3 * c, n, pass.cache->keys(layer), pass.cache->values(layer),
                         pass.cache->length(), heads, arena_, a.attention);
    } else {
        attention_forward(a.qkv, pass.batch.lengths, pass.batch.keys, heads, pass.dropout, layer,
                          arena_, a.attention, a.log_sum);
    }
    linear(pass, w.attn_proj, a.attention, n, a.middle);
    drop_rows(pass, 2 * layer + 1, a.middle);
    add_into(a.middle, a.input, n * c);

    layer_norm_statistics(a.middle, n, c, a.mean_2, a.rstd_2);
    norm(pass, w.ln_2, a.middle, a.mean_2, a.rstd_2, n, pass.normalized);
    linear(pass, w.fc, pass.normalized, n, a.hidden);
    const Arena::Frame frame(arena_);
    T* activated = arena_.take<T>(n * f);
    activate(config_.activation, config_.negative_slope, a.hidden, n * f, activated);
    linear(pass, w.mlp_proj, activated, n, output);
    drop_rows(pass, 2 * layer + 2, output);
    add_into(output, a.middle, n * c);
}

template <class T>
void Gpt<T>::backward_block(Pass& pass, Index layer) {
    const Index n = pass.tokens, c = config_.hidden_size, f = config_.ffn_size();
    const BlockTensors& w = blocks_[static_cast<std::size_t>(layer)];
    const BlockActivations& a = pass.blocks[static_cast<std::size_t>(layer)];
    const AttentionShape heads{config_.num_attention_heads, config_.head_size()};
    const bool drops = pass.dropout.probability > 0.0;
    const Arena::Frame frame(arena_);
    // The gradient of a branch's output: that of the residual sum, through the dropout mask.
    T* masked = drops ? arena_.take<T>(n * c) : nullptr;
    const auto branch = [&](Index site) -> const T* {
        if (!drops) return pass.d_residual;
        std::copy_n(pass.d_residual, n * c, masked);
        drop_rows(pass, site, masked);
        return masked;
    };
    {
        const Arena::Frame mlp(arena_);
        T* activated = arena_.take<T>(n * f);
        T* derivative = arena_.take<T>(n * f);
        T* d_hidden = arena_.take<T>(n * f);
        activate_with_derivative(config_.activation, config_.negative_slope, a.hidden, n * f,
                                 activated, derivative);
        linear_backward(pass, w.mlp_proj, activated, branch(2 * layer + 2), n, d_hidden);
        multiply_into(d_hidden, derivative, n * f);
        norm(pass, w.ln_2, a.middle, a.mean_2, a.rstd_2, n, pass.normalized);
        if (pass.layers)
            pass.layers->add(layer, {n, pass.normalized, activated, derivative, d_hidden,
                                     pass.batch.weights.data()});
        linear_backward(pass, w.fc, pass.normalized, d_hidden, n, pass.d_normalized);
        norm_backward(pass, w.ln_2, a.middle, a.mean_2, a.rstd_2, pass.d_normalized, n,
                      pass.d_residual);
    }
    T* d_qkv = arena_.take<T>(3 * n * c);
    linear_backward(pass, w.attn_proj, a.attention, branch(2 * layer + 1), n, pass.d_normalized);
    attention_backward(a.qkv, a.attention, a.log_sum, pass.d_normalized, pass.batch.lengths,
                       pass.batch.keys, heads, pass.dropout, layer, arena_, d_qkv);
    norm(pass, w.ln_1, a.input, a.mean_1, a.rstd_1, n, pass.normalized);
    linear_backward(pass, w.qkv, pass.normalized, d_qkv, n, pass.d_normalized);
    norm_backward(pass, w.ln_1, a.input, a.mean_1, a.rstd_1, pass.d_normalized, n, pass.d_residual);
}

template <class T>
LossSums Gpt<T>::forward(const T* weights, const MicroBatch& batch, const DropoutKey& dropout) {
    const Arena::Frame frame(arena_);
    Pass pass(*table_, weights, batch, dropout, nullptr);
    if (MicroBatchSize::of(batch).loss_rows == 0) return {};
    forward_trunk(pass);
    return head(pass, false);
}

template <class T>
LossSums Gpt<T>::forward_backward(const T* weights, const MicroBatch& batch,
                                  const DropoutKey& dropout, GradientSink<T>& sink,
                                  LayerSink<T>* layers) {
    const Arena::Frame frame(arena_);
    Pass pass(*table_, weights, batch, dropout, &sink);
    pass.layers = layers;
    const MicroBatchSize size = MicroBatchSize::of(batch);
    if (size.loss_rows == 0) return {};  // no loss, no gradient: all contributions are zero
    forward_trunk(pass);
    const Index n = pass.tokens, c = config_.hidden_size, f = config_.ffn_size();
    pass.gradient = arena_.take<T>(table_->largest_tensor());
    pass.small = arena_.take<T>(4 * std::max(c, f));
    pass.d_residual = arena_.take<T>(n * c);
    pass.d_normalized = arena_.take<T>(n * c);
    pass.head_rows = arena_.take<T>(n * c);
    pass.order = arena_.take<Index>(n);
    const LossSums sums = head(pass, true);
    for (Index layer = config_.num_layers - 1; layer >= 0; --layer) backward_block(pass, layer);
    backward_embedding(pass);
    return sums;
}

template class Gpt<float>;
template class Gpt<double>;

}  // namespace evengrad
