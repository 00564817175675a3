// Many runs as one job: each point of a grid of options, from several seeds.
#pragma once

#include <array>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <evengrad/feature_scaling.hpp>
#include <evengrad/train.hpp>

namespace evengrad {

/// A dimension of the grid: an option (or "depth"), and the values that it has in turn, as text.
struct SweepDimension {
    std::string name;
    std::vector<std::string> values;
};

/// A point of the grid: a run, but for its seed.
struct SweepPoint {
    TrainConfig train;
    FeatureScalingKind input_normalization = FeatureScalingKind::none;
    /// On rank 0: its options that aren't the same at all points, which may be more than the
    /// grid's.
    std::map<std::string, std::string> options;
};

struct SweepConfig {
    std::vector<SweepDimension> grid;
    std::vector<SweepPoint> points;  ///< the last dimension changes fastest
    std::uint64_t first_seed = 1234;
    std::int64_t seeds = 1;           ///< each point is trained from so many, one after another
    std::int64_t eval_interval = 0;   ///< steps; the last step is always evaluated
    std::int64_t most_sequences = 0;  ///< EvaluateConfig::most_sequences
    std::optional<double> target_accuracy;
    int ranks_per_cell = 1;                      ///< that train a cell together, at least
    std::map<std::string, std::string> options;  ///< on rank 0: those that all points share

    std::int64_t cells() const { return std::ssize(points) * seeds; }
    /// The grid's values at a point, one a dimension.
    std::vector<std::string> values_at(std::int64_t point) const;
    /// "activation=tanh init=he seed=3"
    std::string name_of(std::int64_t cell) const;
};

/// Points of a grid: the product of its dimensions' sizes, but at most `most` + 1.
std::int64_t points_of(const std::vector<SweepDimension>& grid, std::int64_t most);
/// The grid's values at a point, one a dimension.
std::vector<std::string> values_at(const std::vector<SweepDimension>& grid, std::int64_t point);

/// What a point gave from one seed. A run that diverged has what it had until then. NaN: undefined
/// or not measured.
struct SweepCell {
    static constexpr double none = std::numeric_limits<double>::quiet_NaN();

    std::int64_t steps = 0;            ///< done
    std::int64_t diverged_at = 0;      ///< step that had what is no number; 0: none
    std::int64_t steps_to_target = 0;  ///< to the first evaluation that reached it; 0: none did
    double loss = none;                ///< of the last step, nats
    double valid_loss = none, valid_accuracy = none;  ///< after the last step
    /// Standard deviation of the back-propagated signal at the first layer with an activation by
    /// that at the last one, in the first step and in the last one with statistics: below 1 it
    /// vanishes, above 1 it explodes.
    double first_gradient_ratio = none, last_gradient_ratio = none;
    /// Of the state in the end, as `inspect --digest` has it; 0 where it diverged.
    std::array<char, 32> digest{};
};

/// [points, seeds] Cell c is point c / seeds from seed first_seed + c % seeds.
using Sweep = std::vector<SweepCell>;

/// Told on rank 0 before each step of the cells that its ranks train: the share of their work that
/// is done, and what is next.
using SweepProgress = std::function<void(double share, const std::string& what)>;

/// @collective Trains all cells, each on a group of ranks, longest first. `data` and `valid` (may
/// be null) are rank 0's, not scaled; they travel to the first rank of each group. A cell's result
/// depends on its configuration alone, and all ranks get all of them.
/// @throws Error naming the cell, when one can't be trained for another reason than DivergedError.
Sweep run_sweep(const Communicator& world, const SweepConfig& config, const Dataset* data,
                const Dataset* valid, const SweepProgress& progress);

}  // namespace evengrad
