// Options of `evengrad sweep`: those of one run, and what is to change from run to run.
#pragma once

#include "commands/train_options.hpp"
#include "lab/sweep.hpp"

namespace evengrad {

struct SweepOptions final : TrainOptions {
    /// Points and seeds that a sweep may have at most: their results are to be plotted, too.
    static constexpr std::int64_t most_cells = 4096;

    SweepOptions();

    /// From the command line and the recipe it names. A point of the grid is this command line with
    /// the point's values behind it, so every one has been parsed and checked as a run is.
    /// @throws UsageError with all problems, and the points that have them
    void parse_sweep(const std::vector<std::string>& arguments, int ranks);

    /// @collective Rank 0's options, vocabulary and points on every rank; false, everywhere, when
    /// rank 0 has nothing to run.
    bool share_sweep(const Communicator& world, const RunData& data, bool runs);

    SweepConfig sweep;
    std::string json, output;

  private:
    void interpret(std::vector<std::string>& problems) override;
    /// Parses all points; the first is what this object then has.
    void read_points(const std::vector<std::string>& arguments,
                     const std::vector<SweepDimension>& grid, const std::string& widths,
                     std::vector<std::string>& problems);
    void check_sweep(int ranks, std::vector<std::string>& problems) const;

    std::vector<std::string> grid_;
    double target_accuracy_ = 0.0;
    std::vector<std::string> points_;  ///< rank 0: the resolved options of each
};

}  // namespace evengrad
