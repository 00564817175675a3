#include "data/memory_store.hpp"

#include <algorithm>
#include <cmath>

#include <evengrad/error.hpp>

namespace evengrad {

MemoryStore::MemoryStore(Documents documents, std::shared_ptr<const Tokenizer> tokenizer)
    : documents_(std::move(documents)), tokenizer_(std::move(tokenizer)) {
    const Documents& d = documents_;
    const auto refuse = [&](const std::string& what) {
        throw Error(fmt::format("{}: {}", d.source, what));
    };
    if (d.weights.size() != d.tokens.size())
        refuse(fmt::format("{} tokens with {} weights", d.tokens.size(), d.weights.size()));
    if (d.offsets.size() != d.lines.size() + 1 || d.offsets.front() != 0 ||
        d.offsets.back() != static_cast<std::int64_t>(d.tokens.size()))
        refuse(fmt::format("{} documents don't fill {} tokens", d.lines.size(), d.tokens.size()));
    if (d.lines.empty()) refuse("no documents");
    for (std::size_t i = 0; i + 1 < d.offsets.size(); ++i)
        if (d.offsets[i + 1] - d.offsets[i] < 2)
            refuse(fmt::format("document {} has fewer than two tokens", i));
    const auto [least, most] = std::minmax_element(d.tokens.begin(), d.tokens.end());
    if (*least < 0 || *most >= tokenizer_->vocabulary_size())
        refuse(fmt::format("tokens from {} to {}, the vocabulary has {}", *least, *most,
                           tokenizer_->vocabulary_size()));
    for (const float weight : d.weights)
        if (!(weight >= 0.0f && weight <= static_cast<float>(largest_weight)) ||
            round_weight(static_cast<double>(weight)) != weight)
            refuse(fmt::format("a token weight of {}", weight));
    TokenDigest digest;
    for (std::size_t i = 0; i + 1 < d.offsets.size(); ++i) {
        const auto begin = static_cast<std::size_t>(d.offsets[i]);
        const auto count = static_cast<std::size_t>(d.offsets[i + 1]) - begin;
        digest.add(std::span(d.tokens).subspan(begin, count),
                   std::span(d.weights).subspan(begin, count));
        digest.end_document();
    }
    digest_ = digest.hex();
}

void MemoryStore::read(std::int64_t begin, std::span<std::int32_t> tokens,
                       std::span<float> weights) const {
    const auto size = static_cast<std::int64_t>(std::max(tokens.size(), weights.size()));
    EVENGRAD_CHECK(begin >= 0 && size <= this->tokens() - begin, "tokens {}+{} of {}", begin, size,
                   this->tokens());
    std::copy_n(documents_.tokens.begin() + begin, tokens.size(), tokens.begin());
    std::copy_n(documents_.weights.begin() + begin, weights.size(), weights.begin());
}

std::string MemoryStore::place(std::int64_t document) const {
    const std::int64_t line = documents_.lines[static_cast<std::size_t>(document)];
    return line > 0 ? fmt::format("{} line {}", name(), line)
                    : fmt::format("{} document {}", name(), document + 1);
}

}  // namespace evengrad
