#include <algorithm>
#include <cmath>
#include <limits>

#include "base/narrow.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>
#include <evengrad/feature_scaling.hpp>

namespace evengrad {

namespace {

template <class Action>
void for_each_row(const Dataset& data, const Action& action) {
    const RowShape shape = data.row_shape();
    std::vector<float> features(at(shape.features)), values(at(shape.values));
    for (const DataPart& part : data.parts())
        for (std::int64_t row = 0; row < part.documents(); ++row) {
            part.read_row(row, features, values);
            action(std::span<const float>(features));
        }
}

/// 1 / `spread`, or 1 for a feature that doesn't vary so that one could divide by it.
float inverse(double spread) {
    const double inverse = 1.0 / spread;
    return inverse < static_cast<double>(std::numeric_limits<float>::max()) &&
                   inverse >= static_cast<double>(std::numeric_limits<float>::min())
               ? static_cast<float>(inverse)
               : 1.0F;
}

}  // namespace

FeatureScaling FeatureScaling::fit(FeatureScalingKind kind, const Dataset& data) {
    const auto width = at(data.row_shape().features);
    if (width == 0)
        throw Error(fmt::format("{}: text has no features to be normalized", data.source()));
    FeatureScaling scaling{kind, {}, {}};
    if (kind == FeatureScalingKind::none) return scaling;

    const auto rows = static_cast<double>(data.documents());
    std::vector<double> mean(width), variance(width);
    std::vector<float> least(width, std::numeric_limits<float>::max()), most(width);
    for (float& value : most) value = std::numeric_limits<float>::lowest();
    for_each_row(data, [&](std::span<const float> x) {
        for (std::size_t f = 0; f < width; ++f) {
            mean[f] += static_cast<double>(x[f]);
            least[f] = std::min(least[f], x[f]);
            most[f] = std::max(most[f], x[f]);
        }
    });
    for (double& sum : mean) sum /= rows;
    if (kind == FeatureScalingKind::standardize)
        for_each_row(data, [&](std::span<const float> x) {
            for (std::size_t f = 0; f < width; ++f) {
                const double distance = static_cast<double>(x[f]) - mean[f];
                variance[f] += distance * distance;
            }
        });
    for (std::size_t f = 0; f < width; ++f) {
        // (Equal floats have an exact mean in double, hence no spread by rounding.)
        const bool by_range = kind == FeatureScalingKind::minmax;
        const double range = static_cast<double>(most[f]) - static_cast<double>(least[f]);
        const double spread = kind == FeatureScalingKind::center ? 1.0
                              : by_range                         ? range
                                                                 : std::sqrt(variance[f] / rows);
        scaling.shift.push_back(by_range ? least[f] : static_cast<float>(mean[f]));
        scaling.scale.push_back(inverse(spread));
    }
    return scaling;
}

void FeatureScaling::apply(std::span<float> features) const {
    for (std::size_t f = 0; f < shift.size(); ++f)
        features[f] = (features[f] - shift[f]) * scale[f];
}

void scale_features(FeatureScalingKind kind, Dataset& data, Dataset* held_out) {
    if (kind == FeatureScalingKind::none) return;
    const auto scaling = std::make_shared<const FeatureScaling>(FeatureScaling::fit(kind, data));
    data = data.scaled(scaling);
    if (held_out) *held_out = held_out->scaled(scaling);
}

}  // namespace evengrad
