// What people and programs see of `evengrad sweep`.
#pragma once

#include <optional>
#include <string>

#include "hdf5/file.hpp"
#include "lab/sweep.hpp"

namespace evengrad {

/// A sweep, and what was swept over.
struct SweepReport {
    const Sweep& sweep;
    const SweepConfig& config;
    const Dataset& data;
    bool evaluates;  ///< on held-out data
};

/// Mean and spread of a quantity over the seeds of a point that have it.
struct SeedSummary {
    std::int64_t seeds = 0;
    double mean = SweepCell::none;
    double std = SweepCell::none;  ///< of the sample (n - 1); none of one seed

    static SeedSummary of(const SweepReport& report, std::int64_t point,
                          double (*quantity)(const SweepCell&));
};

/// A number of each cell, and what it is called; NaN where a cell has none.
struct SweepQuantity {
    const char* name;
    const char* units;
    const char* long_name;
    double (*of)(const SweepCell&);
};
/// Those that this sweep has measured; first the one to look at first.
std::vector<SweepQuantity> quantities_of(const SweepReport& report);

/// A row a point of the grid, in the grid's order: mean and spread over the seeds. Then what the
/// columns are.
std::string sweep_table(const SweepReport& report);

/// Everything as one JSON object, every digit; nothing that depends on ranks or time.
std::string sweep_json(const SweepReport& report);

/// A dataset a quantity, whose dimensions are the grid's and the seeds (NXdata).
void write_sweep(const SweepReport& report, hdf5::Group root);

/// "[####......]  42 %  activation=tanh seed=3, step 40 of 300  left 0:07"
std::string sweep_line(const std::string& what, double share, double seconds);

}  // namespace evengrad
