#include "commands/options.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <sstream>
#include <utility>

#include "base/log.hpp"
#include "commands/recipe.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace po = boost::program_options;

namespace {

std::vector<std::string> texts_of(const boost::any& value) {
    if (const auto* list = boost::any_cast<std::vector<std::string>>(&value)) return *list;
    if (const auto* text = boost::any_cast<std::string>(&value)) return {*text};
    if (const auto* number = boost::any_cast<std::int64_t>(&value))
        return {std::to_string(*number)};
    if (const auto* number = boost::any_cast<std::uint64_t>(&value))
        return {std::to_string(*number)};
    if (const auto* number = boost::any_cast<int>(&value)) return {std::to_string(*number)};
    if (const auto* number = boost::any_cast<double>(&value)) return {fmt::format("{}", *number)};
    if (const auto* flag = boost::any_cast<bool>(&value)) return {*flag ? "true" : "false"};
    throw std::logic_error("an option of a type that has no text");
}

const std::type_info& type_of(const po::option_description& option) {
    const auto* typed = dynamic_cast<const po::typed_value_base*>(option.semantic().get());
    return typed ? typed->value_type() : typeid(std::string);
}

/// What kind of text an option takes, and whether `text` is too large a number rather than none.
std::string why_not(const po::option_description& option, const std::string& text) {
    const std::type_info& type = type_of(option);
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
    return type_of(option) == typeid(std::uint64_t) && text.starts_with('-');
}

/// Problems that are told. A file given as a recipe may be anything: a million lines, or one as
/// long.
constexpr std::size_t most_shown = 20;

/// Letters to insert, delete or replace to get from one word to the other (Levenshtein distance);
/// `most`, if there are that many or more.
std::size_t edits_between(const std::string& a, const std::string& b, std::size_t most) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = i, left = i + 1, least = left;
        row[0] = left;
        for (std::size_t j = 0; j < b.size(); ++j) {
            std::size_t& above = row[j + 1];
            left = std::min({left + 1, above + 1, diagonal + (a[i] == b[j] ? 0 : 1)});
            diagonal = std::exchange(above, left);
            least = std::min(least, left);
        }
        if (least >= most) return most;
    }
    return std::min(row.back(), most);
}

}  // namespace

// ------------------------------------------------------------------------------------ declaring

OptionTable::OptionTable(const std::string& caption) : caption_(caption), sections_(1) {}

void OptionTable::section(const std::string& heading) {
    sections_.push_back({heading, {}});
}

void OptionTable::add_option(const std::string& name, const po::value_semantic* semantic,
                             const std::string& help) {
    boost::shared_ptr<Description> option(new Description(name.c_str(), semantic, help.c_str()));
    description_.add(option);
    by_name_[name] = option.get();
    sections_.back().options.push_back(option);
}

void OptionTable::add_list(const std::string& name, std::vector<std::string>& values,
                           const std::string& help) {
    add_option(name, po::value(&values)->default_value(values, ""), help);
}

void OptionTable::add_rivals(const std::string& one, const std::string& other) {
    rivals_.emplace_back(one, other);
}

void OptionTable::only_on_command_line(const std::vector<std::string>& names) {
    only_on_command_line_.insert(names.begin(), names.end());
}

void OptionTable::leave_out(const std::vector<std::string>& names) {
    left_out_.insert(names.begin(), names.end());
    pass_over_in_recipe(names);
}

void OptionTable::pass_over_in_recipe(const std::vector<std::string>& names) {
    passed_over_.insert(names.begin(), names.end());
}

// -------------------------------------------------------------------------------------- finding

const po::option_description* OptionTable::find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
}

bool OptionTable::is_list(const std::string& name) const {
    return type_of(*find(name)) == typeid(std::vector<std::string>);
}

bool OptionTable::given(const std::string& name) const {
    return where_.count(name) > 0;
}

bool OptionTable::on_command_line(const std::string& name) const {
    const auto found = where_.find(name);
    return found != where_.end() && found->second.empty();
}

