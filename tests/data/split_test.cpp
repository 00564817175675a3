#include <algorithm>
#include <limits>

#include "data_files.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad::test {
namespace {

using Split = DataFiles;

TEST_F(Split, OneDocumentIsCutAtThePositionAndBothPartsAreClosed) {
    const auto [train, held_out] = split_tail(read("a.txt", "0123456789"), 0.3);
    expect_well_formed(train);
    expect_well_formed(held_out);
    EXPECT_EQ(text_of(train, 0), "0123456");
    EXPECT_EQ(text_of(held_out, 0), "789");
    EXPECT_EQ(loss_of(train), "011111110");  // no loss on the end that the cut made
    EXPECT_EQ(loss_of(held_out), "01111");
    EXPECT_EQ(train.source, path("a.txt").string());
    EXPECT_EQ(held_out.source, train.source);
}

TEST_F(Split, OneDocumentIsNeverCutInsideACharacter) {
    const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x8B z";  // 1, 2, 3, 4, 1, 1 bytes
    for (int percent = 1; percent < 100; ++percent) {
        const auto [train, held_out] = split_tail(read("u.txt", text), percent / 100.0);
        expect_well_formed(train);
        expect_well_formed(held_out);
        const std::string head = text_of(train, 0);
        EXPECT_EQ(head + text_of(held_out, 0), text);
        const std::size_t boundaries[] = {1, 3, 6, 10, 11};
        EXPECT_TRUE(std::count(std::begin(boundaries), std::end(boundaries), head.size()) == 1)
            << percent << " % cut at byte " << head.size();
    }
}

TEST_F(Split, CutInTheFirstCharacterMovesBehindIt) {
    const auto [train, held_out] = split_tail(read("w.txt", "\xF0\x9F\x90\x8Bz"), 0.7);
    EXPECT_EQ(text_of(train, 0), "\xF0\x9F\x90\x8B");
    EXPECT_EQ(text_of(held_out, 0), "z");
}

TEST_F(Split, OneCharacterCannotBeCut) {
    for (const char* text : {"a", "\xF0\x9F\x90\x8B"})
        EXPECT_THROW(split_tail(read("one.txt", text), 0.5), Error) << text;
    EXPECT_THROW(split_tail(read("none.jsonl", R"({"text": ""})"), 0.5), Error);
}

TEST_F(Split, HeldOutTextKnowsItsLine) {
    const auto text = split_tail(read("l.txt", "one\ntwo\nthree\nfour"), 0.25);
    EXPECT_EQ(text_of(text.second, 0), "four");
    EXPECT_EQ(text.second.lines.front(), 4);
    // In JSONL the newlines of a text are not lines of the file.
    const auto json = split_tail(read("l.jsonl", "\n{\"text\": \"a\\nb\\nc\\nd\"}"), 0.2);
    EXPECT_EQ(text_of(json.second, 0), "d");
    EXPECT_EQ(json.second.lines.front(), 2);
}

TEST_F(Split, SeveralDocumentsAreCutAtTheNearestBoundary) {
    std::string lines;
    for (int i = 0; i < 10; ++i) lines += fmt::format("{{\"text\": \"document{}\"}}\n", i);
    struct Case {
        double fraction;
        std::int64_t held_out;
    };
    for (const Case c : {Case{0.1, 1}, Case{0.14, 1}, Case{0.16, 2}, Case{0.5, 5}, Case{0.001, 1},
                         Case{0.999, 9}}) {
        const auto [train, held_out] = split_tail(read("d.jsonl", lines), c.fraction);
        expect_well_formed(train);
        expect_well_formed(held_out);
        EXPECT_EQ(held_out.documents(), c.held_out) << c.fraction;
        ASSERT_EQ(train.documents(), 10 - c.held_out) << c.fraction;
        for (std::int64_t d = 0; d < 10; ++d) {
            const bool first = d < train.documents();
            const Dataset& part = first ? train : held_out;
            const std::int64_t at = first ? d : d - train.documents();
            EXPECT_EQ(text_of(part, at), fmt::format("document{}", d));
            EXPECT_EQ(part.lines[static_cast<std::size_t>(at)], d + 1);
        }
    }
}

TEST_F(Split, FractionCountsTokensNotDocuments) {
    const std::string lines = "{\"text\": \"" + std::string(1000, 'a') +
                              "\"}\n{\"text\": \"b\"}\n{\"text\": \"c\"}\n{\"text\": \"" +
                              std::string(1000, 'd') + "\"}\n";
    const auto [train, held_out] = split_tail(read("t.jsonl", lines), 0.3);
    EXPECT_EQ(train.documents(), 3);
    EXPECT_EQ(held_out.documents(), 1);
}

TEST_F(Split, LossFlagsStayWithTheirTokens) {
    const Dataset data = read("p.jsonl",
                              "{\"prompt\": \"aa\", \"completion\": \"b\"}\n"
                              "{\"prompt\": \"a\", \"completion\": \"bb\"}\n");
    const auto [train, held_out] = split_tail(data, 0.5);
    EXPECT_EQ(loss_of(train), "00011");
    EXPECT_EQ(loss_of(held_out), "00111");
}

TEST_F(Split, PartWithoutLossIsAnError) {
    const std::string pair = R"({"prompt": "a long prompt", "completion": "x"})";
    try {
        split_tail(read("p.jsonl", pair), 0.5);
        ADD_FAILURE() << "a training part of prompt alone was accepted";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("the training part without a token"),
                  std::string::npos)
            << error.what();
    }
}

TEST_F(Split, FractionOutsideZeroToOneIsAnError) {
    for (const double fraction : {0.0, 1.0, -0.1, 1.5, std::numeric_limits<double>::quiet_NaN(),
                                  std::numeric_limits<double>::infinity()})
        EXPECT_THROW(split_tail(read("f.txt", "abcdef"), fraction), Error) << fraction;
}

}  // namespace
}  // namespace evengrad::test
