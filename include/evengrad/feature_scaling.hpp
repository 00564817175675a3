// Input normalization: features with means and spreads that a network can start from (LeCun,
// Bottou, Orr and Mueller, "Efficient BackProp", 1998, section 4.3).
#pragma once

#include <array>
#include <span>
#include <vector>

namespace evengrad {

class Dataset;

enum class FeatureScalingKind {
    none,
    center,       ///< mean 0
    standardize,  ///< mean 0, standard deviation 1
    minmax,       ///< from 0 to 1
};
inline constexpr std::array feature_scaling_names = {"none", "center", "standardize", "minmax"};

/// x' = (x - shift) * scale for each feature, in float. Fitted on training data, kept in the
/// checkpoint, and applied to whatever the model sees later.
struct FeatureScaling {
    FeatureScalingKind kind = FeatureScalingKind::none;
    std::vector<float> shift, scale;  ///< [features] each; finite, scale above 0. Empty for none

    bool operator==(const FeatureScaling&) const = default;

    /// Of all rows of `data` alike, whatever they weigh, in double precision and in their order.
    /// Features that are the same in all rows become 0. @throws Error for data that aren't rows.
    /// @local
    static FeatureScaling fit(FeatureScalingKind kind, const Dataset& data);

    void apply(std::span<float> features) const;
};

/// Fits `kind` to `data`, and scales them and `held_out` (null: there are none) by it; none changes
/// nothing. @throws Error as fit() does. @local
void scale_features(FeatureScalingKind kind, Dataset& data, Dataset* held_out);

}  // namespace evengrad
