// What the gradient and the weights of each parameter tensor are like, and what passes through each
// layer, over the steps of a run.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace evengrad {

/// Bins of a signed histogram, one for each sign and octave: |x| from 2^-126 up to 2^16, and one in
/// the middle for 0 and what is smaller than 2^-126. Larger values count in the outermost bins. The
/// same for every tensor and step, so counts can be added up and compared.
struct Octaves {
    static constexpr int lowest = -126, end = 16;
    static constexpr std::size_t each_side = end - lowest;
    static constexpr std::size_t count = 2 * each_side + 1;

    /// The bin of a number, from its exponent field. Not for NaN.
    static std::size_t bin(float value) {
        const auto bits = std::bit_cast<std::uint32_t>(value);
        // A float's exponent field is 0 below 2^-126, and 1 in the first octave. No branches: signs
        // can't be predicted.
        constexpr std::uint32_t most = each_side;
        const std::uint32_t octave = std::min((bits >> 23) & 0xffu, most);
        const std::uint32_t negative = 0u - (bits >> 31);
        return most + ((octave ^ negative) - negative);
    }
    static std::array<double, count + 1> edges();  ///< ascending; half open away from 0
    static std::array<double, count> centers();
};

/// Counts by bin. [Octaves::count]
using OctaveCounts = std::array<std::uint64_t, Octaves::count>;

/// Of all values of a tensor.
struct ValueStatistics {
    float norm_l2 = 0.0f, mean = 0.0f;
    float std = 0.0f;  ///< standard deviation: root of the mean squared distance from `mean`
    float min = 0.0f, max = 0.0f;
    float zero_fraction = 0.0f;  ///< share of values that are 0
    bool operator==(const ValueStatistics&) const = default;
};

/// Of one tensor at one step.
struct TensorStatistics {
    ValueStatistics gradient;  ///< global, divided by the denominator, before clipping
    ValueStatistics weights;   ///< after the update
    /// log2 of the grid on which the gradient was summed; NaN: none yet.
    float quantum_exponent = 0.0f;
    /// Share of all addends (each element once for each contribution that a micro-batch can make)
    /// that weren't 0 and became 0 on that grid.
    float rounded_to_zero_fraction = 0.0f;
    float update_ratio = 0.0f;  ///< norm of the update / norm of the weights after it; 0: both are
    bool operator==(const TensorStatistics&) const = default;
};

/// Of a layer with an activation, y = f(z), z = W x + b, at one step: over all positions of the
/// global batch whose loss has a weight, each once, and over all units. Other positions (prompts)
/// don't count. After Glorot and Bengio, "Understanding the difficulty of training deep feedforward
/// neural networks", 2010, who ask that both variances stay the same from layer to layer.
/// (Double: the variance of a signal that has vanished is below the smallest float.)
struct LayerStatistics {
    double forward_mean = 0.0, forward_variance = 0.0;  ///< of y
    /// Of the back-propagated signal: the gradient by z of the step's summed losses, weighted so
    /// that a position weighs 1 on average. So it doesn't fall with the size of the batch.
    double backward_variance = 0.0;
    double input_norm = 0.0;              ///< root mean square of the positions' |x|
    double derivative_mean_square = 0.0;  ///< of f'(z)
    /// Share of elements with an |f'(z)| below 1 % of the largest there can be: tanh beyond
    /// +-0.995, sigmoid within 0.0025 of 0 or 1, softsign beyond +-0.9, a ReLU that is off.
    double saturated_fraction = 0.0;
    /// Share of units whose f'(z) is 0 at every position: no gradient reaches their weights.
    double dead_fraction = 0.0;
    bool operator==(const LayerStatistics&) const = default;
};

/// The units of a layer that a batch leaves no room to learn, by index, rising.
struct StuckUnits {
    std::vector<std::int64_t> dead;       ///< as dead_fraction counts them
    std::vector<std::int64_t> saturated;  ///< not dead, but saturated at every position
    bool operator==(const StuckUnits&) const = default;
};

/// Of all tensors and layers at one step. The same on every rank and layout.
struct StepStatistics {
    std::vector<TensorStatistics> tensors;                     ///< [tensors]
    std::vector<OctaveCounts> gradient_counts, weight_counts;  ///< [tensors]
    std::vector<LayerStatistics> layers;                       ///< [layers with an activation]
};

/// The statistics of recorded steps, in bounded memory: when there are too many samples, neighbors
/// are merged by two, and from then on each sample is of twice as many recorded steps. The history
/// follows from the recorded steps alone: it doesn't matter where a run was interrupted.
struct StatisticsHistory {
    static constexpr std::size_t most_samples = 4096;
    static constexpr std::size_t most_histograms = 64;

    /// Of `merged` recorded steps, the last of which is `step`. Norms, standard deviations and
    /// update ratios are root mean squares of the steps', means, variances and shares are means,
    /// extremes and quantum exponents extremes.
    struct Sample {
        std::int64_t step = 0, merged = 1;
        std::vector<TensorStatistics> tensors;
        std::vector<LayerStatistics> layers;
        bool operator==(const Sample&) const = default;
    };
    /// Counts of `merged` recorded steps, added up.
    struct Histogram {
        std::int64_t step = 0, merged = 1;
        std::vector<OctaveCounts> gradient_counts, weight_counts;  ///< [tensors]
        bool operator==(const Histogram&) const = default;
    };
    std::vector<Sample> samples;
    std::vector<Histogram> histograms;

    /// `step` comes after all that are there.
    void add(std::int64_t step, const StepStatistics& statistics);
    bool operator==(const StatisticsHistory&) const = default;
};

/// Whether the statistics of a step (from 1) are recorded: of the first, and of the multiples of
/// `interval`; 0: of none.
inline bool statistics_are_due(std::int64_t step, std::int64_t interval) {
    return interval > 0 && (step == 1 || step % interval == 0);
}

/// How many of the first `steps` that is.
inline std::int64_t statistics_steps(std::int64_t steps, std::int64_t interval) {
    if (interval == 0 || steps == 0) return 0;
    return steps / interval + (interval > 1 ? 1 : 0);
}

}  // namespace evengrad
