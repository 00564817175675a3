// Text files: what a simple reading of the whole file makes of it, the reader must make of it in
// pieces of any size; and what isn't UTF-8, or has no documents, is refused.
#include <utf8.h>

#include "data/readers.hpp"
#include "fuzz.hpp"

namespace evengrad::fuzz {
namespace {

struct Text {
    std::string text;
    std::int64_t line = 1;
};

bool is_blank(std::string_view line) {
    return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

std::vector<Text> documents_of(std::string_view file, DocumentRule rule) {
    if (rule == DocumentRule::file)
        return file.empty() ? std::vector<Text>{} : std::vector<Text>{{std::string(file), 1}};
    std::vector<Text> documents;
    std::string newline;  // after the line before, while in a paragraph
    bool in_paragraph = false;
    std::int64_t number = 0;
    while (!file.empty()) {
        ++number;
        const std::size_t end = file.find('\n');
        std::string_view line = file.substr(0, end);
        const bool has_newline = end != std::string_view::npos;
        file.remove_prefix(has_newline ? end + 1 : file.size());
        std::string_view this_newline = has_newline ? "\n" : "";
        if (has_newline && line.ends_with('\r')) {
            line.remove_suffix(1);
            this_newline = "\r\n";
        }
        if (is_blank(line)) {
            in_paragraph = false;
            continue;
        }
        if (rule == DocumentRule::blank_line && in_paragraph)
            documents.back().text += newline + std::string(line);
        else
            documents.push_back({std::string(line), number});
        in_paragraph = true;
        newline = this_newline;
    }
    return documents;
}

void check(Choices choices) {
    static const std::shared_ptr<const Tokenizer> tokenizer = make_tokenizer({});
    static const CaseFile file(".txt");
    constexpr DocumentRule rules[] = {DocumentRule::file, DocumentRule::line,
                                      DocumentRule::blank_line};
    constexpr std::size_t read_sizes[] = {0, 1, 2, 3, 5, 16};
    ReadOptions options;
    options.documents = rules[choices.below(3)];
    set_read_size(read_sizes[choices.below(6)]);
    std::string_view bytes = choices.rest();
    CheckingSink sink(*tokenizer);
    const bool was_refused =
        refused([&] { read_documents(file.write(bytes), options, *tokenizer, sink); });

    if (bytes.starts_with(byte_order_mark)) bytes.remove_prefix(byte_order_mark.size());
    const bool valid = utf8::find_invalid(bytes) == std::string_view::npos;
    const std::vector<Text> expected =
        valid ? documents_of(bytes, options.documents) : std::vector<Text>{};
    FUZZ_CHECK(was_refused == expected.empty());
    if (was_refused) return;
    sink.check_finished();
    FUZZ_CHECK(sink.documents.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const SinkDocument& document = sink.documents[i];
        FUZZ_CHECK(tokenizer->decode(document.tokens) == expected[i].text);
        FUZZ_CHECK(document.line == expected[i].line);
        for (std::size_t t = 1; t < document.weights.size(); ++t)
            FUZZ_CHECK(document.weights[t] == 1.0f);
    }
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({data, size});
    return 0;
}
