// Datasets made of numbers, for tests of planning.
#pragma once

#include <numeric>
#include <vector>

#include "base/philox.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/plan.hpp>

namespace evengrad::test {

/// Documents of `sizes` tokens (two at least). Token i is i, so that a target tells its place. The
/// first token of a document carries no loss, others do unless `masked` says so.
template <class Masked>
Dataset documents(const std::vector<std::int64_t>& sizes, Masked&& masked) {
    Dataset data;
    data.source = "numbers";
    for (const std::int64_t size : sizes) {
        for (std::int64_t i = 0; i < size; ++i) {
            const auto place = static_cast<std::int64_t>(data.tokens.size());
            data.tokens.push_back(static_cast<std::int32_t>(place));
            data.loss.push_back(i > 0 && !masked(place) ? 1 : 0);
        }
        data.offsets.push_back(static_cast<std::int64_t>(data.tokens.size()));
        data.lines.push_back(static_cast<std::int64_t>(data.lines.size()) + 1);
    }
    return data;
}

inline Dataset documents(const std::vector<std::int64_t>& sizes) {
    return documents(sizes, [](std::int64_t) { return false; });
}

/// `count` documents of 2 to `longest` tokens, short ones more often, every third token masked.
inline Dataset uneven_documents(int count, std::int64_t longest) {
    const Philox philox(6, RandomPurpose::test);
    std::vector<std::int64_t> sizes;
    for (std::uint32_t d = 0; d < static_cast<std::uint32_t>(count); ++d) {
        const double u = uniform_open(philox(d)[0]);
        sizes.push_back(2 + static_cast<std::int64_t>(u * u * static_cast<double>(longest - 1)));
    }
    return documents(sizes, [](std::int64_t place) { return place % 3 == 0; });
}

inline std::int64_t loss_tokens(const Dataset& data) {
    return std::accumulate(data.loss.begin(), data.loss.end(), std::int64_t{0});
}

}  // namespace evengrad::test
