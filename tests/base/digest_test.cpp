// Digests and CRC-32C.
#include "base/digest.hpp"

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace evengrad::test {
namespace {

std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

template <class... Parts>
std::string digest(const Parts&... parts) {
    Digest digest;
    (digest.add(parts), ...);
    return digest.hex();
}

// "123456789": the check value of the catalog of CRCs; the others: RFC 3720, appendix B.4.
TEST(Crc32c, KnownAnswers) {
    EXPECT_EQ(crc32c(bytes("123456789")), 0xE3069283u);
    EXPECT_EQ(crc32c({}), 0u);
    EXPECT_EQ(crc32c(bytes(std::string(32, '\0'))), 0x8A9136AAu);
    EXPECT_EQ(crc32c(bytes(std::string(32, '\xff'))), 0x62A8AB43u);
}

TEST(Crc32c, OfAnyLengthIsThatOfTheDefinition) {
    std::string text;
    for (int length = 0; length < 40; ++length) {
        // Bit by bit, polynomial 0x1EDC6F41 reflected.
        std::uint32_t crc = 0xFFFFFFFF;
        for (const char c : text) {
            crc ^= static_cast<unsigned char>(c);
            for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78 : 0);
        }
        EXPECT_EQ(crc32c(bytes(text)), ~crc) << length;
        text += static_cast<char>(length * 37 + 200);
    }
}

TEST(Digest, OfNothingIsXxh3sAnswer) {
    // XXH3_128bits of no bytes with seed 0 (xxHash's own sanity vectors).
    EXPECT_EQ(Digest().hex(), "99aa06d3014798d86001c324468d497f");
}

TEST(Digest, TextsCarryTheirLength) {
    using namespace std::string_view_literals;
    EXPECT_NE(digest("ab"sv, "c"sv), digest("a"sv, "bc"sv));
    EXPECT_NE(digest(""sv), digest());
    EXPECT_NE(digest(""sv, "a"sv), digest("a"sv, ""sv));
    EXPECT_EQ(digest("ab"sv, "c"sv), digest("ab"sv, "c"sv));
}

TEST(Digest, PiecesOfBytesAreOneStream) {
    const std::string text = "The quick brown fox jumps over the lazy dog, again and again.";
    Digest whole, pieces;
    whole.add_bytes(bytes(text));
    for (const char& c : text) pieces.add_bytes(bytes({&c, 1}));
    EXPECT_EQ(whole.hex(), pieces.hex());
    EXPECT_EQ(whole.hex(), whole.hex());  // asking changes nothing
}

TEST(Digest, FindsASingleFlippedBitAndTypesOfNumbers) {
    std::vector<float> values(1000, 0.5f);
    const std::string before = digest(std::span<const float>(values));
    values[777] = -0.5f;
    EXPECT_NE(digest(std::span<const float>(values)), before);
    EXPECT_NE(digest(1), digest(std::int64_t{1}));
    EXPECT_NE(digest(0.0), digest(-0.0));
    EXPECT_EQ(digest(1).size(), 32u);
}

TEST(Digest, MovesWithItsState) {
    Digest first;
    first.add(42);
    Digest second = std::move(first);
    EXPECT_EQ(second.hex(), digest(42));
}

}  // namespace
}  // namespace evengrad::test
