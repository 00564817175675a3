// Cutting documents into sequences, and the shuffle.
#include <algorithm>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

#include "plan/documents.hpp"

namespace evengrad::test {
namespace {

constexpr SequenceMode modes[] = {SequenceMode::documents, SequenceMode::stream};

/// All sequences, as a list.
std::vector<Sequence> cut(const Documents& documents, SequenceMode mode, std::int64_t seq_length) {
    const Dataset data = dataset(documents);
    const Sequences sequences(data, mode, seq_length);
    std::vector<Sequence> list;
    for (std::int64_t id = 0; id < sequences.size(); ++id) list.push_back(sequences[id]);
    return list;
}

// R6: no label is shifted, dropped or counted twice, whatever the lengths.
TEST(Sequences, R6_CoverEachLossTokenOnce) {
    for (const SequenceMode mode : modes)
        for (const std::int64_t seq_length : {1, 2, 3, 7, 64, 1000}) {
            const Documents data = uneven_documents(40, 50);
            std::vector<int> predicted(data.tokens.size(), 0);
            std::int64_t counted = 0;
            for (const Sequence& s : cut(data, mode, seq_length)) {
                ASSERT_GE(s.length, 1);
                ASSERT_LE(s.length, seq_length);
                for (std::int64_t t = s.begin + 1; t <= s.begin + s.length; ++t) {
                    ++predicted[static_cast<std::size_t>(t)];
                    counted += data.weights[static_cast<std::size_t>(t)] > 0.0f;
                }
            }
            for (std::size_t t = 0; t < predicted.size(); ++t) {
                ASSERT_LE(predicted[t], 1) << t;
                ASSERT_TRUE(predicted[t] == 1 || data.weights[t] == 0.0f) << t;
            }
            EXPECT_EQ(counted, loss_tokens(data));
        }
}

TEST(Sequences, StayInsideTheirDocument) {
    const Documents data = uneven_documents(40, 50);
    for (const std::int64_t seq_length : {1, 2, 7, 1000})
        for (const Sequence& s : cut(data, SequenceMode::documents, seq_length)) {
            const auto d = static_cast<std::size_t>(s.document);
            ASSERT_GE(s.begin, data.offsets[d]);
            ASSERT_LT(s.begin + s.length, data.offsets[d + 1]);
        }
}

TEST(Sequences, OfAStreamAreAllFullButTheLast) {
    const Documents data = uneven_documents(40, 50);
    const auto sequences = cut(data, SequenceMode::stream, 16);
    const auto positions = static_cast<std::int64_t>(data.tokens.size()) - 1;
    ASSERT_EQ(static_cast<std::int64_t>(sequences.size()), (positions + 15) / 16);
    for (std::size_t i = 0; i < sequences.size(); ++i) {
        EXPECT_EQ(sequences[i].begin, static_cast<std::int64_t>(16 * i));
        EXPECT_TRUE(sequences[i].length == 16 || i + 1 == sequences.size()) << i;
        // The document of the first token.
        const auto d = static_cast<std::size_t>(sequences[i].document);
        EXPECT_LE(data.offsets[d], sequences[i].begin);
        EXPECT_GT(data.offsets[d + 1], sequences[i].begin);
    }
}

TEST(Sequences, OfLengthOneAndTwo) {
    const Documents data = documents({2, 3, 4});
    const auto sequences = cut(data, SequenceMode::documents, 2);
    ASSERT_EQ(sequences.size(), 4u);
    const std::int64_t begins[] = {0, 2, 5, 7};
    const std::int32_t lengths[] = {1, 2, 2, 1};
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(sequences[i].begin, begins[i]);
        EXPECT_EQ(sequences[i].length, lengths[i]);
    }
    EXPECT_EQ(sequences[3].document, 2);
}

std::vector<std::uint64_t> images(std::uint64_t size, std::uint64_t seed, std::uint64_t epoch) {
    const Permutation permutation(size, seed, epoch);
    std::vector<std::uint64_t> out;
    for (std::uint64_t i = 0; i < size; ++i) out.push_back(permutation(i));
    return out;
}

TEST(Permutation, IsABijectionOfEverySize) {
    for (std::uint64_t size = 1; size <= 1000; ++size) {
        std::vector<bool> hit(size, false);
        for (const std::uint64_t image : images(size, 3, size % 7)) {
            ASSERT_LT(image, size);
            ASSERT_FALSE(hit[image]) << size;
            hit[image] = true;
        }
    }
    constexpr std::uint64_t large = (1 << 20) + 7;
    std::vector<bool> hit(large, false);
    for (const std::uint64_t image : images(large, 1234, 0)) {
        ASSERT_LT(image, large);
        ASSERT_FALSE(hit[image]);
        hit[image] = true;
    }
}

TEST(Permutation, OfMoreThan32BitsStaysInRangeAndApart) {
    constexpr std::uint64_t size = (std::uint64_t{1} << 40) + 12345;
    const Permutation permutation(size, 5, 1);
    std::set<std::uint64_t> seen;
    std::uint64_t top = 0;
    for (std::uint64_t i = 0; i < 10000; ++i) {
        const std::uint64_t image = permutation(size - 1 - i * 1000003);
        ASSERT_LT(image, size);
        EXPECT_TRUE(seen.insert(image).second);
        top = std::max(top, image);
    }
    EXPECT_GT(top, size / 2);
    EXPECT_THROW(permutation(size), std::logic_error);
}

TEST(Permutation, DiffersBySeedAndEpochAndMixes) {
    const auto first = images(1000, 1, 0);
    EXPECT_EQ(first, images(1000, 1, 0));
    EXPECT_NE(first, images(1000, 2, 0));
    EXPECT_NE(first, images(1000, 1, 1));
    EXPECT_NE(images(1000, 1, 1), images(1000, 1, 2));
    EXPECT_NE(first, images(1000, 1, std::uint64_t{1} << 32));
    // Distance of neighbors and displacement, both n/3 on average for a random permutation.
    double jump = 0.0, moved = 0.0;
    for (std::size_t i = 0; i + 1 < first.size(); ++i) {
        jump += std::abs(static_cast<double>(first[i + 1]) - static_cast<double>(first[i]));
        moved += std::abs(static_cast<double>(first[i]) - static_cast<double>(i));
    }
    EXPECT_NEAR(jump / 999.0, 333.0, 40.0);
    EXPECT_NEAR(moved / 999.0, 333.0, 40.0);
}

TEST(Permutation, OfFewItemsReachesAllOrders) {
    std::set<std::vector<std::uint64_t>> orders;
    for (std::uint64_t epoch = 0; epoch < 400; ++epoch) orders.insert(images(4, 1, epoch));
    EXPECT_EQ(orders.size(), 24u);
}

}  // namespace
}  // namespace evengrad::test
