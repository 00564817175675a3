// Datasets made of numbers, for tests of planning.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "base/philox.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/plan.hpp>

namespace evengrad::test {

/// A token for every number.
class NumberTokenizer final : public Tokenizer {
  public:
    NumberTokenizer()
        : Tokenizer({.kind = "ids", .vocabulary_size = 1 << 30, .end_of_text = 0, .model = {}}) {}
    void encode(std::string_view, std::vector<std::int32_t>&) const override {}
    std::string_view text_of(std::int32_t) const override { return "#"; }
};

inline Dataset dataset(Documents documents) {
    return Dataset(std::move(documents), std::make_shared<const NumberTokenizer>());
}

/// Documents of `sizes` tokens (two at least). Token i is i, so that a target tells its place. The
/// first token of a document carries no loss, others do unless `masked` says so.
template <class Masked>
Documents documents(const std::vector<std::int64_t>& sizes, Masked&& masked) {
    Documents data;
    data.source = "numbers";
    for (const std::int64_t size : sizes) {
        for (std::int64_t i = 0; i < size; ++i) {
            const auto place = static_cast<std::int64_t>(data.tokens.size());
            data.tokens.push_back(static_cast<std::int32_t>(place));
            data.weights.push_back(i > 0 && !masked(place) ? 1.0f : 0.0f);
        }
        data.offsets.push_back(static_cast<std::int64_t>(data.tokens.size()));
        data.lines.push_back(static_cast<std::int64_t>(data.lines.size()) + 1);
    }
    return data;
}

inline Documents documents(const std::vector<std::int64_t>& sizes) {
    return documents(sizes, [](std::int64_t) { return false; });
}

/// `count` documents of 2 to `longest` tokens, short ones more often, every third token masked.
inline Documents uneven_documents(int count, std::int64_t longest) {
    const Philox philox(6, RandomPurpose::test);
    std::vector<std::int64_t> sizes;
    for (std::uint32_t d = 0; d < static_cast<std::uint32_t>(count); ++d) {
        const double u = uniform_open(philox(d)[0]);
        sizes.push_back(2 + static_cast<std::int64_t>(u * u * static_cast<double>(longest - 1)));
    }
    return documents(sizes, [](std::int64_t place) { return place % 3 == 0; });
}

inline std::int64_t loss_tokens(const Documents& data) {
    return std::count_if(data.weights.begin(), data.weights.end(),
                         [](float weight) { return weight > 0.0f; });
}

}  // namespace evengrad::test
