// The gradient in double precision, in one process, by plain sums: what everything is measured by.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "lab/weighing.hpp"
#include "model/model.hpp"

namespace evengrad {

/// How far a gradient v is from a reference r.
struct Deviation {
    double error = 0.0;       ///< |v - r| / |r|
    double cosine = 1.0;      ///< v.r / |v| |r|: 1 where they differ in length alone
    double norm_ratio = 1.0;  ///< |v| / |r|
};

/// Of `scale` times `values` from `reference_scale` times `reference`, both [flat size].
/// @throws Error when one of the two is 0: it has no direction.
template <class T>
Deviation deviation(std::span<const T> values, double scale, std::span<const double> reference,
                    double reference_scale);

/// The gradients that several weighings make of one global batch.
class WeighedGradients {
  public:
    /// Computes each sequence once, in the order of its place; `singles` has one a micro-batch.
    /// Memory: 8 bytes a parameter for the weights and for each weighing that isn't a multiple of
    /// another one, and the scratch of the longest sequence. `done` is told of each sequence.
    /// @local
    WeighedGradients(const ModelConfig& config, const ParameterTable& table,
                     std::span<const float> weights, const StepPlan& singles,
                     const DropoutKey& dropout, const std::vector<Weighing>& weighings,
                     const std::function<void()>& done = {});

    /// Loss of a weighing: sum of factor x sum of weight x loss, nats.
    double loss(std::size_t weighing) const;
    /// Of weighing `one` from weighing `other`.
    Deviation deviation_of(std::size_t one, std::size_t other) const;
    /// Of a gradient that was computed elsewhere from weighing `other`.
    Deviation deviation_of(std::span<const float> values, std::size_t other) const;
    /// [flat size] The gradient of a weighing.
    std::vector<double> gradient(std::size_t weighing) const;

    std::size_t directions() const { return sums_.size(); }  ///< that aren't multiples of others

  private:
    struct Multiple {
        std::size_t direction;
        double scale;
    };
    std::vector<Multiple> multiples_;        ///< [weighings]
    std::vector<std::vector<double>> sums_;  ///< [directions][flat size]
    std::vector<double> losses_;             ///< [directions]
};

}  // namespace evengrad
