#include "base/json_problem.hpp"

namespace evengrad {

std::string json_problem(std::string what) {
    constexpr std::size_t longest = 120;
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ..."
    if (const auto start = what.find("error while parsing"); start != std::string::npos)
        what.erase(0, start);
    else if (const auto bracket = what.find("] "); bracket != std::string::npos)
        what.erase(0, bracket + 2);
    if (const auto quote = what.find("; last read"); quote != std::string::npos) what.erase(quote);
    if (what.size() > longest) what = what.substr(0, longest) + "...";
    return what;
}

}  // namespace evengrad
