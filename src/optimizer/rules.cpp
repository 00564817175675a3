#include "optimizer/rules.hpp"

#include <cmath>

namespace evengrad {

namespace {

float decay_strength(const UpdateRule& rule, bool decay) {
    return static_cast<float>(decay ? rule.config.weight_decay : 0.0);
}

/// What decoupled weight decay leaves of a weight.
float decay_keeps(const UpdateRule& rule, bool decay) {
    return static_cast<float>(1.0 - (decay ? rule.lr * rule.config.weight_decay : 0.0));
}

float sign_of(float x) {
    return static_cast<float>(x > 0.0f) - static_cast<float>(x < 0.0f);
}

template <bool nesterov>
void heavy_ball(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                float* weights, float* momentum_buffer) {
    const auto lr = static_cast<float>(rule.lr);
    const auto momentum = static_cast<float>(rule.config.momentum);
    const float strength = decay_strength(rule, decay);
    for (Index i = 0; i < count; ++i) {
        const float g = std::fma(strength, weights[i], gradient[i]);
        const float b = std::fma(momentum, momentum_buffer[i], g);
        momentum_buffer[i] = b;
        weights[i] = std::fma(-lr, nesterov ? std::fma(momentum, b, g) : b, weights[i]);
    }
}

template <bool decoupled>
void adam(const UpdateRule& rule, bool decay, Index count, const float* gradient, float* weights,
          float* exp_avg, float* exp_avg_sq) {
    const OptimizerConfig& config = rule.config;
    const double t = static_cast<double>(rule.step);
    const double correction1 = 1.0 - std::pow(config.adam_beta1, t);
    const double correction2 = 1.0 - std::pow(config.adam_beta2, t);
    const float keep = decoupled ? decay_keeps(rule, decay) : 1.0f;
    const float strength = decay_strength(rule, decay);
    const auto beta1 = static_cast<float>(config.adam_beta1);
    const auto beta2 = static_cast<float>(config.adam_beta2);
    const auto fresh1 = static_cast<float>(1.0 - config.adam_beta1);
    const auto fresh2 = static_cast<float>(1.0 - config.adam_beta2);
    const auto size = static_cast<float>(rule.lr / correction1);
    const auto root_scale = static_cast<float>(1.0 / std::sqrt(correction2));
    const auto eps = static_cast<float>(config.adam_eps);
    for (Index i = 0; i < count; ++i) {
        const float g = decoupled ? gradient[i] : std::fma(strength, weights[i], gradient[i]);
        const float m = std::fma(beta1, exp_avg[i], fresh1 * g);
        const float v = std::fma(beta2, exp_avg_sq[i], fresh2 * (g * g));
        exp_avg[i] = m;
        exp_avg_sq[i] = v;
        weights[i] = weights[i] * keep - size * (m / std::fma(std::sqrt(v), root_scale, eps));
    }
}

}  // namespace

void update_sgd(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                float* weights, float* /*first*/, float* /*second*/) {
    const auto lr = static_cast<float>(rule.lr);
    const float strength = decay_strength(rule, decay);
    for (Index i = 0; i < count; ++i)
        weights[i] = std::fma(-lr, std::fma(strength, weights[i], gradient[i]), weights[i]);
}

void update_momentum(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                     float* weights, float* momentum_buffer, float* /*second*/) {
    heavy_ball<false>(rule, decay, count, gradient, weights, momentum_buffer);
}

void update_nesterov(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                     float* weights, float* momentum_buffer, float* /*second*/) {
    heavy_ball<true>(rule, decay, count, gradient, weights, momentum_buffer);
}

void update_adagrad(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                    float* weights, float* sum, float* /*second*/) {
    const auto lr = static_cast<float>(rule.lr);
    const auto eps = static_cast<float>(rule.config.adagrad_eps);
    const float strength = decay_strength(rule, decay);
    for (Index i = 0; i < count; ++i) {
        const float g = std::fma(strength, weights[i], gradient[i]);
        const float s = std::fma(g, g, sum[i]);
        sum[i] = s;
        weights[i] = std::fma(-lr, g / (std::sqrt(s) + eps), weights[i]);
    }
}

void update_rmsprop(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                    float* weights, float* square_avg, float* /*second*/) {
    const auto lr = static_cast<float>(rule.lr);
    const auto alpha = static_cast<float>(rule.config.rmsprop_alpha);
    const auto fresh = static_cast<float>(1.0 - rule.config.rmsprop_alpha);
    const auto eps = static_cast<float>(rule.config.rmsprop_eps);
    const float strength = decay_strength(rule, decay);
    for (Index i = 0; i < count; ++i) {
        const float g = std::fma(strength, weights[i], gradient[i]);
        const float v = std::fma(alpha, square_avg[i], fresh * (g * g));
        square_avg[i] = v;
        weights[i] = std::fma(-lr, g / (std::sqrt(v) + eps), weights[i]);
    }
}

void update_adam(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                 float* weights, float* exp_avg, float* exp_avg_sq) {
    adam<false>(rule, decay, count, gradient, weights, exp_avg, exp_avg_sq);
}

void update_adamw(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                  float* weights, float* exp_avg, float* exp_avg_sq) {
    adam<true>(rule, decay, count, gradient, weights, exp_avg, exp_avg_sq);
}

void update_lion(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                 float* weights, float* exp_avg, float* /*second*/) {
    const OptimizerConfig& config = rule.config;
    const auto lr = static_cast<float>(rule.lr);
    const float keep = decay_keeps(rule, decay);
    const auto beta1 = static_cast<float>(config.lion_beta1);
    const auto beta2 = static_cast<float>(config.lion_beta2);
    const auto fresh1 = static_cast<float>(1.0 - config.lion_beta1);
    const auto fresh2 = static_cast<float>(1.0 - config.lion_beta2);
    for (Index i = 0; i < count; ++i) {
        const float g = gradient[i];
        const float m = exp_avg[i];
        const float direction = sign_of(std::fma(beta1, m, fresh1 * g));
        exp_avg[i] = std::fma(beta2, m, fresh2 * g);
        weights[i] = weights[i] * keep - lr * direction;
    }
}

}  // namespace evengrad
