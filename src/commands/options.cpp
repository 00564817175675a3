#include "commands/options.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>

#include "base/log.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace po = boost::program_options;

namespace {

std::string text_of(const boost::any& value) {
    if (const auto* text = boost::any_cast<std::string>(&value)) return *text;
    if (const auto* number = boost::any_cast<std::int64_t>(&value)) return std::to_string(*number);
    if (const auto* number = boost::any_cast<std::uint64_t>(&value)) return std::to_string(*number);
    if (const auto* number = boost::any_cast<int>(&value)) return std::to_string(*number);
    if (const auto* number = boost::any_cast<double>(&value)) return fmt::format("{}", *number);
    if (const auto* flag = boost::any_cast<bool>(&value)) return *flag ? "true" : "false";
    throw std::logic_error("an option of a type that has no text");
}

/// What kind of text an option takes, and whether `text` is too large a number rather than none.
std::string why_not(const po::option_description& option, const std::string& text) {
    const auto* typed = dynamic_cast<const po::typed_value_base*>(option.semantic().get());
    const std::type_info& type = typed ? typed->value_type() : typeid(std::string);
    if (type == typeid(bool)) return fmt::format("'{}' is not true or false", text);
    if (type == typeid(double)) return fmt::format("'{}' is not a number", text);
    const std::size_t digits = text.find_first_of("0123456789");
    const bool negative = text.starts_with('-');
    const bool whole = digits <= (negative || text.starts_with('+') ? 1u : 0u) &&
                       text.find_first_not_of("0123456789", digits) == std::string::npos;
    if (!whole) return fmt::format("'{}' is not a whole number", text);
    if (negative && type == typeid(std::uint64_t))
        return fmt::format("must be at least 0, not {}", text);
    return fmt::format("{} has too many digits", text);
}

/// boost::lexical_cast would wrap a negative number around.
bool wraps_around(const po::option_description& option, const std::string& text) {
    const auto* typed = dynamic_cast<const po::typed_value_base*>(option.semantic().get());
    return typed && typed->value_type() == typeid(std::uint64_t) && text.starts_with('-');
}

/// Letters to insert, delete or replace to get from one word to the other (Levenshtein distance).
std::size_t edits_between(const std::string& a, const std::string& b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
        }
    }
    return row.back();
}

}  // namespace

void OptionTable::add_rivals(const std::string& one, const std::string& other) {
    rivals_.emplace_back(one, other);
}

bool OptionTable::rival_given(const std::string& name) const {
    return std::any_of(rivals_.begin(), rivals_.end(), [&](const auto& pair) {
        return (pair.first == name && given(pair.second)) ||
               (pair.second == name && given(pair.first));
    });
}

const po::option_description* OptionTable::find(const std::string& name) const {
    return description_.find_nothrow(name, false);
}

/// "unknown option --num-layer", with what was probably meant.
std::string OptionTable::unknown(const std::string& name) const {
    constexpr std::size_t most_edits = 3;
    std::string closest;
    std::size_t fewest = std::min(most_edits + 1, name.size());
    for (const auto& option : description_.options()) {
        const std::string& known = option->long_name();
        const std::size_t edits =
            known.starts_with(name) && name.size() >= 3 ? 1 : edits_between(name, known);
        if (edits >= fewest) continue;
        fewest = edits;
        closest = known;
    }
    return fmt::format("unknown option --{}{}", name,
                       closest.empty() ? "" : fmt::format(" (--{}?)", closest));
}

void OptionTable::store(const std::vector<Found>& options, std::vector<std::string>& problems) {
    std::map<std::string, const Found*> last;
    for (const Found& found : options) last[found.option.string_key] = &found;
    // What was given before is stronger: it beats these.
    const po::variables_map before = values_;
    const auto given_before = [&](const std::string& name) {
        return before.count(name) > 0 && !before[name].defaulted();
    };
    for (const auto& [name, found] : last) {
        if (given_before(name)) continue;
        const std::string text = found->option.value.empty() ? "" : found->option.value.front();
        try {
            if (wraps_around(*find(name), text)) throw po::invalid_option_value(text);
            po::basic_parsed_options<char> one(&description_);
            one.options.push_back(found->option);
            po::store(one, values_);
        } catch (const po::error&) {
            values_.erase(name);  // left there, empty, by the failed attempt
            problems.push_back(
                fmt::format("{}--{}: {}", found->where, name, why_not(*find(name), text)));
        }
    }
}

