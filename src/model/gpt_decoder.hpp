// A Gpt that reads one text from front to back: what comes next, token after token.
#pragma once

#include <span>
#include <vector>

#include "model/gpt.hpp"

namespace evengrad {

/// Keeps keys and values of the tokens it was fed, so that one more costs one position's work.
///
/// A window of at most seq_length tokens is seen. Positions are learned and absolute, so a window
/// can't slide: when one token more would not fit, the last half of it, that token included, is
/// read again as a new window. So half of seq_length is always in sight, all of it at most, and a
/// token costs two positions' work on average, however long the text.
template <class T>
class GptDecoder {
  public:
    /// `weights` is the flat parameter array; it and the table must outlive this. Allocates all.
    GptDecoder(const GptConfig& config, const ParameterTable& table, const T* weights);

    /// Forgets all tokens: another text begins.
    void restart();
    /// Logits [vocab_size] of what follows all tokens fed since restart, these being the last; at
    /// least one. Of a beginning longer than seq_length only the last seq_length are seen. Valid
    /// until the next call.
    std::span<const T> feed(std::span<const std::int32_t> tokens);

  private:
    const T* weights_;
    Gpt<T> gpt_;
    KeyValueCache<T> cache_;
    std::vector<std::int32_t> window_;  ///< the tokens in the cache
    std::vector<T> logits_;
};

}  // namespace evengrad