std::vector<std::string> OptionTable::texts(const std::string& name) const {
    return values_.count(name) > 0 ? texts_of(values_[name].value()) : std::vector<std::string>();
}

std::string OptionTable::given_value(const std::string& name) const {
    return given(name) ? fmt::format("{}", fmt::join(texts(name), "\n")) : std::string();
}

std::map<std::string, std::string> OptionTable::values() const {
    std::map<std::string, std::string> all;
    for (const auto& option : description_.options())
        all[option->long_name()] = fmt::format("{}", fmt::join(texts(option->long_name()), "\n"));
    return all;
}

/// "unknown option --num-layer", with what was probably meant, unless this is one of very many.
std::string OptionTable::unknown(const std::string& name, std::size_t problems) const {
    if (problems >= most_shown) return fmt::format("unknown option --{}", name);
    constexpr std::size_t most_edits = 3;
    std::string closest;
    std::size_t fewest = std::min(most_edits + 1, name.size());
    for (const auto& option : description_.options()) {
        const std::string& known = option->long_name();
        if (left_out_.count(known) > 0) continue;
        const bool begins = known.starts_with(name) && name.size() >= 3;
        // Each letter too many or too few is an edit. (A hostile name may have a million.)
        const std::size_t longer = std::max(name.size(), known.size());
        if (!begins && longer - std::min(name.size(), known.size()) >= fewest) continue;
        const std::size_t edits = begins ? 1 : edits_between(name, known, fewest);
        if (edits >= fewest) continue;
        fewest = edits;
        closest = known;
    }
    return fmt::format("unknown option --{}{}", name,
                       closest.empty() ? "" : fmt::format(" (--{}?)", closest));
}

// -------------------------------------------------------------------------------------- parsing

void OptionTable::store(const std::vector<Found>& options, std::vector<std::string>& problems) {
    std::map<std::string, Found> merged;  // the last of each, but of lists all values
    for (const Found& found : options) {
        const std::string& name = found.option.string_key;
        const auto [at, first] = merged.emplace(name, found);
        if (first) continue;
        if (is_list(name))
            at->second.option.value.insert(at->second.option.value.end(),
                                           found.option.value.begin(), found.option.value.end());
        else
            at->second = found;
    }
    po::basic_parsed_options<char> sound(&description_);
    for (const auto& [name, found] : merged) {
        // What was given before is stronger.
        if (given(name)) continue;
        const std::string text = found.option.value.empty() ? "" : found.option.value.front();
        try {
            if (wraps_around(*find(name), text)) throw po::invalid_option_value(text);
            boost::any value;  // Boost's store() would stop at the first problem
            find(name)->semantic()->parse(value, found.option.value, false);
            sound.options.push_back(found.option);
            where_[name] = found.where;
        } catch (const po::error&) {
            problems.push_back(
                fmt::format("{}--{}: {}", found.where, name, why_not(*find(name), text)));
        }
    }
    po::store(sound, values_);
}

// Not by Boost's command-line parser: that stops at the first problem, takes the value of an
// option that may stand alone only after "=", and hides an option that misses its value behind
// the next. Here a word that begins with "--" is an option, and "--lr=1" is "--lr 1", always.
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
        // No abbreviations: a misspelled option must not become another one.
        const po::option_description* known = find(option.string_key);
        const auto next_is_value = [&] {
            return i + 1 < arguments.size() && !is_option(arguments[i + 1]);
        };
        if (equals != std::string::npos)
            option.value.push_back(argument.substr(equals + 1));
        else if (next_is_value())
            option.value.push_back(arguments[++i]);
        while (known && is_list(option.string_key) && next_is_value())
            option.value.push_back(arguments[++i]);
        if (!known)
            problems.push_back(unknown(option.string_key, problems.size()));
        else if (left_out_.count(option.string_key) > 0)
            problems.push_back(
                fmt::format("--{} means nothing to {}", option.string_key, caption_));
        else if (option.value.empty() && known->semantic()->min_tokens() > 0)
            problems.push_back(fmt::format("--{} needs a value", option.string_key));
        else
            found.push_back({option, ""});
    }
    store(found, problems);
}

