#include "commands/outputs.hpp"

#include <filesystem>
#include <sstream>

#include <fmt/format.h>

namespace evengrad {

namespace fs = std::filesystem;

namespace {

/// Whether writing `target` would take away what `path` names.
bool would_replace(const fs::path& target, const fs::path& path) {
    std::error_code ignored;
    if (target.lexically_normal() == path.lexically_normal()) return true;
    if (!fs::exists(target, ignored)) return false;
    return fs::equivalent(target, path, ignored) ||
           (fs::is_directory(path, ignored) &&
            fs::equivalent(fs::absolute(target).parent_path(), path, ignored));
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
