// What to try against what was found: a short list of rules, the first of which promises most.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/text.hpp"
#include "lab/diagnosis.hpp"

namespace evengrad {

namespace {

/// The scheme that keeps sizes with an activation, by the paper that says so (see InitScheme).
InitScheme scheme_for(Activation activation) {
    switch (activation) {
        case Activation::identity:
        case Activation::sigmoid:
        case Activation::tanh:
        case Activation::softsign:
            return InitScheme::xavier;
        case Activation::selu:
            return InitScheme::lecun;
        default:
            return InitScheme::he;
    }
}

std::string init_option(InitScheme scheme) {
    return fmt::format("--init {}", init_scheme_names[static_cast<std::size_t>(scheme)]);
}

/// Everything that rules ask about.
class Patient {
  public:
    Patient(const DiagnosedRun& run, const Diagnosis& found)
        : run_(run),
          found_(found),
          activation_(found.layers.front().layer.activation),
          is_mlp_(run.model.is_mlp()) {}

    std::vector<Cure> cures() {
        standardize_inputs();
        other_initial_weights();
        larger_gain();
        other_activation();
        residual_paths();
        normalize();
        smaller_steps();
        return std::move(cures_);
    }

  private:
    void standardize_inputs();
    void other_initial_weights();
    void larger_gain();
    void other_activation();
    void residual_paths();
    void normalize();
    void smaller_steps();

    void suggest(std::string options, std::string reason) {
        cures_.push_back({std::move(options), std::move(reason)});
    }
    bool is(Steadiness steadiness) const {
        return found_.forward.steadiness == steadiness || found_.backward.steadiness == steadiness;
    }
    /// In a direction that isn't steady.
    bool is_cause(Cause cause) const {
        const auto is_of = [&](const DirectionFinding& direction) {
            return direction.steadiness != Steadiness::steady && direction.cause == cause;
        };
        return is_of(found_.forward) || is_of(found_.backward);
    }
    bool any(bool LayerFinding::*what) const {
        return std::any_of(found_.layers.begin(), found_.layers.end(),
                           [&](const LayerFinding& layer) { return layer.*what; });
    }
    /// Geometric mean of what the next layer's weights do to the signal; 1 where there is none.
    double weights_by_layer() const {
        double sum = 0.0;
        for (const LayerFinding& layer : found_.layers)
            if (layer.backward) sum += std::log(layer.backward->weights);
        return std::exp(sum / std::max(1.0, static_cast<double>(found_.layers.size()) - 1.0));
    }
    bool has_right_weights() const {
        const InitConfig& init = run_.model.init();
        return init.scheme == scheme_for(activation_) &&
               (init.gain == "paper" || init.gain == "activation");
    }
    std::string activation_name() const {
        return activation_names[static_cast<std::size_t>(activation_)];
    }

