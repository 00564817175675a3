#include "train/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/philox.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

struct Candidate {
    float logit;
    std::int32_t token;
};

bool likelier(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

/// Candidates by rank, sorted only as far as they are asked for: of a vocabulary of 50,000 a draw
/// seldom needs more than the first few.
class Ranking {
  public:
    explicit Ranking(std::vector<Candidate>& candidates) : candidates_(candidates) {}

    std::int32_t operator[](std::size_t rank) {
        while (rank >= sorted_) sort_more();
        return candidates_[rank].token;
    }
    std::size_t size() const { return candidates_.size(); }

  private:
    void sort_more() {
        constexpr std::size_t first = 64;
        const std::size_t next = std::min(size(), std::max(first, 2 * sorted_));
        const auto at = [&](std::size_t i) {
            return candidates_.begin() + static_cast<std::ptrdiff_t>(i);
        };
        if (next < size()) std::nth_element(at(sorted_), at(next), candidates_.end(), likelier);
        std::sort(at(sorted_), at(next), likelier);
        sorted_ = next;
    }

    std::vector<Candidate>& candidates_;
    std::size_t sorted_ = 0;
};

}  // namespace

std::vector<std::string> SamplingConfig::validate() const {
    std::vector<std::string> problems;
    if (!(temperature >= 0.0 && temperature <= 100.0))
        problems.push_back(
            fmt::format("--temperature must be between 0 and 100, not {}", temperature));
    if (top_k < 0) problems.push_back(fmt::format("--top-k must be at least 0, not {}", top_k));
    if (!(top_p > 0.0 && top_p <= 1.0))
        problems.push_back(fmt::format("--top-p must be above 0 and at most 1, not {}", top_p));
    if (seed >= seed_limit)
        problems.push_back(fmt::format("--seed must be below 2^56, not {}", seed));
    return problems;
}

std::int32_t sample(const SamplingConfig& config, std::span<const float> logits, const Draw& draw) {
    std::vector<Candidate> candidates;
    candidates.reserve(logits.size());
    for (const float logit : logits) {
        if (!std::isfinite(logit))
            throw Error(
                fmt::format("the model's logit of token {} is {}", candidates.size(), logit),
                "its weights have overflowed; use an earlier checkpoint");
        candidates.push_back({logit, static_cast<std::int32_t>(candidates.size())});
    }
    const Candidate best = *std::min_element(candidates.begin(), candidates.end(), likelier);
    if (config.temperature == 0.0) return best.token;

    if (config.top_k > 0 && static_cast<std::size_t>(config.top_k) < candidates.size()) {
        std::nth_element(candidates.begin(), candidates.begin() + config.top_k, candidates.end(),
                         likelier);
        candidates.resize(static_cast<std::size_t>(config.top_k));
    }
    // exp(logit / temperature) up to a factor, by token: summed in an order that no sorting
    // changes.
    std::vector<double> weight(logits.size(), 0.0);
    for (const Candidate& candidate : candidates)
        weight[static_cast<std::size_t>(candidate.token)] =
            std::exp((static_cast<double>(candidate.logit) - static_cast<double>(best.logit)) /
                     config.temperature);
    double mass = std::accumulate(weight.begin(), weight.end(), 0.0);

    Ranking ranking(candidates);
    const auto weight_of = [&](std::size_t rank) {
        return weight[static_cast<std::size_t>(ranking[rank])];
    };
    if (config.top_p < 1.0) {
        double nucleus = 0.0;
        for (std::size_t rank = 0; rank < ranking.size() && nucleus < config.top_p * mass; ++rank)
            nucleus += weight_of(rank);
        mass = nucleus;
    }
    const Philox philox(config.seed, RandomPurpose::sampling);
    const double drawn = mass * uniform_open(philox(draw.position, draw.repetition, draw.text)[0]);
    // The first rank at which the probabilities so far exceed the number drawn. Where rounding lets
    // them fall short of it, the last token that has any.
    double cumulative = 0.0;
    std::int32_t token = best.token;
    for (std::size_t rank = 0; rank < ranking.size() && cumulative <= drawn; ++rank) {
        if (weight_of(rank) == 0.0) break;
        token = ranking[rank];
        cumulative += weight_of(rank);
    }
    return token;
}

}  // namespace evengrad
