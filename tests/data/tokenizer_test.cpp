#include <gtest/gtest.h>

#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

TEST(ByteTokenizer, GivesEveryByteItsOwnTokenAndBack) {
    std::string bytes;
    for (int b = 0; b < 256; ++b) bytes += static_cast<char>(b);
    const ByteTokenizer tokenizer;
    const auto tokens = tokenizer.encode(bytes);
    ASSERT_EQ(tokens.size(), 256U);
    for (std::int32_t b = 0; b < 256; ++b) EXPECT_EQ(tokens[static_cast<std::size_t>(b)], b);
    EXPECT_EQ(tokenizer.decode(tokens), bytes);
}

TEST(ByteTokenizer, AppendsToWhatIsThere) {
    std::vector<std::int32_t> tokens{ByteTokenizer::end_of_text};
    ByteTokenizer{}.encode("ab", tokens);
    EXPECT_EQ(tokens, (std::vector<std::int32_t>{256, 'a', 'b'}));
    EXPECT_TRUE(ByteTokenizer{}.encode("").empty());
}

TEST(ByteTokenizer, DropsEndOfTextWhenDecoding) {
    const std::vector<std::int32_t> tokens{256, 'a', 256, 256, 'b', 256};
    EXPECT_EQ(ByteTokenizer{}.decode(tokens), "ab");
}

TEST(ByteTokenizer, RefusesTokensOutsideTheVocabulary) {
    for (const std::int32_t token : {-1, ByteTokenizer::vocabulary_size})
        EXPECT_THROW(ByteTokenizer{}.decode(std::vector{token}), Error) << token;
}

}  // namespace
}  // namespace evengrad
