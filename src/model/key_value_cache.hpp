// What attention has to remember of the tokens before: their keys and values, layer by layer.
#pragma once

#include <algorithm>

#include "base/aligned.hpp"
#include <evengrad/model.hpp>

namespace evengrad {

/// Keys and values of one sequence's first `length()` tokens, [layers][2][seq_length, hidden].
/// Filled by Gpt::extend.
template <class T>
class KeyValueCache {
  public:
    explicit KeyValueCache(const GptConfig& config)
        : hidden_(config.hidden_size),
          capacity_(config.seq_length),
          values_(config.num_layers * 2 * capacity_ * hidden_) {}

    Index length() const { return length_; }
    Index capacity() const { return capacity_; }  ///< tokens
    void clear() { length_ = 0; }

    /// Puts n rows of [queries, keys, values], 3 hidden each, behind a layer's tokens.
    void put(Index layer, const T* qkv, Index n) {
        for (Index i = 0; i < n; ++i) {
            const T* row = qkv + i * 3 * hidden_;
            std::copy_n(row + hidden_, hidden_, keys(layer) + (length_ + i) * hidden_);
            std::copy_n(row + 2 * hidden_, hidden_, values(layer) + (length_ + i) * hidden_);
        }
    }
    /// After `put` on every layer.
    void advance(Index n) { length_ += n; }

    T* keys(Index layer) { return values_.data() + 2 * layer * capacity_ * hidden_; }
    T* values(Index layer) { return keys(layer) + capacity_ * hidden_; }

  private:
    Index hidden_, capacity_, length_ = 0;
    AlignedBuffer<T> values_;
};

}  // namespace evengrad
