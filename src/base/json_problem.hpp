// What the JSON library says is wrong, fit for a message.
#pragma once

#include <string>

namespace evengrad {

/// `what` is the text of a nlohmann::json::exception. Its own numbering is dropped, and what it
/// quotes of the input, which may be the whole of it; long numbers are cut.
std::string json_problem(std::string what);

}  // namespace evengrad
