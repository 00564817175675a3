#include "optimizer/kinds.hpp"

#include <algorithm>

#include <evengrad/error.hpp>

namespace evengrad {

std::span<const OptimizerFacts> optimizers() {
    using Kind = OptimizerKind;
    static const std::vector<OptimizerFacts> all{
        {Kind::sgd, "sgd", {}, {}, update_sgd},
        {Kind::momentum, "momentum", {"momentum_buffer"}, {"momentum"}, update_momentum},
        {Kind::nesterov, "nesterov", {"momentum_buffer"}, {"momentum"}, update_nesterov},
        {Kind::adagrad, "adagrad", {"sum"}, {"adagrad-eps"}, update_adagrad},
        {Kind::rmsprop,
         "rmsprop",
         {"square_avg"},
         {"rmsprop-alpha", "rmsprop-eps"},
         update_rmsprop},
        {Kind::adam,
         "adam",
         {"exp_avg", "exp_avg_sq"},
         {"adam-beta1", "adam-beta2", "adam-eps"},
         update_adam},
        {Kind::adamw,
         "adamw",
         {"exp_avg", "exp_avg_sq"},
         {"adam-beta1", "adam-beta2", "adam-eps"},
         update_adamw},
        {Kind::lion, "lion", {"exp_avg"}, {"lion-beta1", "lion-beta2"}, update_lion},
    };
    return all;
}

const OptimizerFacts& facts_of(OptimizerKind kind) {
    const auto all = optimizers();
    const auto found = std::find_if(
        all.begin(), all.end(), [&](const OptimizerFacts& facts) { return facts.kind == kind; });
    EVENGRAD_CHECK(found != all.end(), "an optimizer that isn't in the table");
    return *found;
}

const OptimizerFacts* find_optimizer(std::string_view name) {
    for (const OptimizerFacts& facts : optimizers())
        if (facts.name == name) return &facts;
    return nullptr;
}

int moments_of(OptimizerKind kind) {
    return static_cast<int>(facts_of(kind).moments.size());
}

std::span<const ScheduleFacts> schedules() {
    static const std::vector<ScheduleFacts> all{
        {LrDecay::constant, "constant", {}},
        {LrDecay::step, "step", {"min-lr", "lr-step-size", "lr-gamma"}},
        {LrDecay::multi_step, "multi-step", {"min-lr", "lr-milestones", "lr-gamma"}},
        {LrDecay::exponential, "exponential", {"min-lr", "lr-step-size", "lr-gamma"}},
        {LrDecay::linear, "linear", {"min-lr", "lr-decay-iters"}},
        {LrDecay::cosine, "cosine", {"min-lr", "lr-decay-iters"}},
        {LrDecay::cosine_restarts,
         "cosine-restarts",
         {"min-lr", "lr-cycle-iters", "lr-cycle-mult"}},
        {LrDecay::inverse_square_root, "inverse-square-root", {"min-lr"}},
        {LrDecay::polynomial, "polynomial", {"min-lr", "lr-decay-iters", "lr-power"}},
        {LrDecay::warmup_stable_decay,
         "warmup-stable-decay",
         {"min-lr", "lr-decay-iters", "lr-wsd-decay-iters"}},
        {LrDecay::reduce_on_plateau,
         "reduce-on-plateau",
         {"min-lr", "lr-gamma", "lr-plateau-patience", "lr-plateau-threshold",
          "lr-plateau-cooldown"}},
    };
    return all;
}

const ScheduleFacts& facts_of(LrDecay decay) {
    const auto all = schedules();
    const auto found = std::find_if(
        all.begin(), all.end(), [&](const ScheduleFacts& facts) { return facts.decay == decay; });
    EVENGRAD_CHECK(found != all.end(), "a schedule that isn't in the table");
    return *found;
}

}  // namespace evengrad
