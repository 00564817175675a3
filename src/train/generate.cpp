#include "train/generate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/philox.hpp"
#include "model/gpt.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad {

std::vector<std::string> GenerateConfig::validate() const {
    std::vector<std::string> problems;
    if (max_new_tokens < 1)
        problems.push_back(
            fmt::format("--max-new-tokens must be at least 1, not {}", max_new_tokens));
    if (!(temperature >= 0.0 && temperature <= 100.0))
        problems.push_back(
            fmt::format("--temperature must be between 0 and 100, not {}", temperature));
    if (top_k < 0) problems.push_back(fmt::format("--top-k must be at least 0, not {}", top_k));
    if (seed >= seed_limit)
        problems.push_back(fmt::format("--seed must be below 2^56, not {}", seed));
    return problems;
}

std::int32_t sample(const GenerateConfig& config, std::vector<float> logits,
                    std::int64_t position) {
    std::vector<std::int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    const auto likelier = [&](std::int32_t a, std::int32_t b) {
        const float x = logits[static_cast<std::size_t>(a)],
                    y = logits[static_cast<std::size_t>(b)];
        return x != y ? x > y : a < b;
    };
    if (config.temperature == 0.0) return *std::min_element(order.begin(), order.end(), likelier);
    std::sort(order.begin(), order.end(), likelier);
    if (config.top_k > 0 && static_cast<std::size_t>(config.top_k) < order.size())
        order.resize(static_cast<std::size_t>(config.top_k));
    const auto logit = [&](std::int32_t token) {
        return static_cast<double>(logits[static_cast<std::size_t>(token)]);
    };
    std::vector<double> cumulative;
    double total = 0.0;
    for (const std::int32_t token : order) {
        total += std::exp((logit(token) - logit(order.front())) / config.temperature);
        cumulative.push_back(total);
    }
    const auto place = static_cast<std::uint64_t>(position);
    const Philox philox(config.seed, RandomPurpose::sampling);
    const auto words =
        philox(static_cast<std::uint32_t>(place), static_cast<std::uint32_t>(place >> 32));
    const double drawn = uniform_open(words[0]) * total;
    const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), drawn);
    const auto index = std::min<std::ptrdiff_t>(found - cumulative.begin(),
                                                static_cast<std::ptrdiff_t>(order.size()) - 1);
    return order[static_cast<std::size_t>(index)];
}

std::vector<std::int32_t> generate(const GptConfig& model, const ParameterTable& table,
                                   const std::vector<float>& weights, const GenerateConfig& config,
                                   std::vector<std::int32_t> tokens,
                                   const std::function<void(std::int32_t)>& emit) {
    EVENGRAD_CHECK(!tokens.empty(), "generation begins with at least one token");
    // The flat array, aligned as in training.
    AlignedBuffer<float> aligned(table.flat_size());
    std::copy(weights.begin(), weights.end(), aligned.data());
    Gpt<float> gpt(model, table);
    gpt.reserve({model.seq_length, model.seq_length, 1}, false);
    std::vector<float> logits(static_cast<std::size_t>(model.vocab_size));
    for (std::int64_t drawn = 0; drawn < config.max_new_tokens; ++drawn) {
        const std::size_t length =
            std::min(tokens.size(), static_cast<std::size_t>(model.seq_length));
        const auto window = std::span<const std::int32_t>(tokens).last(length);
        const auto size = static_cast<std::int32_t>(length);
        std::vector<float> asked(length, 0.0f);
        asked.back() = 1.0f;  // logits of the last position only
        constexpr std::int32_t key = 0;
        constexpr std::int64_t id = 0;
        gpt.logits(aligned.data(), {{&size, 1}, {&key, 1}, {&id, 1}, window, window, asked},
                   logits.data());
        const std::int32_t next = sample(config, logits, drawn);
        if (next == ByteTokenizer::end_of_text) break;
        tokens.push_back(next);
        emit(next);
    }
    return tokens;
}

}  // namespace evengrad
