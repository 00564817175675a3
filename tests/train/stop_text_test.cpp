// A text ends before the first stop string, however it comes in pieces.
#include "train/stop_text.hpp"

#include <gtest/gtest.h>

namespace evengrad {
namespace {

struct Outcome {
    std::string text;
    bool stopped = false;
    bool operator==(const Outcome&) const = default;
};
void PrintTo(const Outcome& outcome, std::ostream* out) {
    *out << '"' << outcome.text << '"' << (outcome.stopped ? " stopped" : "");
}

/// `text` in pieces of `size` bytes.
Outcome in_pieces(const std::vector<std::string>& stops, std::string_view text, std::size_t size) {
    StopText stop(stops);
    Outcome outcome;
    for (std::size_t begin = 0; begin < text.size(); begin += size)
        outcome.text += stop.add(text.substr(begin, size));
    outcome.text += stop.rest();
    outcome.stopped = stop.stopped();
    return outcome;
}

/// By trying each beginning of the text, shortest first.
Outcome by_trying(const std::vector<std::string>& stops, const std::string& text) {
    for (std::size_t end = 1; end <= text.size(); ++end) {
        std::size_t longest = 0;
        for (const std::string& stop : stops)
            if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
        if (longest > 0) return {text.substr(0, end - longest), true};
    }
    return {text, false};
}

TEST(StopText, EndsBeforeTheFirstWhereverPiecesEnd) {
    struct Case {
        std::vector<std::string> stops;
        std::string text;
        Outcome expected;
    };
    const std::vector<Case> cases = {
        {{}, "all of it", {"all of it", false}},
        {{"END"}, "one END two END", {"one ", true}},
        {{"END"}, "one EN ENENDX", {"one EN EN", true}},
        {{"END"}, "one EN", {"one EN", false}},
        {{"one"}, "one two", {"", true}},
        {{"\n\n", "Q:"}, "a\nb\nQ: c\n\n", {"a\nb\n", true}},
        {{"b", "abc"}, "xabc", {"xa", true}},       // complete first
        {{"bc", "abc", "c"}, "xabc", {"x", true}},  // complete at the same byte: the longest
        {{"aab"}, "aaaab", {"aa", true}},
        {{"abab", "ba"}, "xxaba", {"xxa", true}},
        {{"\xC3\xA9"}, "caf\xC3\xA8 caf\xC3\xA9", {"caf\xC3\xA8 caf", true}},
    };
    for (const Case& c : cases)
        for (std::size_t size = 1; size <= c.text.size(); ++size)
            EXPECT_EQ(in_pieces(c.stops, c.text, size), c.expected) << c.text << " by " << size;
}

// Every text of 9 letters out of two, many sets of stop strings.
TEST(StopText, EqualsTryingEachBeginning) {
    const std::vector<std::vector<std::string>> sets = {
        {"a"}, {"ab"}, {"aba"}, {"abab", "bb"}, {"aab", "ba"}, {"aaaa", "abba", "bab"}, {"abaab"}};
    int stopped = 0, passed = 0;
    for (const auto& stops : sets)
        for (unsigned bits = 0; bits < 512; ++bits) {
            std::string text;
            for (unsigned i = 0; i < 9; ++i) text += (bits >> i & 1u) != 0 ? 'a' : 'b';
            const Outcome expected = by_trying(stops, text);
            (expected.stopped ? stopped : passed)++;
            for (const std::size_t size : {1u, 2u, 4u, 9u})
                ASSERT_EQ(in_pieces(stops, text, size), expected) << text;
        }
    EXPECT_GT(stopped, 1000);
    EXPECT_GT(passed, 500);
}

// What can't be part of a stop string isn't kept waiting; what can isn't shown too early.
TEST(StopText, HoldsBackNoMoreThanItMust) {
    StopText stop({"<end>", "\n\n"});
    EXPECT_EQ(stop.add("text"), "text");
    EXPECT_EQ(stop.add(" <e"), " ");
    EXPECT_EQ(stop.add("n"), "");
    EXPECT_EQ(stop.add("<"), "<en");
    EXPECT_EQ(stop.add("\n"), "<");
    EXPECT_EQ(stop.rest(), "\n");
    EXPECT_EQ(stop.rest(), "");
    EXPECT_FALSE(stop.stopped());
    EXPECT_EQ(stop.add("x<end>y"), "x");
    EXPECT_TRUE(stop.stopped());
    EXPECT_EQ(stop.add("z"), "");
    EXPECT_EQ(stop.rest(), "");
}

}  // namespace
}  // namespace evengrad
