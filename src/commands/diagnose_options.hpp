// Options of `evengrad diagnose`: a run that was recorded, or one to begin.
#pragma once

#include "commands/train_options.hpp"

namespace evengrad {

struct DiagnoseOptions final : TrainOptions {
    DiagnoseOptions();

    /// From the command line, where `RUN` alone in front is `--checkpoint RUN`, and the recipe it
    /// names. @throws UsageError with all problems.
    void parse_diagnose(std::vector<std::string> arguments);

    std::string checkpoint;  ///< whose statistics are looked at; empty: one batch is
    std::string json;
};

}  // namespace evengrad
