#include <limits>

#include <fmt/ranges.h>

#include "data_files.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad::test {
namespace {

class Split : public DataFiles {
  protected:
    std::pair<Dataset, Dataset> split(std::string_view name, std::string_view bytes,
                                      double fraction) const {
        return open(name, bytes).split_tail(fraction);
    }
};

/// The text of a dataset's document, and the weights of all its tokens as 0 and 1.
std::string text(const Dataset& data, std::int64_t document = 0) {
    const auto [begin, end] = data.part(0).document(document);
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(end - begin));
    data.part(0).read(begin, tokens, {});
    return data.tokenizer()->decode(tokens);
}
std::string loss(const Dataset& data) {
    std::vector<float> weights(static_cast<std::size_t>(data.tokens()));
    data.part(0).read(data.part(0).begin(), {}, weights);
    std::string flags;
    for (const float weight : weights) flags += weight > 0.0f ? '1' : '0';
    return flags;
}

TEST_F(Split, OneDocumentIsCutAtThePosition) {
    const auto [train, held_out] = split("a.txt", "0123456789", 0.3);
    EXPECT_EQ(text(train), "0123456");
    EXPECT_EQ(text(held_out), "789");
    // Nothing is added at the cut; the first token of a part is read, not predicted.
    EXPECT_EQ(loss(train), "01111111");
    EXPECT_EQ(loss(held_out), "1111");
    EXPECT_EQ(train.documents(), 1);
    EXPECT_EQ(held_out.documents(), 1);
    EXPECT_EQ(train.source(), path("a.txt").string());
    EXPECT_EQ(held_out.source(), train.source());
    EXPECT_EQ(held_out.part(0).describe(0), train.source() + " line 1: begins '789'");
}

TEST_F(Split, OneDocumentIsNeverCutInsideACharacter) {
    const std::string all = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x8B z";  // 1, 2, 3, 4, 1, 1 bytes
    for (int percent = 1; percent < 100; ++percent) {
        const auto [train, held_out] = split("u.txt", all, percent / 100.0);
        const std::string head = text(train);
        EXPECT_EQ(head + text(held_out), all);
        const std::size_t boundaries[] = {1, 3, 6, 10, 11};
        EXPECT_TRUE(std::count(std::begin(boundaries), std::end(boundaries), head.size()) == 1)
            << percent << " % cut at byte " << head.size();
    }
}

TEST_F(Split, CutInTheFirstCharacterMovesBehindIt) {
    const auto [train, held_out] = split("w.txt", "\xF0\x9F\x90\x8Bz", 0.7);
    EXPECT_EQ(text(train), "\xF0\x9F\x90\x8B");
    EXPECT_EQ(text(held_out), "z");
}

TEST_F(Split, OneCharacterCannotBeCut) {
    for (const char* one : {"a", "\xF0\x9F\x90\x8B"})
        EXPECT_THROW(split("one.txt", one, 0.5), Error) << one;
    EXPECT_THROW(split("none.jsonl", R"({"text": ""})", 0.5), Error);
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
        const auto [train, held_out] = split("d.jsonl", lines, c.fraction);
        EXPECT_EQ(held_out.documents(), c.held_out) << c.fraction;
        ASSERT_EQ(train.documents(), 10 - c.held_out) << c.fraction;
        for (std::int64_t d = 0; d < 10; ++d) {
            const bool first = d < train.documents();
            const Dataset& part = first ? train : held_out;
            const std::int64_t at = first ? d : d - train.documents();
            EXPECT_EQ(text(part, at), fmt::format("document{}", d));
            EXPECT_EQ(part.part(0).describe(at),
                      fmt::format("{} line {}: begins 'document{}'", part.source(), d + 1, d));
            EXPECT_EQ(part.part(0).document_of(part.part(0).document(at).first), at);
        }
    }
}

TEST_F(Split, FractionCountsTokensNotDocuments) {
    const std::string lines = "{\"text\": \"" + std::string(1000, 'a') +
                              "\"}\n{\"text\": \"b\"}\n{\"text\": \"c\"}\n{\"text\": \"" +
                              std::string(1000, 'd') + "\"}\n";
    const auto [train, held_out] = split("t.jsonl", lines, 0.3);
    EXPECT_EQ(train.documents(), 3);
    EXPECT_EQ(held_out.documents(), 1);
}

TEST_F(Split, WeightsStayWithTheirTokens) {
    const auto [train, held_out] = split("p.jsonl",
                                         "{\"prompt\": \"aa\", \"completion\": \"b\"}\n"
                                         "{\"prompt\": \"a\", \"completion\": \"bb\"}\n",
                                         0.5);
    EXPECT_EQ(loss(train), "00011");
    EXPECT_EQ(loss(held_out), "00111");
}

TEST_F(Split, PartWithoutLossIsAnError) {
    const std::string pair = R"({"prompt": "a long prompt", "completion": "x"})";
    try {
        split("p.jsonl", pair, 0.5);
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
        EXPECT_THROW(split("f.txt", "abcdef", fraction), Error) << fraction;
}

TEST_F(Split, EachPartOfSeveralFilesIsSplit) {
    const auto a = write("a.txt", "0123456789"), b = write("b.txt", "abcdefghij");
    const Dataset both = open_dataset({a.string(), b.string()});
    const auto [train, held_out] = both.split_tail(0.3);
    ASSERT_EQ(held_out.parts().size(), 2u);
    EXPECT_EQ(text(held_out), "789");
    EXPECT_EQ(train.tokens() + held_out.tokens(), both.tokens());
    EXPECT_EQ(held_out.part(1).describe(0), b.string() + " line 1: begins 'hij'");
}

// The digest is of what is learned: not of names, but of tokens, weights, borders and shares.
TEST_F(Split, DigestTellsDataApart) {
    const auto a = write("a.txt", "0123456789").string(), b = write("b.txt", "0123456789").string();
    const auto c = write("c.txt", "0123456788").string();
    const auto d = write("d.jsonl", "{\"prompt\":\"0\",\"completion\":\"123456789\"}").string();
    const auto digest = [](const std::vector<std::string>& files) {
        return open_dataset(files).digest();
    };
    EXPECT_EQ(digest({a}), digest({b}));
    EXPECT_NE(digest({a}), digest({c}));
    EXPECT_NE(digest({a}), digest({d}));
    EXPECT_NE(digest({a, c}), digest({c, a}));
    EXPECT_NE(digest({a + ":1", c + ":1"}), digest({a, c}));
    EXPECT_NE(digest({a + ":1", c + ":1"}), digest({a + ":1", c + ":2"}));
    const Dataset whole = open_dataset({a});
    EXPECT_NE(whole.split_tail(0.3).first.digest(), whole.split_tail(0.2).first.digest());
}

TEST_F(Split, AShareStandsBehindTheFile) {
    using Files = std::vector<std::string>;
    const auto a = write("a.txt", "0123456789").string(), b = write("b:c.txt", "abc").string();
    EXPECT_EQ(open_dataset({b}).part(0).name(), b);  // a colon that is part of the name
    EXPECT_EQ(open_dataset({a + ":2.5", b + ":1"}).shares(), (std::vector<double>{2.5, 1.0}));
    EXPECT_TRUE(open_dataset({a, b}).shares().empty());
    for (const Files& bad : {Files{a + ":0", b + ":1"}, Files{a + ":-1"}, Files{a + ":inf"},
                             Files{a + ":1", b}, Files{}})
        EXPECT_THROW(open_dataset(bad), UsageError) << fmt::format("{}", fmt::join(bad, " "));
}

}  // namespace
}  // namespace evengrad::test
