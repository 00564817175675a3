#include <random>

#include "data/document_writer.hpp"
#include "reading.hpp"

namespace evengrad::test {
namespace {

using TextReader = ReaderTest;
using Texts = std::vector<std::string>;
using Numbers = std::vector<std::int64_t>;

const ReadOptions by_line{.documents = DocumentRule::line};
const ReadOptions by_paragraph{.documents = DocumentRule::blank_line};

constexpr std::size_t piece = DocumentWriter::max_piece_bytes;
constexpr std::size_t buffer = std::size_t{1} << 20;

/// Loss on all tokens but the first.
std::string flags_of_text(const ReadDocument& document) {
    std::string flags(document.tokens.size(), '1');
    flags.front() = '0';
    return flags;
}

TEST_F(TextReader, AFileIsOneDocumentWithLossOnAllButItsFirstToken) {
    const auto documents = read("book.txt", "Call me\n\nIshmael \xE2\x80\x94");
    ASSERT_EQ(documents.size(), 1U);
    EXPECT_EQ(text_of(documents[0]), "Call me\n\nIshmael \xE2\x80\x94");
    EXPECT_EQ(flags_of(documents[0]), flags_of_text(documents[0]));
    EXPECT_EQ(documents[0].line, 1);
}

TEST_F(TextReader, R6DocumentsOfOneByteAndOfTwo) {
    EXPECT_EQ(read("one.txt", "a")[0].tokens, (std::vector<std::int32_t>{256, 'a', 256}));
    EXPECT_EQ(flags_of(read("one.txt", "a")[0]), "011");
    EXPECT_EQ(flags_of(read("two.txt", "ab")[0]), "0111");
    EXPECT_EQ(texts_of(read("lines.txt", "a\nbc\n", by_line)), (Texts{"a", "bc"}));
    EXPECT_EQ(text_of(read("newline.txt", "\n")[0]), "\n");
}

TEST_F(TextReader, ExtensionCountsInAnyCase) {
    EXPECT_EQ(texts_of(read("BOOK.TXT", "a")), Texts{"a"});
    EXPECT_EQ(texts_of(read("BOOK.Txt.GZ", gzip("a"))), Texts{"a"});
}

TEST_F(TextReader, ByteOrderMarkIsDroppedOnceAtTheStart) {
    EXPECT_EQ(texts_of(read("bom.txt", "\xEF\xBB\xBFhi\xEF\xBB\xBF")), Texts{"hi\xEF\xBB\xBF"});
    EXPECT_EQ(texts_of(read("part.txt", "\xEF\xBB\xA0")), Texts{"\xEF\xBB\xA0"});
}

TEST_F(TextReader, NothingToReadIsAnError) {
    for (const ReadOptions& options : {ReadOptions{}, by_line, by_paragraph}) {
        EXPECT_EQ(message_of("empty.txt", "", options), "empty.txt: the file is empty");
        EXPECT_EQ(message_of("bom.txt", "\xEF\xBB\xBF", options), "bom.txt: the file is empty");
    }
    for (const ReadOptions& options : {by_line, by_paragraph}) {
        EXPECT_EQ(message_of("blank.txt", "\n \t\r\n", options),
                  "blank.txt: no documents in its 2 blank line(s)");
        EXPECT_EQ(message_of("blank.txt", "\n\n  ", options),
                  "blank.txt: no documents in its 3 blank line(s)");
    }
}

TEST_F(TextReader, BrokenUtf8NamesLineAndOffset) {
    struct Case {
        std::string_view bytes;
        std::string expected;
    };
    const Case cases[] = {
        {"ab\ncd\xFF", "line 2: not valid UTF-8 at byte offset 5 of the file"},
        {"\xEF\xBB\xBFx\xE9t", "line 1: not valid UTF-8 at byte offset 4 of the file"},
        {"cut short \xE2\x80", "line 1: not valid UTF-8 at byte offset 10 of the file"},
        {"\n\n\xC0\xAF", "line 3: not valid UTF-8 at byte offset 2 of the file"},      // overlong
        {"\xED\xA0\x80", "line 1: not valid UTF-8 at byte offset 0 of the file"},      // surrogate
        {"\xF4\x90\x80\x80", "line 1: not valid UTF-8 at byte offset 0 of the file"},  // > U+10FFFF
        {"a\x80", "line 1: not valid UTF-8 at byte offset 1 of the file"},
        {"\xF8\x88\x80\x80\x80", "line 1: not valid UTF-8 at byte offset 0 of the file"},
    };
    for (const Case& c : cases)
        for (const ReadOptions& options : {ReadOptions{}, by_line, by_paragraph}) {
            EXPECT_EQ(message_of("bad.txt", c.bytes, options), "bad.txt " + c.expected);
            const std::string in_gzip =
                c.expected.substr(0, c.expected.size() - 4) + "decompressed file";
            EXPECT_EQ(message_of("bad.txt.gz", gzip(c.bytes), options), "bad.txt.gz " + in_gzip);
        }
}

TEST_F(TextReader, Utf8AcrossBuffersIsWholeAndBrokenUtf8ThereIsFound) {
    for (const std::string_view character : {"\xC3\xA9", "\xE2\x80\x94", "\xF0\x9F\x90\x8B"})
        for (std::size_t before = buffer - 4; before <= buffer; ++before) {
            std::string text(before, 'a');
            text[before / 2] = '\n';
            text += character;
            text += "end";
            EXPECT_TRUE(text_of(read("border.txt", text)[0]) == text) << before;
            const std::string cut = text.substr(0, before + character.size() - 1);
            const std::string expected = fmt::format(
                "cut.txt line 2: not valid UTF-8 at byte offset {} of the file", before);
            EXPECT_EQ(message_of("cut.txt", cut), expected);
            EXPECT_EQ(message_of("cut.txt", cut + "end"), expected);
        }
}

TEST_F(TextReader, ALineADocument) {
    const auto documents =
        read("lines.txt", "one\n\n  \t\r\n two \r\nthree\r\r\nx\n\nlast", by_line);
    EXPECT_EQ(texts_of(documents), (Texts{"one", " two ", "three\r", "x", "last"}));
    EXPECT_EQ(lines_of(documents), (Numbers{1, 4, 5, 6, 8}));
    for (const ReadDocument& document : documents)
        EXPECT_EQ(flags_of(document), flags_of_text(document));
}

TEST_F(TextReader, AParagraphADocument) {
    const auto documents = read(
        "paragraphs.txt", "\n\n one\ntwo\n\n  \t\r\nthree\r\nfour\r\n\r\n\nfive\n\n", by_paragraph);
    EXPECT_EQ(texts_of(documents), (Texts{" one\ntwo", "three\r\nfour", "five"}));
    EXPECT_EQ(lines_of(documents), (Numbers{3, 7, 11}));
    EXPECT_EQ(texts_of(read("open.txt", "a\nb", by_paragraph)), Texts{"a\nb"});
    EXPECT_EQ(texts_of(read("closed.txt", "a\nb\n", by_paragraph)), Texts{"a\nb"});
}

TEST_F(TextReader, LinesAndTheirEndsMayCrossBuffers) {
    for (std::size_t before = buffer - 2; before <= buffer + 1; ++before) {
        const std::string first(before, 'a');
        EXPECT_TRUE(texts_of(read("line.txt", first + "\r\nb", by_line)) == (Texts{first, "b"}));
        EXPECT_TRUE(texts_of(read("two.txt", first + "\r\nb\r\n\r\nc", by_paragraph)) ==
                    (Texts{first + "\r\nb", "c"}));
        const std::string spaces = std::string(before - 1000, 'a') + "\n\n" + std::string(997, ' ');
        EXPECT_TRUE(texts_of(read("space.txt", spaces + "b\n" + spaces, by_line)).size() == 3U);
    }
    EXPECT_EQ(texts_of(read("return.txt", "a\nb\r", by_line)), (Texts{"a", "b\r"}));
}

TEST_F(TextReader, TextIsEncodedLineByLineAndLongLinesInPieces) {
    const auto pieces_of = [&](const std::string& text) {
        const PieceTokenizer tokenizer;
        read(write("pieces.txt", text), tokenizer);
        return tokenizer.pieces;
    };
    EXPECT_EQ(pieces_of("one two\n\nthree"), (Texts{"one two\n", "\n", "three"}));
    const std::string full(piece - 1, 'x');
    EXPECT_TRUE(pieces_of(full + "\nend") == (Texts{full + "\n", "end"}));
    EXPECT_TRUE(pieces_of(full + "yz\n") == (Texts{full + "y", "z\n"}));
    EXPECT_TRUE(pieces_of(full + "y\n") == (Texts{full + "y", "\n"}));
    EXPECT_TRUE(pieces_of(full + "\xC3\xA9z") == (Texts{full, "\xC3\xA9z"}));
    EXPECT_TRUE(pieces_of(full + "\xF0\x9F\x90\x8B") == (Texts{full, "\xF0\x9F\x90\x8B"}));
    // Before the last space, which may be the first byte that is too much.
    const std::string spaced = fmt::format(" {}", full);
    EXPECT_TRUE(pieces_of("a b" + spaced) == (Texts{"a b", spaced}));
    EXPECT_TRUE(pieces_of(full + "y z") == (Texts{full + "y", " z"}));
    EXPECT_TRUE(pieces_of(spaced + "yz") == (Texts{spaced, "yz"}));
}

TEST_F(TextReader, PiecesDoNotDependOnHowTheTextComesIn) {
    std::mt19937 random(7);
    std::string text;
    const std::string_view words[] = {"word ", " ", "\xE2\x80\x94", "longer-word", "no space"};
    while (text.size() < 40 * piece) {
        text += words[random() % 5];
        if (random() % 5000 == 0) text += '\n';
        if (random() % 3000 == 0) text.append(random() % (3 * piece), 'x');
    }
    PieceTokenizer whole, cut;
    RecordingSink sink(whole);
    sink.begin_file("text");
    for (const PieceTokenizer* tokenizer : {&whole, &cut}) {
        DocumentWriter writer(*tokenizer, sink, "text", true);
        writer.begin(1);
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t count =
                tokenizer == &whole ? text.size() : 1 + random() % (random() % 2 ? 10 : 2 * piece);
            writer.text(std::string_view(text).substr(at, count), 1.0f);
            at += std::min(count, text.size() - at);
        }
        writer.end(1.0f);
    }
    EXPECT_TRUE(whole.pieces == cut.pieces);
    EXPECT_GT(whole.pieces.size(), 40U);
    std::string joined;
    for (const std::string& part : whole.pieces) {
        EXPECT_LE(part.size(), piece);
        joined += part;
    }
    EXPECT_TRUE(joined == text);
    EXPECT_TRUE(text_of(sink.documents[1]) == text);
}

TEST_F(TextReader, TextComesBackFromItsTokens) {
    std::mt19937 random(11);
    for (int round = 0; round < 200; ++round) {
        std::string text;
        const std::size_t size = 1 + random() % 300;
        while (text.size() < size) {
            const std::string_view parts[] = {"a",  "\n",       "\r\n",         "\r",
                                              " ",  "\xC3\xA9", "\xEF\xBB\xBF", "\xF0\x9F\x90\x8B",
                                              "\t", "#"};
            text += parts[random() % 10];
        }
        if (text.starts_with("\xEF\xBB\xBF")) text.insert(0, 1, 'x');
        EXPECT_EQ(bytes_->decode(read("any.txt", text)[0].tokens), text);
        // Cut into documents, all but line ends and blank lines is there.
        text.insert(0, 1, 'x');
        std::string lines, paragraphs;
        for (const auto& part : texts_of(read("any.txt", text, by_line))) lines += part;
        for (const auto& part : texts_of(read("any.txt", text, by_paragraph))) paragraphs += part;
        const auto visible = [](std::string s) {
            std::erase_if(s,
                          [](char c) { return c == '\n' || c == '\r' || c == ' ' || c == '\t'; });
            return s;
        };
        EXPECT_EQ(visible(lines), visible(text));
        EXPECT_EQ(visible(paragraphs), visible(text));
    }
}

TEST_F(TextReader, NoDocumentIsHeldInMemory) {
    const std::string line(997, 'x');
    std::string text;
    while (text.size() < 4 * buffer) text += line + "\n";
    RecordingSink sink = read(write("long.txt", text), *bytes_);
    EXPECT_TRUE(text_of(sink.documents[0]) == text);
    EXPECT_LT(sink.largest_add, 100'000);
    sink = read(write("line.txt", std::string(4 * buffer, 'x')), *bytes_, by_line);
    EXPECT_EQ(sink.documents[0].tokens.size(), 4 * buffer + 2);
    EXPECT_LT(sink.largest_add, 100'000);
    // Spaces of one line wait for what follows; not for ever.
    EXPECT_EQ(read("space.txt", std::string(piece, ' ') + "\na", by_line).size(), 1U);
    EXPECT_EQ(read("space.txt", std::string(piece + 1, ' ') + "\na", by_line).size(), 2U);
}

TEST_F(TextReader, WhatTheTokenizerRefusesNamesTheLine) {
    const PieceTokenizer tokenizer;
    const auto error = [&](std::string_view text, const ReadOptions& options) {
        return error_of(write("hash.txt", text), tokenizer, options);
    };
    EXPECT_STREQ(error("a\n\nb # c\n", {}).what(), "hash.txt line 3: no token for '#'");
    EXPECT_EQ(error("a\n\nb # c\n", {}).hint(), "leave it out");
    EXPECT_STREQ(error("a\n\nb\n#", by_line).what(), "hash.txt line 4: no token for '#'");
    EXPECT_STREQ(error("a\n\nb\nc\n#\n", by_paragraph).what(), "hash.txt line 5: no token for '#'");
}

}  // namespace
}  // namespace evengrad::test
