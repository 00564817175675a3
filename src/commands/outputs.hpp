// Where a command writes its results, which mustn't be what it reads.
#pragma once

#include <string>
#include <vector>

#include "commands/options.hpp"

namespace evengrad {

/// Adds a problem for each of the options `outputs` whose file another option names, too, or that
/// lies in a folder that another one names (a run's) and is there already. Looks at files: on rank
/// 0 only. @local
void check_outputs(const OptionTable& table, const std::vector<std::string>& outputs,
                   std::vector<std::string>& problems);

}  // namespace evengrad
