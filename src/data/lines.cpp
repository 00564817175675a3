#include "data/lines.hpp"

#include <algorithm>

#include <evengrad/error.hpp>

namespace evengrad {

bool Lines::next(std::string& line) {
    line.clear();
    bool found_any = false;
    while (!in_.bytes().empty() || in_.more()) {
        if (!found_any) ++number_;
        found_any = true;
        const std::string_view bytes = in_.bytes();
        const std::size_t count = std::min(bytes.find('\n'), bytes.size());
        if (line.size() + count > max_line_bytes)
            throw Error(fmt::format("{} line {}: longer than {} MiB", in_.name(), number_,
                                    max_line_bytes >> 20),
                        "put one document on each line; cut longer documents into several");
        line += bytes.substr(0, count);
        const bool ended = count < bytes.size();
        in_.consume(count + (ended ? 1 : 0));
        if (ended) return true;
    }
    return found_any;
}

}  // namespace evengrad