    const DiagnosedRun& run_;
    const Diagnosis& found_;
    const Activation activation_;
    const bool is_mlp_;
    std::vector<Cure> cures_;
};

void Patient::standardize_inputs() {
    constexpr double large = 2.0;  // as root mean square; that of standardized inputs is 1
    const LayerFinding& first = found_.layers.front();
    const double rms =
        first.statistics.input_norm / std::sqrt(static_cast<double>(first.layer.inputs));
    if (!is_mlp_ || run_.input_normalization == "standardize" || !first.saturated || rms < large)
        return;
    suggest("--input-normalization standardize",
            fmt::format("inputs have a root mean square of {:.3g}, which saturates {:.0f} % of {}; "
                        "standardized it is 1",
                        rms, 100.0 * first.statistics.saturated_fraction, first.layer.name));
}

void Patient::other_initial_weights() {
    if (!is_mlp_) {
        if (run_.model.init().scheme != InitScheme::gpt2 &&
            (is(Steadiness::exploding) || is(Steadiness::vanishing)))
            suggest("--init gpt2",
                    "its layers before a residual sum begin smaller by 1/sqrt(2 num-layers), so "
                    "that the sum doesn't grow with depth");
        return;
    }
    const bool too_large = any(&LayerFinding::saturated) && weights_by_layer() > 1.5;
    if (has_right_weights() || !(is_cause(Cause::weights) || too_large)) return;
    const InitScheme scheme = scheme_for(activation_);
    suggest(init_option(scheme),
            fmt::format(
                "weights change the signal by sqrt(n Var(W)) = {:.3g} a layer; {} weights "
                "of equally wide layers by {}",
                weights_by_layer(), init_scheme_names[static_cast<std::size_t>(scheme)],
                scheme == InitScheme::he
                    ? fmt::format("1.41, which makes up for what {} takes away", activation_name())
                    : "1"));
}

void Patient::larger_gain() {
    const InitConfig& init = run_.model.init();
    if (!is_mlp_ || !is_cause(Cause::activation) || !is(Steadiness::vanishing) ||
        any(&LayerFinding::saturated) || run_.step > 0 || init.gain != "paper" ||
        !has_right_weights() || !(calculate_gain(activation_) > 1.0) ||
        scheme_for(activation_) != InitScheme::xavier)
        return;
    suggest("--init-gain activation",
            fmt::format("weights that are {:.3g} times as large make up for what {} takes away",
                        calculate_gain(activation_), activation_name()));
}

void Patient::other_activation() {
    if (any(&LayerFinding::dead) && activation_ == Activation::relu) {
        suggest("--activation leaky-relu",
                "relu has no derivative below 0, and units that are off for every sample learn no "
                "more; leaky-relu's is small, but never 0");
        return;
    }
    if (!is_mlp_ || !is_cause(Cause::activation) || !is(Steadiness::vanishing) ||
        scheme_for(activation_) == InitScheme::he)
        return;
    suggest("--activation relu --init he",
            activation_ == Activation::sigmoid
                ? "sigmoid's derivative is 1/4 at most, so the signal falls to a quarter a layer "
                  "or less; relu's is 1 where a unit is on, and He's weights make up for those "
                  "that are off"
                : fmt::format("{}'s derivative falls with the size of its input; relu's is 1 "
                              "where a unit is on, and He's weights make up for those that are "
                              "off",
                              activation_name()));
}

void Patient::residual_paths() {
    if (!is_mlp_ || run_.model.mlp().residual || !is(Steadiness::vanishing)) return;
    const auto square = std::count_if(
        found_.layers.begin() + 1, found_.layers.end(),
        [](const LayerFinding& layer) { return layer.layer.inputs == layer.layer.units; });
    if (square == 0) return;
    const bool norms = run_.model.mlp().norm != MlpNorm::none;
    suggest(norms ? "--residual" : "--residual --norm layernorm",
            fmt::format("past {} of {} layers, which are as wide as their input, signals then "
                        "come through unchanged as well{}",
                        square, found_.layers.size(),
                        norms ? ""
                              : "; the norm keeps what adds up along the way from saturating "
                                "later layers"));
}

void Patient::normalize() {
    if (!is_mlp_ || run_.model.mlp().norm != MlpNorm::none || found_.is_sound()) return;
    if (any(&LayerFinding::saturated) || is(Steadiness::exploding) || is_cause(Cause::weights))
        suggest("--norm layernorm",
                fmt::format("gives what enters {} a standard deviation of 1, whatever the weights "
                            "and the inputs",
                            activation_name()));
}

void Patient::smaller_steps() {
    if (run_.step == 0) return;
    if (!is(Steadiness::exploding) && !any(&LayerFinding::saturated) && !any(&LayerFinding::dead))
        return;
    suggest(
        fmt::format("--lr {:g}", 0.1 * run_.lr),
        fmt::format("these are the weights that {} of --lr {:g} made: smaller ones, or a longer "
                    "--lr-warmup-iters, keep them nearer to where they began",
                    counted(run_.step, "step"), run_.lr));
    if (run_.clip_grad == 0.0 && is(Steadiness::exploding))
        suggest("--clip-grad 1", "a step can then not be larger than the others by much");
}

}  // namespace

std::vector<Cure> cures_for(const DiagnosedRun& run, const Diagnosis& found) {
    if (found.layers.empty() || found.is_sound()) return {};
    return Patient(run, found).cures();
}

}  // namespace evengrad
