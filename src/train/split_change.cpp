#include "train/split_change.hpp"

#include <algorithm>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

namespace evengrad {

namespace {

/// Of a recipe's lines "valid-fraction=0.1   # what it is" the last; 0, the default, without one.
/// (A number is never quoted. The text in a file may be anything: it is only compared and shown.)
std::string valid_fraction(const std::string& recipe) {
    constexpr std::string_view before = "valid-fraction=";
    std::string value = "0";
    std::istringstream lines(recipe);
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with(before)) {
            const std::string rest = line.substr(before.size());
            value = rest.substr(0, std::min(rest.find_first_of(" \t\r#"), std::size_t{32}));
        }
    return value;
}

}  // namespace

std::string split_change(const std::string& checkpoint_recipe, const std::string& recipe_here) {
    if (checkpoint_recipe.empty() || recipe_here.empty()) return {};
    const std::string first = valid_fraction(checkpoint_recipe);
    const std::string second = valid_fraction(recipe_here);
    if (first == second) return {};
    return fmt::format(
        "--valid-fraction is {} in the checkpoint and {} here, which leaves other tokens to train "
        "on",
        first, second);
}

}  // namespace evengrad
