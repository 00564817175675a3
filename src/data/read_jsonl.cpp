// JSON Lines without building JSON values: a line has at most two strings, so a SAX handler takes
// them and refuses anything else where it begins. No depth of nesting costs stack or memory.
#include <optional>

#include <nlohmann/json.hpp>
#include <utf8.h>

#include "data/input_file.hpp"
#include "data/readers.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

using nlohmann::json;

constexpr const char* format_hint =
    R"(each line is one object, {"text": "..."} or {"prompt": "...", "completion": "..."})";

/// Text from the file that may be long, shortened for a message. `text` is valid UTF-8.
std::string shorten(std::string text) {
    constexpr std::size_t limit = 60;
    if (text.size() <= limit) return text;
    std::size_t end = limit;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    return text.substr(0, end) + "...";
}

/// Collects one line's strings; the first problem ends the parse (every callback may return false).
class LineHandler final : public nlohmann::json_sax<json> {
  public:
    std::optional<std::string> text, prompt, completion;
    std::string problem;
    std::size_t problem_byte = 0;  // from 1; 0: not known

    bool null() override { return not_string("null"); }
    bool boolean(bool) override { return not_string("a boolean"); }
    bool number_integer(number_integer_t) override { return not_string("a number"); }
    bool number_unsigned(number_unsigned_t) override { return not_string("a number"); }
    bool number_float(number_float_t, const string_t&) override { return not_string("a number"); }
    bool binary(binary_t&) override { return not_string("binary"); }
    bool start_array(std::size_t) override { return not_string("an array"); }
    bool end_array() override { return true; }
    bool end_object() override { return true; }

    bool start_object(std::size_t) override {
        if (in_object_) return not_string("an object");
        in_object_ = true;
        return true;
    }

    bool key(string_t& name) override {
        if (name == "text")
            target_ = &text;
        else if (name == "prompt")
            target_ = &prompt;
        else if (name == "completion")
            target_ = &completion;
        else
            return fail(fmt::format("unknown key {}", quoted(name)));
        key_ = name;
        if (target_->has_value()) return fail(fmt::format("key {} comes twice", quoted(name)));
        return true;
    }

    bool string(string_t& value) override {
        if (!in_object_) return not_string("a string");
        *target_ = std::move(value);
        return true;
    }

    bool parse_error(std::size_t position, const std::string&,
                     const json::exception& error) override {
        // nlohmann's message starts with its own numbering and may quote the whole line.
        std::string message = error.what();
        if (const auto start = message.find("error while parsing"); start != std::string::npos)
            message.erase(0, start);
        else if (const auto bracket = message.find("] "); bracket != std::string::npos)
            message.erase(0, bracket + 2);
        if (const auto quote = message.find("; last read"); quote != std::string::npos)
            message.erase(quote);
        problem_byte = position;
        return fail("not valid JSON: " + message);
    }

  private:
    static std::string quoted(const std::string& name) { return json(shorten(name)).dump(); }

    bool fail(std::string message) {
        problem = std::move(message);
        return false;
    }

    bool not_string(const char* what) {
        return fail(in_object_
                        ? fmt::format("the value of {} is {}, not a string", quoted(key_), what)
                        : fmt::format("the line is {}, not an object", what));
    }

    bool in_object_ = false;
    std::string key_;
    std::optional<std::string>* target_ = nullptr;
};

[[noreturn]] void fail_at(const InputFile& file, std::size_t byte, const std::string& problem,
                          const char* hint = format_hint) {
    const std::string where = byte > 0 ? fmt::format(", byte {}", byte) : std::string();
    throw Error(fmt::format("{} line {}{}: {}", file.name(), file.line_number(), where, problem),
                hint);
}

void parse_line(const InputFile& file, std::string_view line, std::size_t skipped, Documents& data,
                const Tokenizer& tokenizer) {
    const std::size_t invalid = utf8::find_invalid(line);
    if (invalid != std::string_view::npos)
        fail_at(file, skipped + invalid + 1, "not valid UTF-8",
                "convert the file to UTF-8, for example with iconv");
    // The parser takes a zero byte for the end of its input and would ignore what follows.
    if (const auto zero = line.find('\0'); zero != std::string_view::npos)
        fail_at(file, skipped + zero + 1, "a zero byte, which JSON does not allow");

    LineHandler handler;
    if (!json::sax_parse(line.begin(), line.end(), &handler))
        fail_at(file, handler.problem_byte == 0 ? 0 : skipped + handler.problem_byte,
                handler.problem);
    const bool pair = handler.prompt && handler.completion;
    if (handler.text && (handler.prompt || handler.completion))
        fail_at(file, 0, "\"text\" does not go with \"prompt\" or \"completion\"");
    if (handler.text)
        append_document(data, {}, *handler.text, file.line_number(), tokenizer);
    else if (pair)
        append_document(data, *handler.prompt, *handler.completion, file.line_number(), tokenizer);
    else if (handler.prompt)
        fail_at(file, 0, "\"prompt\" without \"completion\"");
    else if (handler.completion)
        fail_at(file, 0, "\"completion\" without \"prompt\"");
    else
        fail_at(file, 0, "the object has no keys");
}

}  // namespace

Documents read_jsonl(const std::filesystem::path& path, const Tokenizer& tokenizer) {
    InputFile file(path);
    Documents data;
    data.source = file.name();
    std::string line;
    while (file.next_line(line)) {
        std::string_view view = line;
        std::size_t skipped = 0;
        if (file.line_number() == 1 && view.starts_with(byte_order_mark)) {
            skipped = byte_order_mark.size();
            view.remove_prefix(skipped);
        }
        if (view.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        parse_line(file, view, skipped, data, tokenizer);
    }
    if (file.line_number() == 0)
        throw Error(fmt::format("{}: the file is empty", file.name()), format_hint);
    if (data.lines.empty())
        throw Error(fmt::format("{}: no documents in its {} blank line(s)", file.name(),
                                file.line_number()),
                    format_hint);
    return data;
}

}  // namespace evengrad
