// The options of every verb: one table each, from which parsing, defaults, help and recipes come.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/program_options.hpp>
#include <fmt/format.h>

namespace evengrad {

/// A table of options, filled from the command line over a recipe over defaults.
///
/// A repeated option: the last wins, but for lists. All problems (unknown, malformed, missing a
/// value, given without having a meaning) are collected and reported together.
class OptionTable {
  public:
    explicit OptionTable(const std::string& caption);

    /// Options added from now on stand under this heading, in help and recipes.
    void section(const std::string& heading);
    /// An option with a default. `value` is where it ends up.
    template <class T>
    void add(const std::string& name, T& value, const std::string& help) {
        add_option(name, with_default(value), help);
    }
    /// An option that may stand alone and then means `implied`.
    template <class T>
    void add(const std::string& name, T& value, const T& implied, const std::string& help) {
        add_option(name, with_default(value)->implicit_value(implied, text(implied)), help);
    }
    /// An option with any number of values: `--input a b`, or `--input a --input b`; in a recipe a
    /// line each. Values on the command line replace all of the recipe's. A value may contain
    /// anything; one that begins with -- needs `--stop=--`.
    void add_list(const std::string& name, std::vector<std::string>& values,
                  const std::string& help);

    /// Two options that say the same thing in two ways. To give both is a contradiction, but one of
    /// them on the command line beats the other in a recipe.
    void add_rivals(const std::string& one, const std::string& other);

    /// When an option has no meaning. Giving it then is a mistake, which is reported, also when the
    /// value given is the default. A recipe must make sense by itself; but where the command line
    /// gives the option that decides, the recipe's options that depend on it are dropped.
    ///
    /// `names` have none when `decider` is one of `values`.
    void means_nothing_with(const std::vector<std::string>& names, const std::string& decider,
                            const std::vector<std::string>& values);
    /// `names` have none when `decider` is one of `all` but not of `values`. (A value that isn't
    /// known at all is a problem by itself.)
    void means_something_with(const std::vector<std::string>& names, const std::string& decider,
                              const std::vector<std::string>& values, std::vector<std::string> all);
    /// `names` have none where `holds` of the decider's value; `why` says it after "means nothing".
    void means_nothing_where(const std::vector<std::string>& names, const std::string& decider,
                             bool (*holds)(const std::string& value), const std::string& why);
    /// `names` have none unless one of `deciders` isn't at its default.
    void means_nothing_without(const std::vector<std::string>& names,
                               const std::vector<std::string>& deciders);
    /// Options that say what to do this time, rather than what a run is: no recipe has them.
    void only_on_command_line(const std::vector<std::string>& names);
    /// Options of the recipes that this verb shares with others, but not of this verb: it passes
    /// them over in a recipe; on the command line they are a mistake, and the help hasn't them.
    void leave_out(const std::vector<std::string>& names);
    /// Options that this verb takes from the command line only, though recipes have them.
    void pass_over_in_recipe(const std::vector<std::string>& names);

    /// Values from the command line (without program and verb). Problems go to `problems`.
    void parse(const std::vector<std::string>& arguments, std::vector<std::string>& problems);
    /// Values from the text of a recipe, for what the command line didn't give; `path` is where it
    /// came from, for messages.
    void parse_recipe(const std::string& text, const std::string& path,
                      std::vector<std::string>& problems);
    /// Values from the text of resolved(), in a process that has no command line.
    void parse_resolved(const std::string& text, std::vector<std::string>& problems);
    /// Writes all values to their places. Call once, last.
    void finish(std::vector<std::string>& problems);

    /// Once finished: lets an option that was left to be decided have the value that was, in what
    /// is printed and passed on.
    template <class T>
    void decide(const std::string& name, const T& value) {
        values_.find(name)->second.value() = value;
    }

    /// Whether it was given, on the command line or in the recipe.
    bool given(const std::string& name) const;
    bool on_command_line(const std::string& name) const;
    /// Its value as text; empty when it wasn't given.
    std::string given_value(const std::string& name) const;
    /// Every option's value as text; a list's values one a line.
    std::map<std::string, std::string> values() const;
    /// All options that have a meaning, as lines NAME=VALUE: the same configuration elsewhere.
    std::string resolved() const;
    /// "--lr 0.1 -> 0.2" for each option that recipes have and that differs, but for `without`.
    std::vector<std::string> changes_since(const OptionTable& before,
                                           const std::vector<std::string>& without) const;
    /// All in force as a recipe to read and keep, without what only the command line has: sections,
    /// and each option with its help. What isn't set is there as a comment.
    std::string recipe() const;
    std::string help() const;

  private:
    using Description = boost::program_options::option_description;
    using Descriptions = boost::program_options::options_description;

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
    /// `name` means nothing with `decider` at one of `values`; or where `holds` of it; or, where
    /// there is neither, without one of `deciders`.
    struct Condition {
        std::string name;
        std::vector<std::string> deciders{}, values{};
        bool (*holds)(const std::string& value) = nullptr;
        std::string why{};
    };

    void add_option(const std::string& name, const boost::program_options::value_semantic* semantic,
                    const std::string& help);
    void parse_lines(const std::string& text, const std::string& source, bool recipe,
                     std::vector<std::string>& problems);
    void store(const std::vector<Found>& options, std::vector<std::string>& problems);
    void set_defaults(std::vector<std::string>& problems);
    void drop_or_report_meaningless(std::vector<std::string>& problems);
    std::string why_meaningless(const Condition& condition) const;
    bool is_list(const std::string& name) const;
    bool beaten_by_rival(const std::string& name) const;
    bool takes_effect(const std::string& name) const;
    std::vector<std::string> texts(const std::string& name) const;
    const Description* find(const std::string& name) const;
    std::string unknown(const std::string& name, std::size_t problems) const;

    std::string caption_;
    Descriptions description_;  ///< all, for Boost
    std::map<std::string, const Description*> by_name_;
    struct Section {
        std::string heading;
        std::vector<boost::shared_ptr<Description>> options;
    };
    std::vector<Section> sections_;
    boost::program_options::variables_map values_;
    std::map<std::string, std::string> defaults_;  ///< as text
    std::map<std::string, std::string> where_;     ///< what was given, and where
    std::vector<std::pair<std::string, std::string>> rivals_;
    std::vector<Condition> conditions_;
    std::set<std::string> only_on_command_line_, left_out_, passed_over_;
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

/// Names in the order of the enumeration, for choose().
template <class Enum, std::size_t Count>
std::vector<std::pair<const char*, Enum>> choices_of(const std::array<const char*, Count>& names) {
    std::vector<std::pair<const char*, Enum>> choices;
    for (std::size_t i = 0; i < Count; ++i) choices.emplace_back(names[i], static_cast<Enum>(i));
    return choices;
}

/// "64,256,10" as numbers; none for what isn't whole numbers between commas.
std::optional<std::vector<std::int64_t>> whole_numbers(const std::string& text);

/// The option --log-level, for verbs that take long or can do half of what was asked.
void add_log_level(OptionTable& table, std::string& text);
/// Puts it in force. On rank 0 only: the others stay silent.
void use_log_level(const std::string& text, std::vector<std::string>& problems);

/// Throws UsageError with all problems, unless there are none.
void fail_on(const std::vector<std::string>& problems, const std::string& verb);

}  // namespace evengrad
