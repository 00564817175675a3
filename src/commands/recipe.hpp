// The syntax of recipes: lines NAME=VALUE, and # comments.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace evengrad {

/// One line of a recipe. Spaces around name and value don't count, nor does a comment: # where a
/// line begins or after a space. A value in double quotes is taken as it is, with \" \\ \n \r and
/// \x1b (two hexadecimal digits) for what couldn't stand there otherwise.
struct RecipeLine {
    std::string name;  ///< empty: a blank line or only a comment
    std::string value;
};

/// @returns nothing for a line that isn't one.
std::optional<RecipeLine> read_recipe_line(const std::string& line);

/// The line that reads back as this option, quoted where it must be.
std::string write_recipe_line(const std::string& name, const std::string& value);

/// A recipe's text. Adds a problem, and returns an empty text, when it can't be read or isn't one.
/// @param problems gets "--config PATH: ..."
std::string read_recipe_file(const std::string& path, std::vector<std::string>& problems);

}  // namespace evengrad
