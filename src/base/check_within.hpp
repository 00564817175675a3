// The one way to refuse an option's number that is out of bounds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace evengrad {

/// Whether `value` is one of [low, high]; else there is another problem. @local
inline bool check_within(std::int64_t value, std::int64_t low, std::int64_t high,
                         const std::string& option, std::vector<std::string>& problems) {
    if (value >= low && value <= high) return true;
    problems.push_back(
        fmt::format("--{} must be between {} and {}, not {}", option, low, high, value));
    return false;
}

}  // namespace evengrad
