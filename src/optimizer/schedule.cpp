// Learning-rate schedules: what is wrong with one, and its rates.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include <fmt/format.h>

#include "optimizer/kinds.hpp"

namespace evengrad {

namespace {

/// Problems of what one kind of decay needs, or limits.
void validate_decay(const ScheduleConfig& config, std::vector<std::string>& problems) {
    const auto needs = [&](bool good, const char* option, const std::string& rule) {
        if (!good)
            problems.push_back(fmt::format("--lr-decay-style {} needs --{} {}",
                                           facts_of(config.decay).name, option, rule));
    };
    switch (config.decay) {
        case LrDecay::step:
        case LrDecay::exponential:
            needs(config.step_size >= 1, "lr-step-size", "of at least 1");
            break;
        case LrDecay::multi_step: {
            // The peak is there for a step at least.
            std::int64_t last = std::max<std::int64_t>(config.warmup_iters, 1) - 1;
            bool ascending = !config.milestones.empty();
            for (const std::int64_t milestone : config.milestones) {
                ascending = ascending && milestone > last;
                last = milestone;
            }
            needs(ascending, "lr-milestones", "in ascending order, none before the warm-up's end");
            break;
        }
        case LrDecay::cosine_restarts:
            needs(config.cycle_iters >= 1, "lr-cycle-iters", "of at least 1");
            break;
        case LrDecay::warmup_stable_decay:
            needs(config.wsd_decay_iters >= 1 &&
                      config.wsd_decay_iters <= config.decay_end() - config.warmup_iters,
                  "lr-wsd-decay-iters", "of at least 1 and at most the steps after warm-up");
            break;
        default:
            break;
    }
}

}  // namespace

std::vector<std::string> ScheduleConfig::validate() const {
    std::vector<std::string> problems;
    const auto check = [&](bool good, const char* option, const char* rule, auto value) {
        if (!good) problems.push_back(fmt::format("--{} must be {}, not {}", option, rule, value));
    };
    check(lr > 0 && lr <= 1e9, "lr", "above 0 and at most 1e9", lr);
    check(min_lr >= 0 && std::isfinite(min_lr), "min-lr", "at least 0", min_lr);
    if (min_lr > lr && lr > 0)
        problems.push_back(fmt::format("--min-lr {} is above --lr {}", min_lr, lr));
    check(train_iters >= 1, "train-iters", "at least 1", train_iters);
    check(warmup_iters >= 0, "lr-warmup-iters", "at least 0", warmup_iters);
    check(decay_iters >= 0, "lr-decay-iters", "at least 0", decay_iters);
    if (warmup_iters > train_iters && train_iters > 0)
        problems.push_back(fmt::format("--lr-warmup-iters {} is above --train-iters {}",
                                       warmup_iters, train_iters));
    if (warmup_iters > decay_iters && decay_iters > 0)
        problems.push_back(fmt::format("--lr-warmup-iters {} is above --lr-decay-iters {}",
                                       warmup_iters, decay_iters));
    check(gamma > 0 && gamma < 1, "lr-gamma", "above 0 and below 1", gamma);
    check(cycle_mult >= 1, "lr-cycle-mult", "at least 1", cycle_mult);
    check(power > 0 && std::isfinite(power), "lr-power", "above 0", power);
    check(plateau_patience >= 0, "lr-plateau-patience", "at least 0", plateau_patience);
    check(plateau_threshold >= 0 && plateau_threshold < 1, "lr-plateau-threshold",
          "at least 0 and below 1", plateau_threshold);
    check(plateau_cooldown >= 0, "lr-plateau-cooldown", "at least 0", plateau_cooldown);
    validate_decay(*this, problems);
    return problems;
}

double learning_rate(const ScheduleConfig& config, std::int64_t step, std::int64_t reductions) {
    if (step < config.warmup_iters)
        return config.lr * static_cast<double>(step + 1) / static_cast<double>(config.warmup_iters);
    const std::int64_t since = step - config.warmup_iters;
    const std::int64_t span = std::max<std::int64_t>(1, config.decay_end() - config.warmup_iters);
    const double progress = std::min(1.0, static_cast<double>(since) / static_cast<double>(span));

    const auto fallen = [&](double times) {
        return std::max(config.min_lr, config.lr * std::pow(config.gamma, times));
    };
    /// `share` of the way from the floor up to the peak.
    const auto at = [&](double share) {
        return config.min_lr + (config.lr - config.min_lr) * share;
    };
    const auto half_wave = [](double x) { return 0.5 * (1.0 + std::cos(std::numbers::pi * x)); };

    switch (config.decay) {
        case LrDecay::constant:
            return config.lr;
        case LrDecay::step:
            return fallen(static_cast<double>(since / config.step_size));
        case LrDecay::multi_step:
            return fallen(static_cast<double>(
                std::count_if(config.milestones.begin(), config.milestones.end(),
                              [&](std::int64_t milestone) { return milestone <= step; })));
        case LrDecay::exponential:
            return fallen(static_cast<double>(since) / static_cast<double>(config.step_size));
        case LrDecay::linear:
            return at(1.0 - progress);
        case LrDecay::polynomial:
            return at(std::pow(1.0 - progress, config.power));
        case LrDecay::cosine:
            return at(half_wave(progress));
        case LrDecay::cosine_restarts: {
            // In double, where a cycle that is as good as endless doesn't overflow.
            double done = static_cast<double>(since);
            double cycle = static_cast<double>(config.cycle_iters);
            if (config.cycle_mult == 1) done = static_cast<double>(since % config.cycle_iters);
            for (; done >= cycle; cycle *= static_cast<double>(config.cycle_mult)) done -= cycle;
            return at(half_wave(done / cycle));
        }
        case LrDecay::inverse_square_root: {
            const double reached =
                static_cast<double>(std::max<std::int64_t>(1, config.warmup_iters));
            return std::max(config.min_lr,
                            config.lr * std::sqrt(reached / static_cast<double>(step + 1)));
        }
        case LrDecay::warmup_stable_decay: {
            const double left = static_cast<double>(std::max<std::int64_t>(0, span - since));
            return at(std::min(1.0, left / static_cast<double>(config.wsd_decay_iters)));
        }
        case LrDecay::reduce_on_plateau:
            return fallen(static_cast<double>(reductions));
    }
    return config.lr;
}

std::int64_t plateau_reductions(const ScheduleConfig& config, std::span<const std::int64_t> steps,
                                std::span<const double> losses, std::int64_t first_comparable) {
    std::int64_t reductions = 0, without_improvement = 0, cooldown = 0;
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < losses.size(); ++i) {
        if (static_cast<std::int64_t>(i) == first_comparable) {
            best = std::numeric_limits<double>::infinity();
            without_improvement = 0;
        }
        if (steps[i] < config.warmup_iters) continue;
        // A loss that is not a number is no improvement.
        if (losses[i] < best * (1.0 - config.plateau_threshold)) {
            best = losses[i];
            without_improvement = 0;
        } else {
            ++without_improvement;
        }
        if (cooldown > 0) {
            --cooldown;
            without_improvement = 0;
        }
        if (without_improvement > config.plateau_patience) {
            ++reductions;
            cooldown = config.plateau_cooldown;
            without_improvement = 0;
        }
    }
    return reductions;
}

}  // namespace evengrad
