#include "reading.hpp"

namespace evengrad::test {
namespace {

using Tokens = std::vector<std::int32_t>;

constexpr std::int32_t end = 50256;

/// `value`, little-endian, in `size` bytes.
std::string number(std::uint32_t value, std::size_t size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFFU);
    return bytes;
}

/// As nanoGPT writes ids (2 bytes), or llm.c behind its header.
std::string ids(const Tokens& tokens, std::size_t size = 2) {
    std::string bytes;
    for (const std::int32_t token : tokens)
        bytes += number(static_cast<std::uint32_t>(token), size);
    return bytes;
}

std::string llmc(std::uint32_t magic, std::uint32_t version, std::uint32_t count,
                 const std::string& payload) {
    std::string bytes = number(magic, 4) + number(version, 4) + number(count, 4);
    bytes.resize(1024, '\0');
    return bytes + payload;
}

class TokenReader : public ReaderTest {
  protected:
    const PieceTokenizer gpt2_{50257, end};

    std::vector<ReadDocument> read_ids(std::string_view name, const std::string& bytes) const {
        auto documents = read(write(name, bytes), gpt2_).documents;
        for (const ReadDocument& document : documents) EXPECT_EQ(document.line, 0);
        return documents;
    }
    std::string problem(const std::string& bytes, std::string_view name = "bad.bin") const {
        return error_of(write(name, bytes), gpt2_).what();
    }
};

void expect_documents(const std::vector<ReadDocument>& documents,
                      const std::vector<Tokens>& contents, float last_weight) {
    ASSERT_EQ(documents.size(), contents.size());
    for (std::size_t d = 0; d < documents.size(); ++d) {
        Tokens expected{end};
        expected.insert(expected.end(), contents[d].begin(), contents[d].end());
        expected.push_back(end);
        EXPECT_TRUE(documents[d].tokens == expected) << d;
        std::vector<float> weights(expected.size(), 1.0f);
        weights.front() = 0.0f;
        if (d + 1 == documents.size()) weights.back() = last_weight;
        EXPECT_TRUE(documents[d].weights == weights) << d;
    }
}

TEST_F(TokenReader, NanoGptEndsDocumentsWithEndOfText) {
    expect_documents(read_ids("train.bin", ids({1, 2, end, 3, end})), {{1, 2}, {3}}, 1);
}

TEST_F(TokenReader, LlmCBeginsDocumentsWithEndOfTextAndMayGoOnInTheNextShard) {
    const Tokens tokens{end, 1, 2, end, 3, 50255};
    expect_documents(read_ids("gpt2.bin", llmc(20240520, 1, 6, ids(tokens))), {{1, 2}, {3, 50255}},
                     0);
    expect_documents(read_ids("llama3.bin", llmc(20240801, 7, 6, ids(tokens, 4))),
                     {{1, 2}, {3, 50255}}, 0);
}

TEST_F(TokenReader, R6DocumentsOfOneTokenAndEmptyRuns) {
    expect_documents(read_ids("a.bin", ids({1})), {{1}}, 0);
    expect_documents(read_ids("a.bin", ids({end, end, 1, end, end, end, 2, 3, end, end})),
                     {{1}, {2, 3}}, 1);
}

TEST_F(TokenReader, LargeIdsOfThirtyTwoBits) {
    const PieceTokenizer llama3(128256, 128000);
    const auto documents =
        read(write("llama3.bin", llmc(20240801, 7, 3, ids({128000, 128255, 70000}, 4))), llama3)
            .documents;
    ASSERT_EQ(documents.size(), 1U);
    EXPECT_EQ(documents[0].tokens, (Tokens{128000, 128255, 70000, 128000}));
}

TEST_F(TokenReader, DocumentsCrossBuffers) {
    std::vector<Tokens> contents;
    Tokens tokens;
    for (std::int32_t d = 0; tokens.size() < 3U << 19; ++d) {
        contents.emplace_back();
        for (std::int32_t i = 0; i < 1 + d * 997 % 70001; ++i) contents.back().push_back(i % end);
        tokens.insert(tokens.end(), contents.back().begin(), contents.back().end());
        tokens.push_back(end);
    }
    const auto count = static_cast<std::uint32_t>(tokens.size());
    expect_documents(read_ids("a.bin", ids(tokens)), contents, 1);
    expect_documents(read_ids("b.bin", llmc(20240801, 7, count, ids(tokens, 4))), contents, 1);
    expect_documents(read_ids("c.bin.gz", gzip(llmc(20240520, 1, count, ids(tokens)))), contents,
                     1);
    // One byte off: tokens cross the buffers' ends; the last one is cut.
    EXPECT_EQ(
        problem(ids(tokens) + 'x'),
        fmt::format("bad.bin: {} bytes, not a whole number of tokens of 2 bytes", 2 * count + 1));
}

TEST_F(TokenReader, DamagedFilesAreRefused) {
    EXPECT_EQ(problem(""), "bad.bin: the file is empty");
    EXPECT_EQ(problem(ids({1, 2}) + 'x'),
              "bad.bin: 5 bytes, not a whole number of tokens of 2 bytes");
    EXPECT_EQ(problem("x"), "bad.bin: 1 bytes, not a whole number of tokens of 2 bytes");
    EXPECT_EQ(problem(ids({end, end})),
              "bad.bin: no documents in its 2 token(s), all of them end-of-text");
    EXPECT_EQ(problem(ids({1, 2, 50257})),
              "bad.bin: the id 50257 at byte offset 4 is not in the vocabulary (0 to 50256)");
    EXPECT_EQ(problem(llmc(20240801, 7, 2, ids({1, 50257}, 4))),
              "bad.bin: the id 50257 at byte offset 1028 is not in the vocabulary (0 to 50256)");
    EXPECT_EQ(problem(llmc(20240801, 7, 1, ids({-1}, 4))),
              "bad.bin: the id 4294967295 at byte offset 1024 is not in the vocabulary "
              "(0 to 50256)");
    EXPECT_EQ(problem(llmc(20240520, 1, 2, ids({1, 2})).substr(0, 1000)),
              "bad.bin: ends after 1000 of the 1024 bytes of llm.c's header");
    EXPECT_EQ(problem(llmc(20240520, 2, 2, ids({1, 2}))),
              "bad.bin: version 2 of llm.c's format 20240520; version 1 is known");
    EXPECT_EQ(problem(llmc(20240801, 1, 2, ids({1, 2}, 4))),
              "bad.bin: version 1 of llm.c's format 20240801; version 7 is known");
    EXPECT_EQ(problem(llmc(20240520, 1, 0, "")), "bad.bin: the header says 0 tokens");
    EXPECT_EQ(problem(llmc(20240520, 1, 0x80000000U, ids({1}))),
              "bad.bin: the header says -2147483648 tokens");
    EXPECT_EQ(problem(llmc(20240520, 1, 1, "")),
              "bad.bin: shorter than the 1 tokens that its header says");
    EXPECT_EQ(problem(llmc(20240520, 1, 3, ids({1, 2}))),
              "bad.bin: shorter than the 3 tokens that its header says");
    EXPECT_EQ(problem(llmc(20240520, 1, 3, ids({1, 2}) + 'x')),
              "bad.bin: shorter than the 3 tokens that its header says");
    EXPECT_EQ(problem(llmc(20240520, 1, 1, ids({1, 2}))),
              "bad.bin: longer than the 1 tokens that its header says");
    EXPECT_EQ(problem(llmc(20240520, 1, 1, ids({1}) + 'x')),
              "bad.bin: longer than the 1 tokens that its header says");
    EXPECT_EQ(problem(llmc(20240520, 1, 0x7FFFFFFFU, ids({1}))),
              "bad.bin: shorter than the 2147483647 tokens that its header says");
    EXPECT_EQ(problem(llmc(20240522, 1, 1, ids({1}))),
              "bad.bin: an evaluation file of llm.c (multiple choice), not a shard of training "
              "tokens");
    EXPECT_EQ(problem(gzip(ids({1, 2, 3})).substr(0, 20), "bad.bin.gz"),
              "bad.bin.gz: the compressed data ends too early: the file was cut short");
}

TEST_F(TokenReader, BytesAreNotItsTokenizer) {
    const Error error = error_of(write("a.bin", ids({1, 2})), *bytes_);
    EXPECT_STREQ(error.what(), "a.bin: token ids of another tokenizer, not bytes");
    EXPECT_NE(error.hint().find("--tokenizer ids:VOCABULARY:END_OF_TEXT"), std::string::npos);
}

}  // namespace
}  // namespace evengrad::test
