#include <algorithm>

#include <utf8.h>

#include "data/input_file.hpp"
#include "data/readers.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

void append_document(Documents& data, std::string_view prompt, std::string_view completion,
                     std::int64_t line, const Tokenizer& tokenizer) {
    data.tokens.push_back(tokenizer.end_of_text());
    tokenizer.encode(prompt, data.tokens);
    data.weights.resize(data.tokens.size(), 0.0f);
    tokenizer.encode(completion, data.tokens);
    data.tokens.push_back(tokenizer.end_of_text());
    data.weights.resize(data.tokens.size(), 1.0f);
    data.offsets.push_back(static_cast<std::int64_t>(data.tokens.size()));
    data.lines.push_back(line);
}

Documents read_text(const std::filesystem::path& path, const Tokenizer& tokenizer) {
    InputFile file(path);
    const std::string bytes = file.read_all();
    const auto invalid = utf8::find_invalid(bytes.begin(), bytes.end());
    if (invalid != bytes.end())
        throw Error(
            fmt::format("{} line {}: not valid UTF-8 at byte offset {} of the file", file.name(),
                        1 + std::count(bytes.begin(), invalid, '\n'), invalid - bytes.begin()),
            "convert it, for example: iconv -f ISO-8859-1 -t UTF-8 OLD.txt > NEW.txt");
    std::string_view text = bytes;
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    if (text.empty())
        throw Error(fmt::format("{}: the file is empty", file.name()), "give a file with text");
    Documents data;
    data.source = file.name();
    data.tokens.reserve(text.size() + 2);
    data.weights.reserve(text.size() + 2);
    append_document(data, {}, text, 1, tokenizer);
    return data;
}

}  // namespace evengrad
