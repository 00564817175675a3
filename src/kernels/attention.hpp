// Causal multi-head attention of sequences that lie end to end.
#pragma once

#include <cstdint>
#include <span>

#include "base/aligned.hpp"
#include "kernels/rows.hpp"

namespace evengrad {

struct AttentionShape {
    Index heads = 1;
    Index head_size = 1;
    Index channels() const { return heads * head_size; }
};

/// Room that attention needs in an arena for sequences of at most `longest` tokens, bytes.
template <class T>
std::size_t attention_scratch(Index longest);

/// out = softmax(Q K^T / sqrt(head_size), causal within each sequence) V.
///
/// qkv: [N, 3 channels]: queries, keys, values; heads side by side within each. out: [N, channels].
/// log_sum: [heads, N], the log of each row's softmax denominator, kept for the way back: the
/// probabilities are recomputed there instead of being stored (Dao et al., "FlashAttention", 2022).
/// `lengths` and `keys` are those of the sequences, `layer` sets dropout sites apart.
template <class T>
void attention_forward(const T* qkv, std::span<const std::int32_t> lengths,
                       std::span<const std::int32_t> keys, AttentionShape shape,
                       const DropoutKey& dropout, Index layer, Arena& arena, T* out, T* log_sum);

/// The same for the last n tokens of one sequence, whose keys and values are kept apart.
///
/// queries: [n, .] rows `stride` apart. keys, values: [past + n, channels]. out: [n, channels].
/// Needs attention_scratch(past + n) of the arena.
template <class T>
void attention_extend(const T* queries, Index stride, Index n, const T* keys, const T* values,
                      Index past, AttentionShape shape, Arena& arena, T* out);

/// d_qkv: [N, 3 channels], overwritten. d_out: [N, channels].
template <class T>
void attention_backward(const T* qkv, const T* out, const T* log_sum, const T* d_out,
                        std::span<const std::int32_t> lengths, std::span<const std::int32_t> keys,
                        AttentionShape shape, const DropoutKey& dropout, Index layer, Arena& arena,
                        T* d_qkv);

}  // namespace evengrad
