#include "commands/options.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <evengrad/error.hpp>

namespace evengrad {

namespace po = boost::program_options;

namespace {

/// Two dashes only, no abbreviations: a misspelled option must not become another one.
constexpr int style = po::command_line_style::allow_long |
                      po::command_line_style::long_allow_adjacent |
                      po::command_line_style::long_allow_next;

std::string text_of(const boost::any& value) {
    if (const auto* text = boost::any_cast<std::string>(&value)) return *text;
    if (const auto* number = boost::any_cast<std::int64_t>(&value)) return std::to_string(*number);
    if (const auto* number = boost::any_cast<std::uint64_t>(&value)) return std::to_string(*number);
    if (const auto* number = boost::any_cast<int>(&value)) return std::to_string(*number);
    if (const auto* number = boost::any_cast<double>(&value)) return fmt::format("{}", *number);
    if (const auto* flag = boost::any_cast<bool>(&value)) return *flag ? "true" : "false";
    throw std::logic_error("an option of a type that has no text");
}

}  // namespace

void OptionTable::store(const po::basic_parsed_options<char>& parsed, const std::string& source,
                        std::vector<std::string>& problems) {
    std::map<std::string, po::basic_option<char>> last;
    for (const auto& option : parsed.options) {
        if (option.position_key >= 0 && option.string_key.empty()) {
            problems.push_back(fmt::format("'{}' on {} is not an option (they begin with --)",
                                           fmt::join(option.value, " "), source));
        } else if (option.unregistered || !description_.find_nothrow(option.string_key, false)) {
            problems.push_back(fmt::format("unknown option --{} ({})", option.string_key, source));
        } else {
            last[option.string_key] = option;
        }
    }
    for (const auto& [name, option] : last) {
        po::basic_parsed_options<char> one(&description_);
        one.options.push_back(option);
        try {
            po::store(one, values_);
        } catch (const po::error& error) {
            problems.push_back(fmt::format("--{} ({}): {} is not a value it can have", name, source,
                                           option.value.empty()
                                               ? "nothing"
                                               : "'" + option.value.front() + "'"));
        }
    }
}

void OptionTable::parse(const std::vector<std::string>& arguments,
                        std::vector<std::string>& problems) {
    // One option at a time, so that a malformed one doesn't hide the others.
    std::vector<std::string> rest = arguments;
    while (true) {
        try {
            store(po::command_line_parser(rest)
                      .options(description_)
                      .style(style)
                      .allow_unregistered()
                      .run(),
                  "the command line", problems);
            return;
        } catch (const po::error_with_option_name& error) {
            problems.push_back(fmt::format("{}", error.what()));
            const std::string name = error.get_option_name();
            const auto bad = std::find(rest.begin(), rest.end(), name);
            if (bad == rest.end()) return;
            rest.erase(bad);
        }
    }
}

void OptionTable::parse_recipe(const std::string& path, std::vector<std::string>& problems) {
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
    if (in.peek() != std::ifstream::traits_type::eof() || in.bad()) {
        problems.push_back(fmt::format("--config {}: not a recipe (longer than 1 MiB or unreadable)",
                                       path));
        return;
    }
    try {
        std::istringstream stream(text);
        store(po::parse_config_file(stream, description_, true), path, problems);
    } catch (const po::error& error) {
        problems.push_back(fmt::format("--config {}: {}", path, error.what()));
    }
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

std::string OptionTable::value_on_command_line(const std::string& name) const {
    return given(name) ? text_of(values_[name].value()) : std::string();
}

std::string OptionTable::resolved() const {
    std::string text;
    for (const auto& option : description_.options()) {
        const std::string& name = option->long_name();
        if (name == "config" || name == "help") continue;
        text += fmt::format("{}={}\n", name, text_of(values_[name].value()));
    }
    return text;
}

std::string OptionTable::help() const {
    std::ostringstream out;
    out << description_;
    return out.str();
}

void fail_on(const std::vector<std::string>& problems, const std::string& verb) {
    if (problems.empty()) return;
    std::string message = problems.size() == 1
                              ? problems.front()
                              : fmt::format("{} problems:", problems.size());
    if (problems.size() > 1)
        for (const std::string& problem : problems) message += "\n  " + problem;
    throw UsageError(message, fmt::format("evengrad {} --help lists the options", verb));
}

}  // namespace evengrad
