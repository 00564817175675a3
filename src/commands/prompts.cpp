#include "commands/prompts.hpp"

#include <unordered_map>

#include <nlohmann/json.hpp>
#include <utf8.h>

#include "data/lines.hpp"
#include "data/readers.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

using nlohmann::json;

constexpr const char* prompt_hint =
    R"(a .txt file has a prompt a line, a .jsonl file {"prompt": "..."} a line)";

/// A line's prompt. @throws Error without the line's place.
std::string prompt_of_json(const std::string& line) {
    constexpr int deepest = 64;
    // What lies deeper than the object's own values is dropped as it is read: it costs no memory.
    const json::parser_callback_t drop = [&](int depth, json::parse_event_t event, json&) {
        const bool opens =
            event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
        if (depth > deepest) throw Error("nested too deeply");
        return !(opens && depth > 0);
    };
    json object;
    try {
        object = json::parse(line, drop);
    } catch (const json::parse_error& error) {
        throw Error(fmt::format("not valid JSON, byte {}", error.byte));
    } catch (const json::exception&) {
        throw Error("not valid JSON: a number is out of range");
    }
    if (!object.is_object()) throw Error("not an object");
    const auto found = object.find("prompt");
    if (found == object.end() || !found->is_string())
        throw Error("has no \"prompt\" that is a text");
    return found->get<std::string>();
}

}  // namespace

void check_utf8(const std::string& text) {
    const auto invalid = utf8::find_invalid(text.begin(), text.end());
    if (invalid != text.end())
        throw Error(fmt::format("not valid UTF-8, byte {}", 1 + (invalid - text.begin())));
}

std::vector<Prompt> read_prompts(const std::filesystem::path& path) {
    ByteStream file(path);
    const std::string extension = path.extension().string();
    if (extension != ".txt" && extension != ".jsonl")
        throw UsageError(fmt::format("--prompts {}: unknown kind of file", path.string()),
                         prompt_hint);
    Lines lines(file);
    std::vector<Prompt> prompts;
    std::unordered_map<std::string, std::uint32_t> seen;
    for (std::string line; lines.next(line);) {
        const std::string where = fmt::format("{} line {}", file.name(), lines.number());
        try {
            check_utf8(line);
            if (lines.number() == 1 && line.starts_with(byte_order_mark))
                line.erase(0, byte_order_mark.size());
            if (line.ends_with('\r')) line.pop_back();
            if (line.find_first_not_of(" \t") == std::string::npos) continue;
            const std::string text = extension == ".txt" ? line : prompt_of_json(line);
            prompts.push_back({text, seen[text]++, where});
        } catch (const Error& error) {
            throw Error(fmt::format("{}: {}", where, error.what()), prompt_hint);
        }
    }
    if (prompts.empty())
        throw Error(fmt::format("{}: there are no prompts in it", file.name()), prompt_hint);
    return prompts;
}

std::string result_line(const Prompt& prompt, const GeneratedText& result) {
    nlohmann::ordered_json line;
    line["prompt"] = prompt.text;
    line["text"] = result.text;
    line["tokens"] = result.tokens;
    line["stopped_by"] = name_of(result.stopped_by);
    return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace evengrad
