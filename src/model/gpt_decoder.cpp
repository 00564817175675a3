#include "model/gpt_decoder.hpp"

namespace evengrad {

template <class T>
GptDecoder<T>::GptDecoder(const GptConfig& config, const ParameterTable& table, const T* weights)
    : weights_(weights),
      gpt_(config, table),
      cache_(config),
      logits_(static_cast<std::size_t>(config.vocab_size)) {
    gpt_.reserve({config.seq_length, config.seq_length, 1}, false);
    window_.reserve(static_cast<std::size_t>(config.seq_length));
}

template <class T>
void GptDecoder<T>::restart() {
    cache_.clear();
    window_.clear();
}

template <class T>
std::span<const T> GptDecoder<T>::feed(std::span<const std::int32_t> tokens) {
    const auto capacity = static_cast<std::size_t>(cache_.capacity());
    if (window_.size() + tokens.size() > capacity) {
        const std::size_t kept = window_.empty() ? capacity : (capacity + 1) / 2;
        const std::size_t fresh = std::min(kept, tokens.size()), old = kept - fresh;
        window_.erase(window_.begin(), window_.end() - static_cast<std::ptrdiff_t>(old));
        window_.insert(window_.end(), tokens.end() - static_cast<std::ptrdiff_t>(fresh),
                       tokens.end());
        cache_.clear();
        tokens = window_;
    } else {
        window_.insert(window_.end(), tokens.begin(), tokens.end());
    }
    gpt_.extend(weights_, cache_, tokens, logits_.data());
    return logits_;
}

template class GptDecoder<float>;
template class GptDecoder<double>;

}  // namespace evengrad
