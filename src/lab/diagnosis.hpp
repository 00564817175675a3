// Whether signals and gradients keep their size from layer to layer; where they don't, why, and
// what to try.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/layer_sink.hpp"
#include <evengrad/statistics.hpp>

namespace evengrad {

/// What is known of a network's layers: of one batch, or of recorded steps of a run.
struct LayerMeasurement {
    std::vector<LayerStatistics> layers;  ///< of activation_layers(), from input to output
    std::vector<double> weight_std;       ///< [layers] of each one's weight matrix
    std::vector<StuckUnits> stuck;        ///< [layers] of one batch; none of recorded steps
};

/// The run that was measured, as far as cures depend on it.
struct DiagnosedRun {
    ModelConfig model;
    std::string input_normalization = "none";  ///< as --input-normalization names it
    std::int64_t step = 0;                     ///< steps done; 0: the weights are initial ones
    double lr = 1e-3;
    double clip_grad = 0.0;  ///< 0: none
};

/// By how much a standard deviation changes from one layer to the next, and what makes it so:
/// `all` = `weights` x `activation` x `rest`. NaN: not known, or 0 / 0.
struct LayerFactor {
    double all = 1.0, weights = 1.0, activation = 1.0, rest = 1.0;
};

struct LayerFinding {
    ActivationLayer layer;
    LayerStatistics statistics;
    double weight_std = 0.0;
    /// std of this layer's back-propagated signal by that of the next layer's; none for the last.
    /// `weights` is sqrt(n Var(W)) of the next layer's n units and weights, `activation` the root
    /// mean square of this one's f'(z) (Glorot and Bengio 2010, eq. 2 and 6); `rest` what residual
    /// paths, norms and correlations do.
    std::optional<LayerFactor> backward;
    /// std of this layer's output by that of the layer before; of the first: by the root mean
    /// square of its input. `weights` is sqrt(n Var(W)) of this layer's n inputs and weights (eq.
    /// 5); `activation` std(y) by what the weights make of the input's root mean square; `rest`
    /// that root mean square by the std before: means that aren't 0, and residual paths.
    LayerFactor forward;
    bool saturated = false, dead = false;  ///< shares above saturated_share(), dead_share
    Index dead_units = 0;
    std::optional<StuckUnits> stuck;  ///< where it is known which ones
};

enum class Steadiness { steady, vanishing, exploding };
inline constexpr std::array steadiness_names = {"steady", "vanishing", "exploding"};

/// What changes a signal's size most.
enum class Cause { weights, activation, rest };
inline constexpr std::array cause_names = {"weights", "activation", "rest"};

/// One direction through the network: forward from the first layer to the last, backward from the
/// last to the first.
struct DirectionFinding {
    Steadiness steadiness = Steadiness::steady;
    double total = 1.0;  ///< std where the direction ends by std where it begins
    /// Geometric mean of the factors by layer, and its 95 % confidence interval: Student's t over
    /// the factors' logarithms, each taken for one draw. None with fewer than two factors, or when
    /// a std is 0.
    double mean_factor = 1.0;
    std::optional<std::array<double, 2>> interval;
    /// The pair of layers, `from` before `to` in this direction, between which the std changes
    /// most, and by what: Glorot's conditions (eq. 8 and 9) are about every pair.
    Index from = 0, to = 0;
    double largest = 1.0;
    Cause cause = Cause::weights;  ///< of most of `largest`
};

/// An option to try, and why.
struct Cure {
    std::string options, reason;
};

struct Diagnosis {
    std::vector<LayerFinding> layers;
    DirectionFinding forward, backward;
    std::vector<Cure> cures;  ///< the most promising first; none when nothing is wrong

    bool is_sound() const;  ///< steady in both directions, no layer saturated or dead
};

/// Between two layers that are so many layers apart, std may change so many times either way and be
/// called steady: by 10 % a layer, but 4-fold at least and 10-fold at most. (So three layers aren't
/// called sick for what is one bad layer's, nor fifty for 2 % each.)
double steady_range(Index layers_apart);

/// Share of saturated elements from which a layer is called saturated: a quarter. Of a ReLU, half
/// of which is off by design, 90 %.
double saturated_share(Activation activation);

/// Share of dead units from which a layer is called so. (To the last of many layers all samples
/// look alike, and up to half of its ReLUs are off for all of them, however well it began.)
inline constexpr double dead_share = 0.5;

/// The mean over recorded steps: of variances, means and shares, and root mean squares of the rest.
/// All are of the same layers; there is at least one.
LayerMeasurement mean_of(const std::vector<LayerMeasurement>& steps);

/// A pure function. `layers` are the model's. @throws Error naming the layer when a number makes no
/// sense (a file may say anything).
Diagnosis diagnose(const DiagnosedRun& run, const std::vector<ActivationLayer>& layers,
                   const LayerMeasurement& measured);

/// What to try, from what was found. (diagnose() calls it.)
std::vector<Cure> cures_for(const DiagnosedRun& run, const Diagnosis& found);

}  // namespace evengrad
