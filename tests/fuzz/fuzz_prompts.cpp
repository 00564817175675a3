// Files of prompts: each is what its line says, and valid UTF-8.
#include <sstream>

#include <nlohmann/json.hpp>
#include <utf8.h>

#include "commands/prompts.hpp"
#include "fuzz.hpp"

namespace evengrad {
// For result_line, which isn't called here: the rest of generating need not be linked.
std::string_view name_of(StoppedBy) {
    return "";
}
}  // namespace evengrad

namespace evengrad::fuzz {
namespace {

void check(Choices choices) {
    static const CaseFile text_file(".txt"), json_file(".jsonl");
    constexpr std::size_t read_sizes[] = {0, 1, 2, 3, 5, 16};
    const bool is_json = choices.below(2) == 1;
    set_read_size(read_sizes[choices.below(6)]);
    const std::string_view bytes = choices.rest();
    std::vector<Prompt> prompts;
    if (refused([&] { prompts = read_prompts((is_json ? json_file : text_file).write(bytes)); }))
        return;

    FUZZ_CHECK(!prompts.empty());
    std::istringstream lines{std::string(bytes)};
    std::size_t count = 0;
    std::int64_t number = 0;
    for (std::string line; std::getline(lines, line);) {
        if (++number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
        if (line.ends_with('\r')) line.pop_back();
        if (line.find_first_not_of(" \t") == std::string::npos) continue;
        FUZZ_CHECK(count < prompts.size());
        const Prompt& prompt = prompts[count++];
        FUZZ_CHECK(utf8::is_valid(prompt.text.begin(), prompt.text.end()));
        FUZZ_CHECK(prompt.where.ends_with(fmt::format(" line {}", number)));
        FUZZ_CHECK(prompt.text ==
                   (is_json ? nlohmann::json::parse(line)["prompt"].get<std::string>() : line));
    }
    FUZZ_CHECK(count == prompts.size());
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({data, size});
    return 0;
}
