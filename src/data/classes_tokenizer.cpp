// "classes" and "values": what rows of numbers are to give, in place of text.
#include <charconv>
#include <cmath>
#include <unordered_map>

#include <utf8.h>

#include "data/excerpt.hpp"
#include "data/token_texts.hpp"
#include "data/tokenizer_kinds.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr std::size_t most_name_bytes = 256;
constexpr const char* classes_hint =
    "a model knows only the classes that were there when its training began";

void refuse_end_of_text(const TokenizerSpec& spec) {
    if (spec.end_of_text != -1)
        throw Error(
            fmt::format("{} with end of text {}: rows have none", spec.kind, spec.end_of_text));
}

class ClassesTokenizer final : public Tokenizer {
  public:
    explicit ClassesTokenizer(TokenizerSpec given) : Tokenizer(std::move(given)) {
        const std::string& names = spec().model;
        if (names.empty()) {
            for (std::int32_t c = 0; c < vocabulary_size(); ++c) texts_.add(std::to_string(c));
            return;
        }
        for (std::size_t begin = 0; begin < names.size();) {
            const std::size_t end = std::min(names.find('\n', begin), names.size());
            const std::string_view name = std::string_view(names).substr(begin, end - begin);
            begin = end + 1;
            const auto number = static_cast<std::int32_t>(numbers_.size());
            if (const std::string problem = name_problem(name); !problem.empty())
                throw Error(fmt::format("the name of class {} {}", number, problem));
            if (!numbers_.emplace(name, number).second)
                throw Error(fmt::format("two classes are called '{}'", excerpt(name)));
            texts_.add(name);
        }
        if (std::cmp_not_equal(numbers_.size(), vocabulary_size()) || names.back() != '\n')
            throw Error(
                fmt::format("{} classes with {} names", vocabulary_size(), numbers_.size()));
    }

    /// All of `text` is one class's name.
    void encode(std::string_view text, std::vector<std::int32_t>& tokens) const override {
        std::int32_t number = -1;
        if (numbers_.empty()) {
            number = class_number(text);
        } else if (const auto found = numbers_.find(text); found != numbers_.end()) {
            number = found->second;
        }
        if (number < 0 || number >= vocabulary_size())
            throw Error(fmt::format("'{}' is none of the {}", excerpt(text), spec().describe()),
                        classes_hint);
        tokens.push_back(number);
    }
    std::string_view text_of(std::int32_t token) const override { return texts_[token]; }

  private:
    TokenTexts texts_;
    std::unordered_map<std::string_view, std::int32_t> numbers_;  // views of spec().model
};

class ValuesTokenizer final : public Tokenizer {
  public:
    using Tokenizer::Tokenizer;

    void encode(std::string_view /*text*/, std::vector<std::int32_t>& /*tokens*/) const override {
        throw Error("rows that are to give values have no text");
    }
    std::string_view text_of(std::int32_t /*token*/) const override { return {}; }
};

}  // namespace

std::string name_problem(std::string_view name) {
    if (name.empty()) return "is empty";
    if (name.size() > most_name_bytes)
        return fmt::format("has {} bytes, more than {}", name.size(), most_name_bytes);
    if (!utf8::is_valid(name.begin(), name.end())) return "is not valid UTF-8";
    if (has_control_characters(name)) return "has control characters";
    return {};
}

std::int32_t class_number(std::string_view text) {
    double value = -1.0;
    const char* const end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, value);
    if (problem != std::errc() || stop != end || std::signbit(value) || !(value <= 0x1p31 - 1.0) ||
        value != std::floor(value))
        return -1;
    return static_cast<std::int32_t>(value);
}

TokenizerSpec classes_spec(std::int32_t count) {
    return {"classes", count, -1, {}};
}

TokenizerSpec classes_spec(const std::vector<std::string>& names) {
    TokenizerSpec spec = classes_spec(static_cast<std::int32_t>(names.size()));
    for (const std::string& name : names) (spec.model += name) += '\n';
    return spec;
}

TokenizerSpec values_spec() {
    return {"values", 1, -1, {}};
}

std::shared_ptr<const Tokenizer> make_classes_tokenizer(const TokenizerSpec& spec) {
    if (spec.vocabulary_size < 2 || spec.vocabulary_size > most_classes)
        throw Error(fmt::format("there must be 2 to {} classes, not {}", most_classes,
                                spec.vocabulary_size));
    refuse_end_of_text(spec);
    return std::make_shared<ClassesTokenizer>(spec);
}

std::shared_ptr<const Tokenizer> make_values_tokenizer(const TokenizerSpec& spec) {
    refuse_end_of_text(spec);
    if (spec != values_spec()) throw Error("values with a vocabulary");
    return std::make_shared<ValuesTokenizer>(spec);
}

}  // namespace evengrad
