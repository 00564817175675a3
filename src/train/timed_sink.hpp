// Contributions on their way from the model to the sums.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "base/pulse.hpp"
#include "gradient/accumulator.hpp"
#include "train/state.hpp"

namespace evengrad {

/// Passes contributions on, with the seconds it takes, and plants what a test asked for.
class TimedSink final : public GradientSink<float> {
  public:
    TimedSink(Accumulator& accumulator, const ParameterTable& table)
        : accumulator_(accumulator), table_(table) {}

    void plant_nan(const std::string& tensor) { nan_tensor_ = tensor; }

    void add(Index tensor, Index offset, std::span<const float> values) override {
        const double start = monotonic_seconds();
        if (!nan_tensor_.empty() && table_[tensor].name == nan_tensor_) {
            std::vector<float> poisoned(values.begin(), values.end());
            poisoned.front() = std::numeric_limits<float>::quiet_NaN();
            accumulator_.add(tensor, offset, poisoned);
        } else {
            accumulator_.add(tensor, offset, values);
        }
        seconds_ += monotonic_seconds() - start;
        pulse.beat();
    }
    void add_cross_term(double twice_product) override {
        accumulator_.add_cross_term(twice_product);
    }
    double seconds() const { return seconds_; }

  private:
    Accumulator& accumulator_;
    const ParameterTable& table_;
    std::string nan_tensor_;
    double seconds_ = 0.0;
};

}  // namespace evengrad
