// Options of `evengrad audit`: those of the run to look at, and what to look at.
#pragma once

#include "commands/train_options.hpp"
#include "lab/audit.hpp"

namespace evengrad {

struct AuditOptions final : TrainOptions {
    AuditOptions();

    /// From the command line and the recipe it names. @throws UsageError with all problems.
    void parse_audit(const std::vector<std::string>& arguments);

    AuditConfig audit;
    std::string json, output;

  private:
    void interpret(std::vector<std::string>& problems) override;

    std::vector<std::string> reductions_;
};

}  // namespace evengrad
