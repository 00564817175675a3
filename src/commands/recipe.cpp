#include "commands/recipe.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "base/text.hpp"
#include "data/readers.hpp"

namespace evengrad {

namespace {

constexpr const char* spaces = " \t\r";

std::string trimmed(const std::string& text) {
    const std::size_t begin = text.find_first_not_of(spaces);
    if (begin == std::string::npos) return {};
    return text.substr(begin, text.find_last_not_of(spaces) - begin + 1);
}

/// Up to a comment: # at the beginning or after a space.
std::string without_comment(const std::string& text) {
    for (std::size_t i = 0; i < text.size(); ++i)
        if (text[i] == '#' && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\t'))
            return text.substr(0, i);
    return text;
}

/// What stands between the quotes that `text` begins with; nothing when they don't end, or when
/// something other than a comment follows.
std::optional<std::string> unquoted(const std::string& text) {
    std::string value;
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"') {
            if (!trimmed(without_comment(text.substr(i + 1))).empty()) return std::nullopt;
            return value;
        }
        if (text[i] != '\\') {
            value += text[i];
            continue;
        }
        if (++i == text.size()) return std::nullopt;
        switch (text[i]) {
            case '"':
            case '\\':
                value += text[i];
                break;
            case 'n':
                value += '\n';
                break;
            case 'r':
                value += '\r';
                break;
            case 'x': {
                int byte = 0;
                const char* const digits = text.data() + i + 1;
                if (text.size() - i < 3 ||
                    std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2 || byte <= 0)
                    return std::nullopt;
                value += static_cast<char>(byte);
                i += 2;
                break;
            }
            default:
                return std::nullopt;
        }
    }
    return std::nullopt;
}

bool needs_quotes(const std::string& value) {
    return value.empty() || value.front() == '"' || trimmed(value) != value ||
           without_comment(value) != value || value.find('\n') != std::string::npos ||
           printable(value) != value;
}

}  // namespace

std::optional<RecipeLine> read_recipe_line(const std::string& line) {
    if (trimmed(without_comment(line)).empty()) return RecipeLine{};
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) return std::nullopt;
    RecipeLine result;
    result.name = trimmed(line.substr(0, equals));
    if (result.name.empty() || result.name.find_first_of("# \t[") != std::string::npos)
        return std::nullopt;
    const std::string rest = trimmed(line.substr(equals + 1));
    if (!rest.starts_with('"')) {
        result.value = trimmed(without_comment(line.substr(equals + 1)));
        return result;
    }
    const auto value = unquoted(rest);
    if (!value) return std::nullopt;
    result.value = *value;
    return result;
}

std::string write_recipe_line(const std::string& name, const std::string& value) {
    if (!needs_quotes(value)) return name + "=" + value;
    std::string text = name + "=\"";
    for (const char c : value) {
        if (c == '"' || c == '\\')
            text += {'\\', c};
        else if (c == '\n')
            text += "\\n";
        else
            text += c;
    }
    return printable(text) + '"';  // whose way to show control characters is read back
}

std::string read_recipe_file(const std::string& path, std::vector<std::string>& problems) {
    const auto fails = [&](const std::string& why) {
        problems.push_back(fmt::format("--config {}: {}", path, why));
        return std::string();
    };
    std::error_code failed;
    if (std::filesystem::is_directory(path, failed)) return fails("is a folder, not a recipe");
    std::ifstream in(path);
    if (!in) return fails(std::strerror(errno));
    // A recipe is a page of text; what is longer is something else.
    constexpr std::size_t most = std::size_t{1} << 20;
    std::string text;
    char piece[4096];
    do {
        in.read(piece, sizeof piece);
        text.append(piece, static_cast<std::size_t>(in.gcount()));
    } while (in && text.size() <= most);
    if (in.bad() || text.size() > most)
        return fails("not a recipe (longer than 1 MiB or unreadable)");
    if (text.find('\0') != std::string::npos) return fails("not a recipe (it has a byte 0)");
    if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
    return text;
}

}  // namespace evengrad
