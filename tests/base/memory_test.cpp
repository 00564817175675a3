// Aligned memory, the arena's frames and its limit, checked narrowing.
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>

#include <gtest/gtest.h>

#include "base/aligned.hpp"
#include "base/narrow.hpp"

namespace evengrad::test {
namespace {

bool aligned(const void* memory) {
    return reinterpret_cast<std::uintptr_t>(memory) % cache_line == 0;
}

TEST(AlignedBuffer, StartsAtACacheLineAndIsZero) {
    for (const Index size : {1, 3, 16, 1000, 12345}) {
        AlignedBuffer<float> buffer(size);
        EXPECT_TRUE(aligned(buffer.data())) << size;
        EXPECT_EQ(buffer.size(), size);
        for (const float value : buffer.span()) ASSERT_EQ(value, 0.0f);
    }
    EXPECT_EQ(AlignedBuffer<double>(0).data(), nullptr);
    EXPECT_EQ(AlignedBuffer<double>().size(), 0);
}

TEST(AlignedBuffer, MovesWithoutCopying) {
    AlignedBuffer<int> first(10);
    first[3] = 7;
    const int* place = first.data();
    const AlignedBuffer<int> second = std::move(first);
    EXPECT_EQ(second.data(), place);
    EXPECT_EQ(second[3], 7);
}

TEST(Arena, PiecesAreAlignedAndApart) {
    Arena arena(4096);
    auto* first = arena.take<char>(1);
    auto* second = arena.take<double>(9);
    auto* third = arena.take<float>(0);
    auto* fourth = arena.take<float>(5);
    for (const void* piece : {static_cast<void*>(first), static_cast<void*>(second),
                              static_cast<void*>(third), static_cast<void*>(fourth)})
        EXPECT_TRUE(aligned(piece));
    EXPECT_EQ(reinterpret_cast<char*>(second) - first, 64);
    EXPECT_EQ(reinterpret_cast<char*>(fourth) - reinterpret_cast<char*>(second), 128);
    EXPECT_EQ(arena.peak(), 64u + 128u + 64u);
    EXPECT_EQ(arena_bytes<double>(9), 128u);
    EXPECT_EQ(arena_bytes<float>(16), 64u);
    EXPECT_EQ(arena_bytes<float>(17), 128u);
}

TEST(Arena, FramesGiveBackWhatWasTakenInside) {
    Arena arena(256);
    arena.take<char>(64);
    char* inner = nullptr;
    {
        const Arena::Frame frame(arena);
        inner = arena.take<char>(64);
        {
            const Arena::Frame nested(arena);
            arena.take<char>(128);
        }
        EXPECT_EQ(arena.take<char>(128) - inner, 64);
    }
    EXPECT_EQ(arena.take<char>(64), inner);
    EXPECT_EQ(arena.peak(), 256u);
    EXPECT_EQ(arena.capacity(), 256u);
}

TEST(Arena, RefusesToOverflow) {
    Arena arena(256);
    arena.take<char>(192);
    EXPECT_THROW(arena.take<char>(65), std::logic_error);
    EXPECT_NO_THROW(arena.take<char>(64));  // a refusal takes nothing
    EXPECT_THROW(arena.take<char>(1), std::logic_error);
    EXPECT_THROW(Arena().take<float>(1), std::logic_error);
}

TEST(Narrow, KeepsTheValueOrThrows) {
    EXPECT_EQ(narrow<std::int32_t>(std::int64_t{2147483647}), 2147483647);
    EXPECT_EQ(narrow<std::int32_t>(std::int64_t{-2147483648}), std::numeric_limits<int>::min());
    EXPECT_EQ(narrow<std::uint8_t>(255), 255);
    EXPECT_THROW(narrow<std::int32_t>(std::int64_t{2147483648}), Error);
    EXPECT_THROW(narrow<std::int32_t>(std::int64_t{-2147483649}), Error);
    EXPECT_THROW(narrow<std::uint64_t>(-1), Error);
    EXPECT_THROW(narrow<std::int64_t>(std::uint64_t{1} << 63), Error);
    EXPECT_THROW(narrow<std::uint8_t>(256), Error);
}

TEST(RoundUp, GoesToTheNextMultiple) {
    EXPECT_EQ(round_up(0, 16), 0);
    EXPECT_EQ(round_up(1, 16), 16);
    EXPECT_EQ(round_up(16, 16), 16);
    EXPECT_EQ(round_up(17, 16), 32);
}

}  // namespace
}  // namespace evengrad::test
