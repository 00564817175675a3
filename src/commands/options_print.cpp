// What an option table prints: the resolved options, recipes, help.
#include <algorithm>
#include <sstream>

#include "commands/options.hpp"
#include "commands/recipe.hpp"

namespace evengrad {

/// Whether an option is part of what is in force: of two rivals it is the one that was given, or
/// the one declared first.
bool OptionTable::takes_effect(const std::string& name) const {
    if (left_out_.count(name) > 0) return false;
    for (const auto& [one, other] : rivals_)
        if ((name == one && given(other)) || (name == other && !given(other))) return false;
    return std::all_of(conditions_.begin(), conditions_.end(), [&](const Condition& condition) {
        return condition.name != name || why_meaningless(condition).empty();
    });
}

std::string OptionTable::resolved() const {
    std::string lines;
    for (const auto& option : description_.options()) {
        const std::string& name = option->long_name();
        if (!given(name) && (!takes_effect(name) || texts(name) == std::vector<std::string>{""}))
            continue;
        for (const std::string& value : texts(name)) lines += write_recipe_line(name, value) + '\n';
    }
    return lines;
}

std::vector<std::string> OptionTable::changes_since(const OptionTable& before,
                                                    const std::vector<std::string>& without) const {
    std::vector<std::string> changes;
    const auto shown = [](const std::vector<std::string>& values) {
        const std::string text = fmt::format("{}", fmt::join(values, ", "));
        return text.empty() ? "unset" : text;
    };
    for (const auto& option : description_.options()) {
        const std::string& name = option->long_name();
        if (only_on_command_line_.count(name) > 0 || before.texts(name) == texts(name) ||
            std::find(without.begin(), without.end(), name) != without.end())
            continue;
        changes.push_back(
            fmt::format("--{} {} -> {}", name, shown(before.texts(name)), shown(texts(name))));
    }
    return changes;
}

std::string OptionTable::recipe() const {
    constexpr int help_column = 34;
    std::string lines;
    for (const Section& section : sections_) {
        std::string options;
        for (const auto& option : section.options) {
            const std::string& name = option->long_name();
            if (only_on_command_line_.count(name) > 0 || !takes_effect(name)) continue;
            std::vector<std::string> values;
            for (const std::string& value : texts(name))
                if (given(name) || !value.empty()) values.push_back(write_recipe_line(name, value));
            if (values.empty()) values.push_back(fmt::format("# {}=", name));
            for (std::size_t i = 0; i < values.size(); ++i)
                options += i == 0 ? fmt::format("{:<{}} # {}\n", values[i], help_column,
                                                option->description())
                                  : values[i] + '\n';
        }
        if (options.empty()) continue;
        if (!lines.empty()) lines += '\n';
        if (!section.heading.empty()) lines += fmt::format("# ---- {}\n", section.heading);
        lines += options;
    }
    return lines;
}

std::string OptionTable::help() const {
    constexpr unsigned columns = 100, text_columns = 50;
    std::ostringstream out;
    out << caption_ << ":\n";
    for (const Section& section : sections_) {
        Descriptions part(section.heading, columns, text_columns);
        for (const auto& option : section.options)
            if (left_out_.count(option->long_name()) == 0) part.add(option);
        if (part.options().empty()) continue;
        out << part;
        if (&section != &sections_.back()) out << '\n';
    }
    return out.str();
}

}  // namespace evengrad
