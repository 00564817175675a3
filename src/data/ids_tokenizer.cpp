// "ids": tokens of another program's tokenizer, whose text nobody here knows.
#include <charconv>

#include "data/token_texts.hpp"
#include "data/tokenizer_kinds.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr std::string_view separators = " \t\r\n";

/// Token 12 reads "12 ", so that tokens end to end read as what encode takes.
class IdsTokenizer final : public Tokenizer {
  public:
    explicit IdsTokenizer(TokenizerSpec spec) : Tokenizer(std::move(spec)) {
        for (std::int32_t token = 0; token < vocabulary_size(); ++token)
            texts_.add(token == end_of_text() ? "" : fmt::format("{} ", token));
    }

    void encode(std::string_view text, std::vector<std::int32_t>& tokens) const override {
        for (std::size_t begin = 0;;) {
            begin = text.find_first_not_of(separators, begin);
            if (begin == std::string_view::npos) return;
            const std::size_t end = std::min(text.find_first_of(separators, begin), text.size());
            const std::string_view word = text.substr(begin, end - begin);
            std::int32_t token = -1;
            const auto [stop, error] =
                std::from_chars(word.data(), word.data() + word.size(), token);
            if (error != std::errc() || stop != word.data() + word.size() || token < 0 ||
                token >= vocabulary_size())
                throw Error(
                    fmt::format("'{}' is not a token of '{}' (0 to {})", word.substr(0, 40),
                                spec().kind, vocabulary_size() - 1),
                    "an ids tokenizer reads numbers only, such as '3 4 5': turn text into ids "
                    "with the tokenizer that they are from");
            tokens.push_back(token);
            begin = end;
        }
    }
    std::string_view text_of(std::int32_t token) const override { return texts_[token]; }

  private:
    TokenTexts texts_;
};

}  // namespace

std::shared_ptr<const Tokenizer> make_ids_tokenizer(const TokenizerSpec& spec) {
    if (spec.vocabulary_size < 2 || spec.vocabulary_size > largest_vocabulary)
        throw Error(fmt::format("an ids tokenizer's vocabulary must be between 2 and {}, not {}",
                                largest_vocabulary, spec.vocabulary_size));
    if (spec.end_of_text < 0 || spec.end_of_text >= spec.vocabulary_size)
        throw Error(fmt::format("end of text {} is not in the vocabulary (0 to {})",
                                spec.end_of_text, spec.vocabulary_size - 1));
    if (!spec.model.empty()) throw Error("an ids tokenizer has no model");
    return std::make_shared<IdsTokenizer>(spec);
}

}  // namespace evengrad
