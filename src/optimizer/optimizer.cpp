#include "optimizer/optimizer.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include <fmt/format.h>

namespace evengrad {

namespace {

bool all_finite(const float* values, Index count) {
    constexpr std::uint32_t exponent = 0x7f800000u;
    std::uint32_t largest = 0;
    for (Index i = 0; i < count; ++i)
        largest = std::max(largest, std::bit_cast<std::uint32_t>(values[i]) & exponent);
    return largest < exponent;
}

}  // namespace

std::vector<std::string> OptimizerConfig::validate() const {
    std::vector<std::string> problems;
    const auto check = [&](bool good, const char* option, const char* rule, double value) {
        if (!good) problems.push_back(fmt::format("--{} must be {}, not {}", option, rule, value));
    };
    check(weight_decay >= 0 && std::isfinite(weight_decay), "weight-decay", "at least 0",
          weight_decay);
    check(clip_grad >= 0 && std::isfinite(clip_grad), "clip-grad", "at least 0", clip_grad);
    const auto factor = [&](const char* option, double value) {
        check(value >= 0 && value < 1, option, "at least 0 and below 1", value);
    };
    const auto epsilon = [&](const char* option, double value) {
        check(value > 0 && std::isfinite(value), option, "above 0", value);
    };
    factor("momentum", momentum);
    factor("rmsprop-alpha", rmsprop_alpha);
    epsilon("rmsprop-eps", rmsprop_eps);
    epsilon("adagrad-eps", adagrad_eps);
    factor("adam-beta1", adam_beta1);
    factor("adam-beta2", adam_beta2);
    epsilon("adam-eps", adam_eps);
    factor("lion-beta1", lion_beta1);
    factor("lion-beta2", lion_beta2);
    return problems;
}

void update_elements(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                     float* weights, float* first, float* second) {
    facts_of(rule.config.kind).update(rule, decay, count, gradient, weights, first, second);
}

Optimizer::Optimizer(const OptimizerConfig& config, const ParameterTable& table, BlockRun owned)
    : config_(config),
      table_(table),
      owned_(owned),
      moments_(static_cast<std::size_t>(moments_of(config.kind))) {
    Index elements = 0;
    for (Index b = owned.begin; b < owned.end; ++b)
        elements += table.blocks()[static_cast<std::size_t>(b)].count;
    for (auto& moment : moments_) moment = AlignedBuffer<float>(elements);
}

std::int64_t Optimizer::update(const MeanGradient& gradient, double clip, double lr,
                               std::int64_t step, std::span<float> weights,
                               UpdateObserver* observer) {
    std::int64_t not_finite = every_weight_is_finite;
    const UpdateRule rule{config_, lr, step};
    constexpr Index chunk = 2048;  // its gradient stays in the first cache
    alignas(cache_line) std::array<float, chunk> values, unclipped, before;
    std::array<float*, most_moments> own{};  // null where there is no such moment
    for (std::size_t which = 0; which < moments_.size(); ++which)
        own[which] = moments_[which].data();
    for (Index b = owned_.begin; b < owned_.end; ++b) {
        const Block& block = table_.blocks()[static_cast<std::size_t>(b)];
        const bool decay = table_[block.tensor].decay;
        for (Index from = 0; from < block.count; from += chunk) {
            const Index count = std::min(chunk, block.count - from);
            float* const w = weights.data() + block.begin + from;
            if (observer) {
                gradient.look(block.tensor, block.begin + from, count, unclipped.data());
                std::copy_n(w, count, before.data());
            }
            gradient.take(block.tensor, block.begin + from, count, clip, values.data());
            update_elements(rule, decay, count, values.data(), w, own[0], own[1]);
            for (std::size_t which = 0; which < moments_.size(); ++which) own[which] += count;
            const auto size = static_cast<std::size_t>(count);
            if (observer)
                observer->see(b, std::span(unclipped).first(size), std::span(before).first(size),
                              {w, size});
            if (!all_finite(w, count))
                not_finite = std::min(not_finite, static_cast<std::int64_t>(block.tensor));
        }
    }
    return not_finite;
}

}  // namespace evengrad
