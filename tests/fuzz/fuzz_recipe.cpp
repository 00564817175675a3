// Options of `evengrad train`: a command line and a recipe. What is accepted means the same when it
// is written out and read again, as text for other ranks and as a recipe for people.
#include "commands/train_options.hpp"
#include "fuzz.hpp"

namespace evengrad {
// Whether the values make sense together isn't parsing, and would bring the whole trainer along.
std::vector<std::string> TrainConfig::validate() const {
    return {};
}
}  // namespace evengrad

namespace evengrad::fuzz {
namespace {

/// Of all options but those that no recipe has.
std::map<std::string, std::string> values_of(const OptionTable& table) {
    std::map<std::string, std::string> values = table.values();
    for (const char* name : {"help", "config", "print-config", "overwrite", "resume", "override"})
        values.erase(name);
    return values;
}

/// The case: words of the command line, one a line, then a blank line, then the recipe.
void check(std::string_view bytes) {
    static const CaseFile file(".ini");
    std::vector<std::string> arguments;
    while (!bytes.empty()) {
        const std::string_view word = bytes.substr(0, bytes.find('\n'));
        bytes.remove_prefix(std::min(word.size() + 1, bytes.size()));
        if (word.empty()) break;
        // A second recipe would be any file of this machine; and no word has a zero byte.
        if (word.starts_with("--config") || word.find('\0') != word.npos) continue;
        arguments.emplace_back(word);
    }
    arguments.push_back("--config=" + file.write(bytes).string());
    TrainOptions options;
    try {
        options.parse(arguments);
    } catch (const UsageError& error) {
        const std::string_view message = error.what();
        FUZZ_CHECK(!message.empty() && message.size() < 32768);
        return;
    }
    if (options.help) return;
    const auto values = values_of(options.table);

    TrainOptions other_rank;
    other_rank.parse_resolved(options.table.resolved());
    FUZZ_CHECK(values_of(other_rank.table) == values);
    FUZZ_CHECK(other_rank.table.resolved() == options.table.resolved());

    TrainOptions again;
    again.parse({"--config=" + file.write(options.table.recipe()).string(), "--print-config"});
    FUZZ_CHECK(values_of(again.table) == values);
    FUZZ_CHECK(again.table.recipe() == options.table.recipe());
    FUZZ_CHECK(again.changes_since(options.table.recipe()).empty());
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({reinterpret_cast<const char*>(data), size});
    return 0;
}
