// GPT-2's architecture, forward beside backward, for one micro-batch at a time.
//
// A function of weights and micro-batch alone: same bits on every rank. Sequences lie end to end;
// a position attends within its own sequence. Only positions that carry a loss reach the head.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/key_value_cache.hpp"
#include "model/model.hpp"

namespace evengrad {

template <class T>
class Gpt final : public Model<T> {
  public:
    Gpt(const GptConfig& config, const ParameterTable& table);

    std::size_t scratch_bytes(const MicroBatchSize& size, bool backward) const override;
    LossSums forward(const T* weights, const MicroBatch& batch,
                     const DropoutKey& dropout = {}) override;
    /// Order of the gradients: head, final norm, blocks from the last to the first, embeddings.
    LossSums forward_backward(const T* weights, const MicroBatch& batch, const DropoutKey& dropout,
                              GradientSink<T>& sink, LayerSink<T>* layers = nullptr) override;

    /// Logits of the positions whose weight is not 0, in order. logits: [those, vocab_size].
    void logits(const T* weights, const MicroBatch& batch, T* logits);

    /// Logits of the last of `tokens`, which follow those in the cache and join it: at least one,
    /// no more than it has room for. logits: [vocab_size], as logits() gives for the whole
    /// sequence, to rounding. Needs reserve({tokens, tokens in the cache then, 1}, false).
    void extend(const T* weights, KeyValueCache<T>& cache, std::span<const std::int32_t> tokens,
                T* logits);

  private:
    struct BlockTensors {
        Index ln_1, qkv, attn_proj, ln_2, fc, mlp_proj;  ///< the weight; its bias is the next
    };
    struct BlockActivations {
        T *input, *mean_1, *rstd_1, *qkv, *attention, *log_sum, *middle, *mean_2, *rstd_2, *hidden;
    };
    struct Pass;  ///< one micro-batch under way

    Arena& arena() override { return arena_; }
    void forward_trunk(Pass& pass);
    void forward_block(Pass& pass, Index layer, T* output);
    void row_logits(const Pass& pass, Index row, T* logits);
    LossSums head(Pass& pass, bool backward);
    void backward_block(Pass& pass, Index layer);
    void backward_embedding(Pass& pass);

    /// Multiplies x: [N, hidden] by the mask of one site. Nothing without dropout.
    void drop_rows(const Pass& pass, Index site, T* x);

    Index head_chunk() const;

    GptConfig config_;
    const ParameterTable* table_;
    Index wte_, wpe_, ln_f_;
    std::vector<BlockTensors> blocks_;
    Arena arena_;
};

}  // namespace evengrad
