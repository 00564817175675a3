#include "statistics/layer_collector.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/lanes.hpp"
#include "mpi/words.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// Where the derivative is below this share of its largest value, the activation is saturated.
constexpr double saturation = 0.01;

double sum_of_squares(const float* x, Index size) {
    return lane_sum<double>(
        size, [x](Index i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); });
}

}  // namespace

double largest_derivative(Activation activation) {
    switch (activation) {
        case Activation::sigmoid:
            return 0.25;  // at 0
        case Activation::identity:
        case Activation::tanh:
        case Activation::relu:
        case Activation::leaky_relu:
        case Activation::elu:
        case Activation::softplus:
        case Activation::softsign:
            return 1.0;
        case Activation::selu:
            return 1.7580993408473766;  // just below 0: 1.0507 * 1.6733
        case Activation::gelu:
            return 1.1289043;  // at sqrt(2)
        case Activation::gelu_tanh:
            return 1.1289931;  // at 1.4185
        case Activation::silu:
            return 1.0998393;  // at 2.3994
    }
    EVENGRAD_CHECK(false, "no such activation");
}

/// In two passes over what the first cache holds: nothing cancels.
LayerCollector::Moments LayerCollector::Moments::of(const float* x, Index size) {
    const double mean = lane_sum<double>(size, [x](Index i) { return static_cast<double>(x[i]); }) /
                        static_cast<double>(size);
    return {mean, lane_sum<double>(size, [x, mean](Index i) {
                const double distance = static_cast<double>(x[i]) - mean;
                return distance * distance;
            })};
}

/// Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
/// variances", 1979.
void LayerCollector::Moments::add(double own_count, const Moments& other, double other_count) {
    const double difference = other.mean - mean;
    const double share = other_count / (own_count + other_count);
    mean += difference * share;
    distances += other.distances + difference * difference * own_count * share;
}

void LayerCollector::Sums::add(const Sums& other, Index units) {
    const auto own = static_cast<double>(positions * units);
    const auto others = static_cast<double>(other.positions * units);
    forward.add(own, other.forward, others);
    backward.add(own, other.backward, others);
    positions += other.positions;
    weight += other.weight;
    input_squares += other.input_squares;
    derivative_squares += other.derivative_squares;
    saturated += other.saturated;
}

LayerCollector::LayerCollector(std::vector<ActivationLayer> layers, std::int64_t micro_batches)
    : layers_(std::move(layers)),
      micro_batches_(micro_batches),
      sums_(static_cast<std::size_t>(micro_batches) * layers_.size()) {
    std::size_t units = 0;
    for (const ActivationLayer& layer : layers_) {
        first_unit_.push_back(units);
        units += static_cast<std::size_t>(layer.units);
    }
    most_active_.resize(units);
}

void LayerCollector::add(Index layer, const LayerValues<float>& values) {
    const auto at = static_cast<std::size_t>(layer);
    const Index inputs = layers_[at].inputs, units = layers_[at].units;
    const auto threshold =
        static_cast<float>(saturation * largest_derivative(layers_[at].activation));
    std::uint32_t* const most_active = most_active_.data() + first_unit_[at];
    Sums& sums = sums_of(micro_batch_, at);
    for (Index r = 0; r < values.rows; ++r) {
        if (values.weights[r] == 0.0f) continue;
        const float* const derivative = values.derivative + r * units;
        std::uint32_t saturated = 0;
        for (Index u = 0; u < units; ++u) {
            const std::uint32_t is_saturated = std::abs(derivative[u]) < threshold;
            const std::uint32_t activity = (derivative[u] != 0.0f) + (1 - is_saturated);
            saturated += is_saturated;
            most_active[u] = std::max(most_active[u], activity);
        }
        sums.add({1, static_cast<double>(values.weights[r]),
                  Moments::of(values.output + r * units, units),
                  Moments::of(values.signal + r * units, units),
                  sum_of_squares(values.input + r * inputs, inputs),
                  sum_of_squares(derivative, units), std::int64_t{saturated}},
                 units);
    }
}

std::vector<LayerStatistics> LayerCollector::combine(const Communicator& world) {
    sum_words(world, sums_);
    world.max(most_active_);
    std::vector<LayerStatistics> out;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        const Index units = layers_[l].units;
        Sums sums;
        for (std::int64_t k = 0; k < micro_batches_; ++k)
            if (sums_of(k, l).positions > 0) sums.add(sums_of(k, l), units);
        const auto positions = static_cast<double>(sums.positions);
        const double elements = positions * static_cast<double>(units);
        const double mean_weight = sums.weight / positions;
        const auto unit_states = units_of(l);
        const auto dead = std::count(unit_states.begin(), unit_states.end(), 0U);
        LayerStatistics layer;
        layer.forward_mean = sums.forward.mean;
        layer.forward_variance = sums.forward.distances / elements;
        layer.backward_variance = sums.backward.distances / elements / (mean_weight * mean_weight);
        layer.input_norm = std::sqrt(sums.input_squares / positions);
        layer.derivative_mean_square = sums.derivative_squares / elements;
        layer.saturated_fraction = static_cast<double>(sums.saturated) / elements;
        layer.dead_fraction = static_cast<double>(dead) / static_cast<double>(units);
        out.push_back(layer);
    }
    return out;
}

std::vector<StuckUnits> LayerCollector::stuck_units() const {
    std::vector<StuckUnits> out;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        StuckUnits& stuck = out.emplace_back();
        std::int64_t unit = 0;
        for (const std::uint32_t state : units_of(l)) {
            if (state < 2) (state == 0 ? stuck.dead : stuck.saturated).push_back(unit);
            ++unit;
        }
    }
    return out;
}

}  // namespace evengrad