// Not by Boost's command-line parser: that stops at the first problem, takes the value of an
// unknown option for a stray word, and `--data --save` for a file named "--save".
void OptionTable::parse(const std::vector<std::string>& arguments,
                        std::vector<std::string>& problems) {
    std::vector<Found> found;
    const auto is_option = [](const std::string& text) {
        return text.starts_with("--") && text.size() > 2;
    };
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (!is_option(argument)) {
            problems.push_back(fmt::format("'{}' is not an option (they begin with --)", argument));
            continue;
        }
        const std::size_t equals = argument.find('=');
        po::basic_option<char> option;
        option.string_key = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
        if (equals != std::string::npos)
            option.value.push_back(argument.substr(equals + 1));
        else if (i + 1 < arguments.size() && !is_option(arguments[i + 1]))
            option.value.push_back(arguments[++i]);
        // No abbreviations: a misspelled option must not become another one.
        const po::option_description* known = find(option.string_key);
        if (!known)
            problems.push_back(unknown(option.string_key));
        else if (option.value.empty() && known->semantic()->min_tokens() > 0)
            problems.push_back(fmt::format("--{} needs a value", option.string_key));
        else
            found.push_back({option, ""});
    }
    store(found, problems);
}

void OptionTable::parse_recipe(const std::string& path, std::vector<std::string>& problems) {
    std::error_code failed;
    if (std::filesystem::is_directory(path, failed)) {
        problems.push_back(fmt::format("--config {}: is a folder, not a recipe", path));
        return;
    }
    std::ifstream in(path);
    if (!in) {
        problems.push_back(fmt::format("--config {}: {}", path, std::strerror(errno)));
        return;
    }
    // A recipe is a page of text; what is longer is something else.
    constexpr std::streamsize most = 1 << 20;
    std::string text(static_cast<std::size_t>(most), '\0');
    in.read(text.data(), most);
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (in.bad() || in.peek() != std::ifstream::traits_type::eof()) {
        problems.push_back(
            fmt::format("--config {}: not a recipe (longer than 1 MiB or unreadable)", path));
        return;
    }
    // Line by line, so that each problem has its line and doesn't hide the others.
    std::vector<Found> found;
    std::istringstream lines(text);
    std::int64_t number = 0;
    for (std::string line; std::getline(lines, line);) {
        const std::string where = fmt::format("{} line {}: ", path, ++number);
        std::istringstream stream(line);
        try {
            const std::size_t begin = line.find_first_not_of(" \t\r");
            if (begin != std::string::npos && line[begin] == '[') throw po::error("a section");
            for (const auto& option : po::parse_config_file(stream, description_, true).options) {
                if (!find(option.string_key))
                    problems.push_back(where + unknown(option.string_key));
                else if (option.string_key == "config" || option.string_key == "help")
                    problems.push_back(fmt::format("{}--{} belongs on the command line", where,
                                                   option.string_key));
                else if (!rival_given(option.string_key))
                    found.push_back({option, where});
            }
        } catch (const po::error&) {
            constexpr std::size_t shown = 60;
            problems.push_back(
                fmt::format("{}'{}' is not OPTION=VALUE", where, line.substr(0, shown)));
        }
    }
    store(found, problems);
}

void OptionTable::finish(std::vector<std::string>& problems) {
    // Defaults for what nobody gave.
    po::store(po::basic_parsed_options<char>(&description_), values_);
    try {
        po::notify(values_);
    } catch (const po::error& error) {
        problems.push_back(error.what());
    }
}

bool OptionTable::given(const std::string& name) const {
    return values_.count(name) > 0 && !values_[name].defaulted();
}

std::string OptionTable::given_value(const std::string& name) const {
    return given(name) ? text_of(values_[name].value()) : std::string();
}

std::string OptionTable::resolved() const {
    std::string text;
    for (const auto& option : description_.options()) {
        const std::string& name = option->long_name();
        if (name == "config" || name == "help" || (rival_given(name) && !given(name))) continue;
        text += fmt::format("{}={}\n", name, text_of(values_[name].value()));
    }
    return text;
}

std::string OptionTable::help() const {
    std::ostringstream out;
    out << description_;
    return out.str();
}

void add_log_level(OptionTable& table, std::string& text) {
    table.add("log-level", text,
              "error, warning (no banner, no progress), info, or debug (times of each step)");
}

void use_log_level(const std::string& text, std::vector<std::string>& problems) {
    std::vector<std::pair<const char*, LogLevel>> choices;
    for (std::size_t i = 0; i < log_level_names.size(); ++i)
        choices.emplace_back(log_level_names[i], static_cast<LogLevel>(i));
    LogLevel level = LogLevel::info;
    choose("log-level", text, level, choices, problems);
    set_log_level(level);
}

void fail_on(const std::vector<std::string>& problems, const std::string& verb) {
    if (problems.empty()) return;
    std::string message =
        problems.size() == 1 ? problems.front() : fmt::format("{} problems:", problems.size());
    if (problems.size() > 1)
        for (const std::string& problem : problems) message += "\n  " + problem;
    throw UsageError(message, fmt::format("evengrad {} --help lists the options", verb));
}

}  // namespace evengrad
