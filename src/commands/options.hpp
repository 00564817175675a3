// The options of every verb: one table each, from which parsing, defaults, help and the resolved
// recipe come.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <boost/program_options.hpp>
#include <fmt/format.h>

namespace evengrad {

/// A table of options, filled from the command line over a recipe over defaults.
///
/// A repeated option: the last wins. All problems (unknown, malformed, missing a value) are
/// collected and reported together.
class OptionTable {
  public:
    explicit OptionTable(const std::string& caption) : description_(caption, 100, 50) {}

    /// An option with a default. `value` is where it ends up.
    template <class T>
    void add(const std::string& name, T& value, const std::string& help) {
        description_.add_options()(name.c_str(), with_default(value), help.c_str());
    }
    /// An option that may stand alone and then means `implied`.
    template <class T>
    void add(const std::string& name, T& value, const T& implied, const std::string& help) {
        description_.add_options()(name.c_str(),
                                   with_default(value)->implicit_value(implied, text(implied)),
                                   help.c_str());
    }
    /// Two options that say the same thing in two ways. One of them on the command line beats the
    /// other in a recipe.
    void add_rivals(const std::string& one, const std::string& other);

    /// Values from the command line (without program and verb). Problems go to `problems`.
    void parse(const std::vector<std::string>& arguments, std::vector<std::string>& problems);
    /// Values from a recipe file (INI), for what the command line didn't give.
    void parse_recipe(const std::string& path, std::vector<std::string>& problems);
    /// Writes all values to their places. Call once, last.
    void finish(std::vector<std::string>& problems);

    /// Whether it was given, on the command line or in the recipe.
    bool given(const std::string& name) const;
    /// Its value as text; empty when it wasn't given.
    std::string given_value(const std::string& name) const;
    /// All options and values as a recipe that gives the same configuration.
    std::string resolved() const;
    std::string help() const;

  private:
    /// Boost would show a default of 0.1 as 0.10000000000000001, and false as 0.
    template <class T>
    static std::string text(const T& value) {
        return fmt::format("{}", value);
    }
    template <class T>
    static boost::program_options::typed_value<T>* with_default(T& value) {
        return boost::program_options::value<T>(&value)->default_value(value, text(value));
    }

    /// An option as it was found, and where: "" for the command line, "FILE line N: " for a recipe.
    struct Found {
        boost::program_options::basic_option<char> option;
        std::string where;
    };
    void store(const std::vector<Found>& options, std::vector<std::string>& problems);
    bool rival_given(const std::string& name) const;
    const boost::program_options::option_description* find(const std::string& name) const;
    std::string unknown(const std::string& name) const;

    boost::program_options::options_description description_;
    boost::program_options::variables_map values_;
    std::vector<std::pair<std::string, std::string>> rivals_;
};

/// Sets `value` to what `text` names among the choices; adds a problem when it names none.
template <class Enum>
void choose(const std::string& option, const std::string& text, Enum& value,
            const std::vector<std::pair<const char*, Enum>>& choices,
            std::vector<std::string>& problems) {
    std::string names;
    for (const auto& [name, choice] : choices) {
        if (text == name) {
            value = choice;
            return;
        }
        names += (names.empty() ? "" : ", ") + std::string(name);
    }
    problems.push_back(fmt::format("--{} can be {}, not '{}'", option, names, text));
}

/// The option --log-level, for verbs that take long or can do half of what was asked.
void add_log_level(OptionTable& table, std::string& text);
/// Puts it in force. On rank 0 only: the others stay silent.
void use_log_level(const std::string& text, std::vector<std::string>& problems);

/// Throws UsageError with all problems, unless there are none.
void fail_on(const std::vector<std::string>& problems, const std::string& verb);

}  // namespace evengrad
