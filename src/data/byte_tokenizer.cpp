#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

std::vector<std::int32_t> ByteTokenizer::encode(std::string_view text) const {
    std::vector<std::int32_t> tokens;
    encode(text, tokens);
    return tokens;
}

void ByteTokenizer::encode(std::string_view text, std::vector<std::int32_t>& tokens) const {
    // char may be signed: only unsigned bytes are tokens.
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    tokens.insert(tokens.end(), bytes, bytes + text.size());
}

std::string ByteTokenizer::decode(std::span<const std::int32_t> tokens) const {
    std::string text;
    text.reserve(tokens.size());
    for (const std::int32_t token : tokens) {
        if (token < 0 || token >= vocabulary_size)
            throw Error(fmt::format("token {} is not in the byte vocabulary (0 to {})", token,
                                    vocabulary_size - 1));
        if (token != end_of_text) text += static_cast<char>(token);
    }
    return text;
}

}  // namespace evengrad
