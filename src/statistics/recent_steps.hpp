// The steps before this one, as far as it is judged by them: is its gradient unusually large, and
// how noisy are gradients these days?
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include <evengrad/history.hpp>

namespace evengrad {

/// How unusual a gradient norm is.
struct NormScore {
    double usual = 0.0;  ///< the median of the recent norms
    double z = 0.0;      ///< so many standard deviations above it
};

/// The gradient noise scale, in tokens, and the standard error of it.
struct NoiseScale {
    double tokens = 0.0, error = 0.0;
};

/// The last `window` steps that had a gradient. A function of the history alone, so that a resumed
/// run judges as the uninterrupted one does. @local
class RecentSteps {
  public:
    static constexpr std::size_t window = 128;
    static constexpr std::size_t fewest_norms = 32;  ///< no score before so many
    static constexpr std::size_t fewest_noises = 8;  ///< no noise scale before so many

    RecentSteps() = default;
    explicit RecentSteps(const TrainingHistory& history);
    explicit RecentSteps(std::span<const double> numbers);  ///< what numbers() gave
    std::vector<double> numbers() const;                    ///< to send them to other ranks

    /// A step's gradient norm, and estimates of squared gradient and noise (NaN: none).
    void add(double norm, double signal, double noise);

    /// A robust z-score of the norm's logarithm: its distance from the median, by 1.4826 times the
    /// median absolute deviation (Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993),
    /// by 0.05 at least: without that steps that are much alike would make any other a spike. A
    /// spike hardly changes what counts as usual; a lasting change does after half a window.
    std::optional<NormScore> score(double norm) const;

    /// The ratio of mean noise to mean squared gradient, since single steps' ratios are biased; its
    /// error is the jackknife's over the steps (Efron and Stein, "The Jackknife Estimate of
    /// Variance", 1981). None when the mean squared gradient isn't above 0, with or without any of
    /// the steps: then noise is all there is to see.
    std::optional<NoiseScale> noise_scale() const;

  private:
    struct Step {
        double norm, signal, noise;
    };
    std::deque<Step> steps_;
};

}  // namespace evengrad
