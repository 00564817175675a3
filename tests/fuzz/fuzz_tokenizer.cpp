// Tokenizers: a SentencePiece model's bytes, or the text of --tokenizer. Whatever model is accepted
// must encode any text into tokens of its vocabulary, and decode each of them.
#include <utf8.h>

#include "data/tokenizer_kinds.hpp"
#include "fuzz.hpp"

namespace evengrad::fuzz {
namespace {

constexpr const char* texts[] = {
    "",
    "a",
    " a",
    "the cat sat  on the mat.\n",
    "\n\n",
    "\xE2\x96\x81\xE2\x96\x81 x",
    "\t<s></s><unk><0x0A>",
    "\xC3\xA9t\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x98\x80",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

void use(const Tokenizer& tokenizer, std::string_view own) {
    FUZZ_CHECK(tokenizer.vocabulary_size() > 0);
    FUZZ_CHECK(tokenizer.end_of_text() >= 0 &&
               tokenizer.end_of_text() < tokenizer.vocabulary_size());
    FUZZ_CHECK(tokenizer.text_of(tokenizer.end_of_text()).empty());
    FUZZ_CHECK(!tokenizer.spec().describe().empty());
    const auto encode = [&](std::string_view text) {
        std::vector<std::int32_t> tokens;
        if (refused([&] { tokens = tokenizer.encode(text); })) return;
        tokenizer.decode(tokens);  // checks that each is in the vocabulary
        if (!tokens.empty()) tokenizer.may_cut_before(tokens.back());
    };
    for (const char* text : texts) encode(text);
    encode(own);
    const std::int32_t step = std::max(tokenizer.vocabulary_size() / 64, 1);
    for (std::int32_t token = 0; token < tokenizer.vocabulary_size() - step; token += step)
        tokenizer.text_of(token);
}

void check(Choices choices) {
    const unsigned kind = choices.below(8);
    const std::string bytes(choices.rest());
    std::shared_ptr<const Tokenizer> tokenizer;
    if (kind == 0) {
        // A file's name isn't to be tried, and a large vocabulary takes long to build.
        if (bytes.starts_with("sentencepiece:") || bytes.size() > 14) return;
        if (!refused([&] { tokenizer = open_tokenizer(bytes); })) use(*tokenizer, "1 2 3");
        return;
    }
    if (refused([&] { tokenizer = make_tokenizer(sentencepiece_spec(bytes)); })) return;
    // The model's own pieces as a text: what is in there is most likely to be met by its rules.
    std::string text;
    for (std::int32_t t = 0; t < std::min(tokenizer->vocabulary_size(), 400); ++t)
        text += tokenizer->text_of(t);
    use(*tokenizer, utf8::replace_invalid(text));
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({data, size});
    return 0;
}