void OptionTable::parse_recipe(const std::string& text, const std::string& path,
                               std::vector<std::string>& problems) {
    parse_lines(text, path, true, problems);
}

void OptionTable::parse_resolved(const std::string& text, std::vector<std::string>& problems) {
    parse_lines(text, "resolved options", false, problems);
}

/// Line by line, so that each problem has its line and doesn't hide the others.
void OptionTable::parse_lines(const std::string& text, const std::string& source, bool recipe,
                              std::vector<std::string>& problems) {
    std::vector<Found> found;
    std::istringstream lines(text);
    std::int64_t number = 0;
    for (std::string line; std::getline(lines, line);) {
        const std::string where = fmt::format("{} line {}: ", source, ++number);
        const auto read = read_recipe_line(line);
        if (!read) {
            constexpr std::size_t shown = 60;
            problems.push_back(
                fmt::format("{}'{}' is not OPTION=VALUE", where, line.substr(0, shown)));
        } else if (read->name.empty()) {
            continue;
        } else if (!find(read->name)) {
            problems.push_back(where + unknown(read->name, problems.size()));
        } else if (recipe && only_on_command_line_.count(read->name) > 0) {
            problems.push_back(
                fmt::format("{}--{} belongs on the command line", where, read->name));
        } else if (!beaten_by_rival(read->name) &&
                   !(recipe && passed_over_.count(read->name) > 0)) {
            po::basic_option<char> option;
            option.string_key = read->name;
            option.value = {read->value};
            found.push_back({option, where});
        }
    }
    store(found, problems);
}

/// Whether the other way of saying it is on the command line (a recipe's option then loses).
bool OptionTable::beaten_by_rival(const std::string& name) const {
    return std::any_of(rivals_.begin(), rivals_.end(), [&](const auto& pair) {
        return (pair.first == name && on_command_line(pair.second)) ||
               (pair.second == name && on_command_line(pair.first));
    });
}

// ------------------------------------------------------------------------------------ finishing

void OptionTable::set_defaults(std::vector<std::string>& problems) {
    po::store(po::basic_parsed_options<char>(&description_), values_);
    try {
        po::notify(values_);
    } catch (const po::error& error) {
        problems.push_back(error.what());
    }
}

void OptionTable::finish(std::vector<std::string>& problems) {
    for (const auto& option : description_.options()) {
        boost::any value;
        if (option->semantic()->apply_default(value))
            defaults_[option->long_name()] = fmt::format("{}", fmt::join(texts_of(value), "\n"));
    }
    set_defaults(problems);
    for (const auto& [one, other] : rivals_)
        if (given(one) && given(other))
            problems.push_back(fmt::format("{}--{} and --{} contradict each other: give one",
                                           where_[other], one, other));
    drop_or_report_meaningless(problems);
}

std::optional<std::vector<std::int64_t>> whole_numbers(const std::string& text) {
    std::vector<std::int64_t> numbers;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != end) {
        std::int64_t number = 0;
        const auto [stop, error] = std::from_chars(at, end, number);
        if (error != std::errc() || (stop != end && *stop != ',') || stop + 1 == end)
            return std::nullopt;
        numbers.push_back(number);
        at = stop == end ? end : stop + 1;
    }
    return numbers;
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
    constexpr std::size_t most_letters = 1000;
    const auto shown = [](const std::string& problem) {
        std::string text = problem.substr(0, most_letters);
        if (text.size() < problem.size()) text += " ...";
        return text;
    };
    std::string message = problems.size() == 1 ? shown(problems.front())
                                               : fmt::format("{} problems:", problems.size());
    if (problems.size() > 1)
        for (std::size_t i = 0; i < std::min(problems.size(), most_shown); ++i)
            message += "\n  " + shown(problems[i]);
    if (problems.size() > most_shown)
        message += fmt::format("\n  and {} more", problems.size() - most_shown);
    throw UsageError(message, fmt::format("evengrad {} --help lists the options", verb));
}

}  // namespace evengrad
