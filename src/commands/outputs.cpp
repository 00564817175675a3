#include "commands/outputs.hpp"

#include <filesystem>
#include <sstream>

#include <fmt/format.h>

namespace evengrad {

namespace {

namespace stdfs = std::filesystem;

/// Whether writing `target` would take away what `path` names.
bool would_replace(const stdfs::path& target, const stdfs::path& path) {
    std::error_code ignored;
    if (target.lexically_normal() == path.lexically_normal()) return true;
    if (!stdfs::exists(target, ignored)) return false;
    return stdfs::equivalent(target, path, ignored) ||
           (stdfs::is_directory(path, ignored) &&
            stdfs::equivalent(stdfs::absolute(target).parent_path(), path, ignored));
}

}  // namespace

void check_outputs(const OptionTable& table, const std::vector<std::string>& outputs,
                   std::vector<std::string>& problems) {
    const auto values = table.values();
    for (const std::string& output : outputs) {
        const std::string target = table.given_value(output);
        if (target.empty()) continue;
        for (const auto& [name, text] : values) {
            if (name == output || !table.given(name)) continue;
            std::istringstream lines(text);  // of a list, a value a line
            for (std::string value; std::getline(lines, value);)
                if (would_replace(target, value))
                    problems.push_back(
                        fmt::format("--{} {} would replace what --{} names: give another file",
                                    output, target, name));
        }
    }
}

}  // namespace evengrad
