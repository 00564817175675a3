#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "base/digest.hpp"
#include "data/sentencepiece_model.hpp"
#include "data/tokenizer_kinds.hpp"
#include <evengrad/error.hpp>

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

/// The bytes of a model's file.
std::string read_model_file(const std::filesystem::path& path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status))
        throw Error("there is no such file",
                    "check the path; rank 0 alone reads it, from the folder it was started in");
    if (!std::filesystem::is_regular_file(status)) throw Error("it is not a file");
    std::ifstream stream(path, std::ios::binary);
    std::string bytes(largest_sentencepiece_model + 1, '\0');
    stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (stream.bad() || !stream.eof() || stream.gcount() == 0)
        throw Error(fmt::format("it can't be read, is empty, or has more than {} bytes",
                                largest_sentencepiece_model));
    bytes.resize(static_cast<std::size_t>(stream.gcount()));
    return bytes;
}

constexpr const char* sentencepiece_hint = "name a .model file that SentencePiece wrote";
constexpr const char* ids_example = "for GPT-2's tokens: ids:50257:50256";

/// "50257:50256"
TokenizerSpec parse_ids(std::string_view numbers) {
    TokenizerSpec spec;
    spec.kind = "ids";
    const char* const end = numbers.data() + numbers.size();
    const auto [colon, bad_size] = std::from_chars(numbers.data(), end, spec.vocabulary_size);
    if (bad_size != std::errc() || colon == end || *colon != ':')
        throw Error("it must be ids:VOCABULARY:END_OF_TEXT");
    const auto [stop, bad_end] = std::from_chars(colon + 1, end, spec.end_of_text);
    if (bad_end != std::errc() || stop != end) throw Error("it must be ids:VOCABULARY:END_OF_TEXT");
    return spec;
}

}  // namespace

std::string TokenizerSpec::option() const {
    if (kind == "ids") return fmt::format("ids:{}:{}", vocabulary_size, end_of_text);
    return kind == "sentencepiece" ? "sentencepiece:FILE.model" : kind;
}

std::string TokenizerSpec::describe() const {
    if (kind == "values") return "values";
    if (kind == "classes") {
        std::string names;
        for (const char byte : model)
            names += byte == '\n' ? std::string(", ") : std::string(1, byte);
        if (names.empty() || names.size() > 80) return fmt::format("{} classes", vocabulary_size);
        return fmt::format("{} classes ({})", vocabulary_size, names.substr(0, names.size() - 2));
    }
    if (kind != "sentencepiece") return fmt::format("{}, {} tokens", kind, vocabulary_size);
    Digest digest;
    digest.add(model);
    return fmt::format("{} {}, {} tokens", kind, digest.hex().substr(0, 8), vocabulary_size);
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
    if (spec.kind == "sentencepiece") return make_sentencepiece_tokenizer(spec);
    if (spec.kind == "ids") return make_ids_tokenizer(spec);
    if (spec.kind == "classes") return make_classes_tokenizer(spec);
    if (spec.kind == "values") return make_values_tokenizer(spec);
    throw Error(fmt::format("unknown tokenizer '{}'", spec.kind),
                "it can be byte, sentencepiece, ids, classes or values");
}

std::shared_ptr<const Tokenizer> open_tokenizer(const std::string& option) {
    constexpr std::string_view sentencepiece = "sentencepiece:", ids = "ids:";
    try {
        if (option == "byte") return make_tokenizer({});
        if (option.starts_with(sentencepiece))
            return make_tokenizer(
                sentencepiece_spec(read_model_file(option.substr(sentencepiece.size()))));
    } catch (const Error& error) {
        throw Error(fmt::format("--tokenizer {}: {}", option, error.what()),
                    error.hint().empty() ? sentencepiece_hint : error.hint());
    }
    if (option.starts_with(ids)) try {
            return make_tokenizer(parse_ids(std::string_view(option).substr(ids.size())));
        } catch (const Error& error) {  // wrong whatever any file holds
            throw UsageError(fmt::format("--tokenizer {}: {}", option, error.what()), ids_example);
        }
    throw UsageError(fmt::format("--tokenizer {}: there is no such tokenizer", option),
                     "it can be byte, sentencepiece:FILE or ids:VOCABULARY:END_OF_TEXT");
}

}  // namespace evengrad
