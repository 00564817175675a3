#include "data/named_file.hpp"

#include <charconv>

#include <evengrad/error.hpp>

namespace evengrad {

NamedFile parse_file(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon + 1 == text.size()) return {text, 0.0};
    double share = 0.0;
    const char* const end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data() + colon + 1, end, share);
    if (stop != end || problem == std::errc::invalid_argument) return {text, 0.0};
    if (problem != std::errc() || !(share > 0.0 && share <= 1e9))
        throw UsageError(fmt::format("{}: a share must be above 0 and at most 1e9", text),
                         "a.h5:3 b.h5:1 takes three sequences of a.h5 for one of b.h5");
    return {text.substr(0, colon), share};
}

NamedFiles parse_files(const std::vector<std::string>& files) {
    if (files.empty()) throw UsageError("--data names no file");
    NamedFiles named;
    for (const std::string& text : files) {
        const NamedFile file = parse_file(text);
        named.paths.push_back(file.path);
        if (file.share > 0.0) named.shares.push_back(file.share);
    }
    if (!named.shares.empty() && named.shares.size() != files.size())
        throw UsageError(fmt::format("{} of {} data files have a share (FILE:SHARE)",
                                     named.shares.size(), files.size()),
                         "give a share to each of them or to none");
    return named;
}

}  // namespace evengrad
