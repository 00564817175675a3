#include <array>

#include <evengrad/error.hpp>
#include <evengrad/tokenizer.hpp>

namespace evengrad {

namespace {

class ByteTokenizer final : public Tokenizer {
  public:
    explicit ByteTokenizer(TokenizerSpec spec) : Tokenizer(std::move(spec)) {
        for (std::size_t byte = 0; byte < bytes_.size(); ++byte)
            bytes_[byte] = static_cast<char>(byte);
    }

    void encode(std::string_view text, std::vector<std::int32_t>& tokens) const override {
        // char may be signed: only unsigned bytes are tokens.
        const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
        tokens.insert(tokens.end(), bytes, bytes + text.size());
    }
    std::string_view text_of(std::int32_t token) const override {
        if (token == end_of_text()) return {};
        return {&bytes_[static_cast<std::size_t>(token)], 1};
    }

  private:
    std::array<char, 256> bytes_;
};

}  // namespace

std::string TokenizerSpec::describe() const {
    return fmt::format("{}, {} tokens", kind, vocabulary_size);
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
    std::vector<std::int32_t> tokens;
    encode(text, tokens);
    return tokens;
}

std::string Tokenizer::decode(std::span<const std::int32_t> tokens) const {
    std::string text;
    for (const std::int32_t token : tokens) {
        if (token < 0 || token >= vocabulary_size())
            throw Error(fmt::format("token {} is not in the vocabulary (0 to {})", token,
                                    vocabulary_size() - 1));
        text += text_of(token);
    }
    return text;
}

bool Tokenizer::may_cut_before(std::int32_t token) const {
    const std::string_view text = text_of(token);
    return text.empty() || (static_cast<unsigned char>(text.front()) & 0xC0U) != 0x80U;
}

std::shared_ptr<const Tokenizer> make_tokenizer(const TokenizerSpec& spec) {
    if (spec.kind == "byte") {
        if (spec != TokenizerSpec())
            throw Error(fmt::format("a byte tokenizer with {} tokens and end of text {}",
                                    spec.vocabulary_size, spec.end_of_text));
        return std::make_shared<ByteTokenizer>(spec);
    }
    throw Error(fmt::format("unknown tokenizer '{}'", spec.kind));
}

std::shared_ptr<const Tokenizer> open_tokenizer(const std::string& option) {
    if (option == "byte") return make_tokenizer({});
    throw Error(fmt::format("unknown tokenizer '{}'", option));
}

}  // namespace evengrad
