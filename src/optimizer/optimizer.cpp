#include "optimizer/optimizer.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>

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
    check(adam_beta1 >= 0 && adam_beta1 < 1, "adam-beta1", "at least 0 and below 1", adam_beta1);
    check(adam_beta2 >= 0 && adam_beta2 < 1, "adam-beta2", "at least 0 and below 1", adam_beta2);
    check(adam_eps > 0 && std::isfinite(adam_eps), "adam-eps", "above 0", adam_eps);
    return problems;
}

std::vector<std::string> ScheduleConfig::validate() const {
    std::vector<std::string> problems;
    if (!(lr > 0 && lr <= 1e9))
        problems.push_back(fmt::format("--lr must be above 0 and at most 1e9, not {}", lr));
    if (!(min_lr >= 0 && std::isfinite(min_lr)))
        problems.push_back(fmt::format("--min-lr must be at least 0, not {}", min_lr));
    if (min_lr > lr && lr > 0)
        problems.push_back(fmt::format("--min-lr {} is above --lr {}", min_lr, lr));
    if (train_iters < 1)
        problems.push_back(fmt::format("--train-iters must be at least 1, not {}", train_iters));
    if (warmup_iters < 0)
        problems.push_back(
            fmt::format("--lr-warmup-iters must be at least 0, not {}", warmup_iters));
    if (warmup_iters > train_iters && train_iters > 0)
        problems.push_back(fmt::format("--lr-warmup-iters {} is above --train-iters {}",
                                       warmup_iters, train_iters));
    return problems;
}

double learning_rate(const ScheduleConfig& config, std::int64_t step) {
    if (step < config.warmup_iters)
        return config.lr * static_cast<double>(step + 1) / static_cast<double>(config.warmup_iters);
    if (config.decay == LrDecay::constant) return config.lr;
    const double span =
        static_cast<double>(std::max<std::int64_t>(1, config.train_iters - config.warmup_iters));
    const double progress = std::min(1.0, static_cast<double>(step - config.warmup_iters) / span);
    const double share = config.decay == LrDecay::linear
                             ? 1.0 - progress
                             : 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
    return config.min_lr + (config.lr - config.min_lr) * share;
}

void update_elements(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                     float* weights, float* exp_avg, float* exp_avg_sq) {
    const OptimizerConfig& config = rule.config;
    if (config.kind == OptimizerKind::sgd) {
        const auto lr = static_cast<float>(rule.lr);
        const auto strength = static_cast<float>(decay ? config.weight_decay : 0.0);
        for (Index i = 0; i < count; ++i)
            weights[i] = std::fma(-lr, std::fma(strength, weights[i], gradient[i]), weights[i]);
        return;
    }
    const double t = static_cast<double>(rule.step);
    const double correction1 = 1.0 - std::pow(config.adam_beta1, t);
    const double correction2 = 1.0 - std::pow(config.adam_beta2, t);
    const auto keep = static_cast<float>(1.0 - (decay ? rule.lr * config.weight_decay : 0.0));
    const auto beta1 = static_cast<float>(config.adam_beta1);
    const auto beta2 = static_cast<float>(config.adam_beta2);
    const auto fresh1 = static_cast<float>(1.0 - config.adam_beta1);
    const auto fresh2 = static_cast<float>(1.0 - config.adam_beta2);
    const auto size = static_cast<float>(rule.lr / correction1);
    const auto root_scale = static_cast<float>(1.0 / std::sqrt(correction2));
    const auto eps = static_cast<float>(config.adam_eps);
    for (Index i = 0; i < count; ++i) {
        const float g = gradient[i];
        const float m = std::fma(beta1, exp_avg[i], fresh1 * g);
        const float v = std::fma(beta2, exp_avg_sq[i], fresh2 * (g * g));
        exp_avg[i] = m;
        exp_avg_sq[i] = v;
        weights[i] = weights[i] * keep - size * (m / std::fma(std::sqrt(v), root_scale, eps));
    }
}

Optimizer::Optimizer(const OptimizerConfig& config, const ParameterTable& table, BlockRun owned)
    : config_(config), table_(table), owned_(owned) {
    Index elements = 0;
    for (Index b = owned.begin; b < owned.end; ++b)
        elements += table.blocks()[static_cast<std::size_t>(b)].count;
    if (moments() == 2) {
        exp_avg_ = AlignedBuffer<float>(elements);
        exp_avg_sq_ = AlignedBuffer<float>(elements);
    }
}

std::int64_t Optimizer::update(const MeanGradient& gradient, double clip, double lr,
                               std::int64_t step, std::span<float> weights,
                               UpdateObserver* observer) {
    std::int64_t not_finite = every_weight_is_finite;
    const UpdateRule rule{config_, lr, step};
    constexpr Index chunk = 2048;  // its gradient stays in the first cache
    alignas(cache_line) std::array<float, chunk> values, unclipped, before;
    const bool adam = moments() == 2;
    Index own = 0;
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
            update_elements(rule, decay, count, values.data(), w,
                            adam ? exp_avg_.data() + own + from : nullptr,
                            adam ? exp_avg_sq_.data() + own + from : nullptr);
            const auto size = static_cast<std::size_t>(count);
            if (observer)
                observer->see(b, std::span(unclipped).first(size), std::span(before).first(size),
                              {w, size});
            if (!all_finite(w, count))
                not_finite = std::min(not_finite, static_cast<std::int64_t>(block.tensor));
        }
        own += block.count;
    }
    return not_finite;
}

}  // namespace evengrad
