// Gradients as plain arrays, and what they are compared with: for tests of any model.
#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "base/philox.hpp"
#include "model/model.hpp"

namespace evengrad::test {

/// Keeps the sum of all contributions, and what was said of its norm.
template <class T>
class PlainSink final : public GradientSink<T> {
  public:
    explicit PlainSink(const ParameterTable& table)
        : table_(table), sum(static_cast<std::size_t>(table.flat_size()), T(0)) {}

    void add(Index tensor, Index offset, std::span<const T> values) override {
        contributions.push_back(tensor);
        T* out = sum.data() + table_[tensor].offset + offset;
        for (std::size_t i = 0; i < values.size(); ++i) {
            out[i] += values[i];
            squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
        }
    }
    void add_cross_term(double twice_product) override { squares += twice_product; }

  private:
    const ParameterTable& table_;

  public:
    std::vector<T> sum;
    double squares = 0.0;
    std::vector<Index> contributions;  ///< their tensors, in order
};

/// Parameters large enough that no part of the network is nearly linear.
template <class T>
AlignedBuffer<T> lively_weights(const ParameterTable& table, std::uint32_t stream = 0) {
    AlignedBuffer<T> weights(table.flat_size());
    const Philox philox(11, RandomPurpose::test);
    for (const Tensor& tensor : table.tensors()) {
        const bool gain = tensor.shape.size() == 1 && tensor.initializer.scale == 1.0;
        for (Index i = tensor.offset; i < tensor.offset + tensor.count; ++i) {
            const auto words = philox(static_cast<std::uint32_t>(i), stream);
            const double normal = normal_pair(words[0], words[1])[0];
            weights[i] = static_cast<T>((gain ? 1.0 : 0.0) + 0.25 * normal);
        }
    }
    return weights;
}

/// |a - b| / max(|b|, 1e-6 |all|), for one tensor of flat arrays.
template <class A, class B>
double tensor_error(const Tensor& tensor, const A& a, const B& b, double norm_of_all) {
    double difference = 0.0, norm = 0.0;
    for (Index i = tensor.offset; i < tensor.offset + tensor.count; ++i) {
        const double x = static_cast<double>(a[static_cast<std::size_t>(i)]);
        const double y = static_cast<double>(b[static_cast<std::size_t>(i)]);
        difference += (x - y) * (x - y);
        norm += y * y;
    }
    return std::sqrt(difference) / std::max(std::sqrt(norm), 1e-6 * norm_of_all);
}

template <class A>
double norm_of(const A& values) {
    double sum = 0.0;
    for (const auto value : values) sum += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(sum);
}

/// Compares a gradient in double with derivatives of loss(weights) along random directions: one
/// tensor at a time, 4 each, by finite differences of fourth order, so that `step` can be large
/// against rounding. Returns the worst relative error; each must be below 1e-6.
inline double expect_gradient_of(const std::function<double(const double*)>& loss,
                                 const ParameterTable& table, const AlignedBuffer<double>& weights,
                                 const std::vector<double>& gradient, double step = 1e-3) {
    const double all = norm_of(gradient);
    const Philox philox(5, RandomPurpose::test);
    double worst = 0.0;
    for (Index t = 0; t < table.size(); ++t) {
        const Tensor& tensor = table[t];
        double difference = 0.0, norm = 0.0;
        for (std::uint32_t trial = 0; trial < 4; ++trial) {
            std::vector<double> direction(static_cast<std::size_t>(tensor.count));
            for (Index i = 0; i < tensor.count; ++i) {
                const auto words =
                    philox(static_cast<std::uint32_t>(i), trial, static_cast<std::uint32_t>(t));
                direction[static_cast<std::size_t>(i)] = normal_pair(words[0], words[1])[0];
            }
            double expected = 0.0;
            for (Index i = 0; i < tensor.count; ++i)
                expected += gradient[static_cast<std::size_t>(tensor.offset + i)] *
                            direction[static_cast<std::size_t>(i)];
            const double h = step / std::sqrt(static_cast<double>(tensor.count));
            const auto at = [&](double distance) {
                AlignedBuffer<double> moved(table.flat_size());
                std::copy_n(weights.data(), table.flat_size(), moved.data());
                for (Index i = 0; i < tensor.count; ++i)
                    moved[tensor.offset + i] += distance * direction[static_cast<std::size_t>(i)];
                return loss(moved.data());
            };
            const double measured =
                (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            difference += (measured - expected) * (measured - expected);
            norm += expected * expected;
        }
        const double error = std::sqrt(difference) / std::max(std::sqrt(norm), 1e-6 * all);
        EXPECT_LT(error, 1e-6) << tensor.name;
        worst = std::max(worst, error);
    }
    return worst;
}

}  // namespace evengrad::test
