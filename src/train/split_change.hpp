// Which option it was when a resumed run is to train on other tokens of the same files.
#pragma once

#include <string>

namespace evengrad {

/// "--valid-fraction is 0.1 in the checkpoint and 0.2 here, ...", from the two runs' recipes; empty
/// when it is the same in both, or when one of them isn't known (empty). @local
std::string split_change(const std::string& checkpoint_recipe, const std::string& recipe_here);

}  // namespace evengrad
