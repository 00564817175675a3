#include "train/stop_text.hpp"

#include <algorithm>
#include <utility>

namespace evengrad {

std::string StopText::add(std::string_view text) {
    if (stopped_) return {};
    std::string passed;
    for (const char byte : text) {
        held_ += byte;
        // Whatever of `held_` can't begin a stop string that reaches its end is free to go.
        std::size_t longest_match = 0, longest_begin = 0;
        for (const std::string& stop : strings_) {
            if (held_.ends_with(stop)) longest_match = std::max(longest_match, stop.size());
            for (std::size_t length = std::min(stop.size() - 1, held_.size());
                 length > longest_begin; --length)
                if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, length)))
                    longest_begin = length;
        }
        stopped_ = longest_match > 0;
        const std::size_t kept = stopped_ ? longest_match : longest_begin;
        passed.append(held_, 0, held_.size() - kept);
        held_.erase(0, held_.size() - kept);
        if (stopped_) {
            held_.clear();
            break;
        }
    }
    return passed;
}

std::string StopText::rest() {
    return std::exchange(held_, {});
}

}  // namespace evengrad
