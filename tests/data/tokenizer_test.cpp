#include <gtest/gtest.h>

#include <evengrad/error.hpp>
#include <evengrad/tokenizer.hpp>

namespace evengrad {
namespace {

TEST(ByteTokenizer, GivesEveryByteItsOwnTokenAndBack) {
    std::string bytes;
    for (int b = 0; b < 256; ++b) bytes += static_cast<char>(b);
    const auto tokenizer = make_tokenizer({});
    const auto tokens = tokenizer->encode(bytes);
    ASSERT_EQ(tokens.size(), 256U);
    for (std::int32_t b = 0; b < 256; ++b) EXPECT_EQ(tokens[static_cast<std::size_t>(b)], b);
    EXPECT_EQ(tokenizer->decode(tokens), bytes);
}

TEST(ByteTokenizer, AppendsToWhatIsThere) {
    std::vector<std::int32_t> tokens{TokenizerSpec().end_of_text};
    make_tokenizer({})->encode("ab", tokens);
    EXPECT_EQ(tokens, (std::vector<std::int32_t>{256, 'a', 'b'}));
    EXPECT_TRUE(make_tokenizer({})->encode("").empty());
}

TEST(ByteTokenizer, DropsEndOfTextWhenDecoding) {
    const std::vector<std::int32_t> tokens{256, 'a', 256, 256, 'b', 256};
    EXPECT_EQ(make_tokenizer({})->decode(tokens), "ab");
}

TEST(ByteTokenizer, RefusesTokensOutsideTheVocabulary) {
    for (const std::int32_t token : {-1, TokenizerSpec().vocabulary_size})
        EXPECT_THROW(make_tokenizer({})->decode(std::vector{token}), Error) << token;
}

}  // namespace
}  // namespace evengrad
