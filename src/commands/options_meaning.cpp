// Which options mean nothing beside the others, and what becomes of them.
#include <algorithm>

#include <fmt/ranges.h>

#include "commands/options.hpp"

namespace evengrad {

void OptionTable::means_nothing_with(const std::vector<std::string>& names,
                                     const std::string& decider,
                                     const std::vector<std::string>& values) {
    for (const std::string& name : names)
        conditions_.push_back({.name = name, .deciders = {decider}, .values = values});
}

void OptionTable::means_something_with(const std::vector<std::string>& names,
                                       const std::string& decider,
                                       const std::vector<std::string>& values,
                                       std::vector<std::string> all) {
    std::erase_if(all, [&](const std::string& value) {
        return std::find(values.begin(), values.end(), value) != values.end();
    });
    means_nothing_with(names, decider, all);
}

void OptionTable::means_nothing_where(const std::vector<std::string>& names,
                                      const std::string& decider,
                                      bool (*holds)(const std::string& value),
                                      const std::string& why) {
    for (const std::string& name : names)
        conditions_.push_back({.name = name, .deciders = {decider}, .holds = holds, .why = why});
}

void OptionTable::means_nothing_without(const std::vector<std::string>& names,
                                        const std::vector<std::string>& deciders) {
    for (const std::string& name : names)
        conditions_.push_back({.name = name, .deciders = deciders});
}

/// Why an option has no meaning now; empty when it has one.
std::string OptionTable::why_meaningless(const Condition& condition) const {
    const auto text = [&](const std::string& name) {
        return fmt::format("{}", fmt::join(texts(name), "\n"));
    };
    if (!condition.values.empty()) {
        const std::string& decider = condition.deciders.front();
        const auto& values = condition.values;
        if (std::find(values.begin(), values.end(), text(decider)) == values.end()) return {};
        return text(decider).empty() ? "without --" + decider
                                     : fmt::format("with --{} {}", decider, text(decider));
    }
    if (condition.holds)
        return condition.holds(text(condition.deciders.front())) ? condition.why : "";
    for (const std::string& decider : condition.deciders)
        if (text(decider) != defaults_.at(decider)) return {};
    return fmt::format("without --{}", fmt::join(condition.deciders, " or --"));
}

void OptionTable::drop_or_report_meaningless(std::vector<std::string>& problems) {
    for (bool dropped = true; dropped;) {
        dropped = false;
        for (const Condition& condition : conditions_) {
            if (!given(condition.name) || why_meaningless(condition).empty()) continue;
            const bool overridden =
                !on_command_line(condition.name) &&
                std::any_of(condition.deciders.begin(), condition.deciders.end(),
                            [&](const std::string& name) { return on_command_line(name); });
            if (!overridden) continue;
            values_.erase(condition.name);
            where_.erase(condition.name);
            dropped = true;
        }
        if (dropped) set_defaults(problems);  // which may leave others without a meaning
    }
    for (const Condition& condition : conditions_) {
        if (!given(condition.name)) continue;
        const std::string why = why_meaningless(condition);
        if (why.empty()) continue;
        problems.push_back(
            fmt::format("{}--{} means nothing {}", where_[condition.name], condition.name, why));
    }
}

}  // namespace evengrad
