#include "reading.hpp"

namespace evengrad::test {
namespace {

using JsonlReader = ReaderTest;
using Texts = std::vector<std::string>;
using Tokens = std::vector<std::int32_t>;

const ReadOptions all_messages{.message_loss = MessageLoss::all};

TEST_F(JsonlReader, GivesLossToTextCompletionAndEndButNotToPrompt) {
    const auto documents = read("mixed.jsonl",
                                "{\"text\": \"abc\"}\n"
                                "\n"
                                " \t\r\n"
                                "{\"completion\": \"de\", \"prompt\": \"p\\n\\u00e9\"}\r\n"
                                "{\"text\": \"\"}\n"
                                "{\"prompt\": \"\", \"completion\": \"\"}");
    EXPECT_EQ(texts_of(documents), (Texts{"abc",
                                          "p\n\xC3\xA9"
                                          "de",
                                          "", ""}));
    EXPECT_EQ(lines_of(documents), (std::vector<std::int64_t>{1, 4, 5, 6}));
    EXPECT_EQ(flags_of(documents[0]), "01111");
    EXPECT_EQ(flags_of(documents[1]), "00000111");
    EXPECT_EQ(flags_of(documents[2]), "01");
    EXPECT_EQ(flags_of(documents[3]), "01");
}

TEST_F(JsonlReader, R6TextsOfOneByteAndOfTwo) {
    const auto documents = read("short.jsonl",
                                "{\"text\": \"a\"}\n{\"text\": \"ab\"}\n"
                                "{\"prompt\": \"a\", \"completion\": \"\"}\n"
                                "{\"prompt\": \"\", \"completion\": \"a\"}\n"
                                "{\"prompt\": \"a\", \"completion\": \"b\"}\n"
                                "{\"input_ids\": [1]}\n{\"input_ids\": [1, 2]}");
    const std::string expected[] = {"011", "0111", "001", "011", "0011", "011", "0111"};
    ASSERT_EQ(documents.size(), 7U);
    for (std::size_t d = 0; d < 7; ++d) EXPECT_EQ(flags_of(documents[d]), expected[d]) << d;
}

TEST_F(JsonlReader, ByteOrderMarkIsDroppedAndCountsInByteNumbers) {
    EXPECT_EQ(texts_of(read("bom.jsonl", "\xEF\xBB\xBF{\"text\":\"hi\"}\n")), Texts{"hi"});
    EXPECT_EQ(message_of("bom.jsonl", "\xEF\xBB\xBF{\"text\":\"\xFF\"}\n"),
              "bom.jsonl line 1, byte 13: not valid UTF-8");
    EXPECT_EQ(message_of("bom.jsonl", "\xEF\xBB\xBF{\"text\":\"a\"}\n{\"text\":\"\xFF\"}"),
              "bom.jsonl line 2, byte 10: not valid UTF-8");
}

TEST_F(JsonlReader, ConversationsFollowTheTemplate) {
    const std::string conversation =
        R"({"messages": [{"role": "system", "content": "S"}, {"content": "U", "role": "user"},)"
        R"( {"role": "assistant", "content": "A"}, {"role": "tool", "content": "T"},)"
        R"( {"role": "assistant", "content": "B"}]})";
    const std::string expected =
        "<|system|>\nS\n<|user|>\nU\n<|assistant|>\nA$<|tool|>\nT\n<|assistant|>\nB";
    auto documents = read("chat.jsonl", conversation);
    ASSERT_EQ(documents.size(), 1U);
    EXPECT_EQ(text_of(documents[0]), expected);
    const auto learned = [](const ReadDocument& document) {
        std::string text;
        for (std::size_t i = 0; i < document.tokens.size(); ++i) {
            EXPECT_TRUE(document.weights[i] == 0.0f || document.weights[i] == 1.0f);
            const std::int32_t token = document.tokens[i];
            if (document.weights[i] > 0.0f) text += token == 256 ? '$' : static_cast<char>(token);
        }
        return text;
    };
    EXPECT_EQ(learned(documents[0]), "A$B$");
    documents = read("chat.jsonl", conversation, all_messages);
    EXPECT_EQ(text_of(documents[0]), expected);
    EXPECT_EQ(learned(documents[0]), "S\nU\nA$T\nB$");

    // The end is end_of_text whoever speaks last, and counts like the last message.
    const std::string open = R"({"messages": [{"role": "user", "content": "U"}]})";
    documents = read("open.jsonl", open);
    EXPECT_EQ(text_of(documents[0]), "<|user|>\nU\n");
    EXPECT_EQ(learned(documents[0]), "");
    EXPECT_EQ(learned(read("open.jsonl", open, all_messages)[0]), "U\n$");
    EXPECT_EQ(
        learned(read("empty.jsonl", R"({"messages": [{"role": "assistant", "content": ""}]})")[0]),
        "$");
}

TEST_F(JsonlReader, TextOfOneWeightIsEncodedTogetherLineByLine) {
    const PieceTokenizer tokenizer;
    read(write("a.jsonl", R"({"messages": [{"role": "user", "content": "U\nV"},)"
                          R"( {"role": "assistant", "content": "A\n"}]})"
                          "\n"
                          R"({"prompt": "p\nq", "completion": "c\nd"})"),
         tokenizer);
    EXPECT_EQ(tokenizer.pieces, (Texts{"<|user|>\n", "U\n", "V\n", "<|assistant|>\n", "A\n", "p\n",
                                       "q", "c\n", "d"}));
}

TEST_F(JsonlReader, IdsCarryLossWhereTheirLabelsDo) {
    const PieceTokenizer tokenizer(1000, 500);
    const auto documents =
        read(write("ids.jsonl",
                   "{\"input_ids\": [1, 999, 0]}\n"
                   "{\"labels\": [-100, 2, -100, 4], \"input_ids\": [1, 2, 3, 4]}\n"
                   "{\"input_ids\": [500, 1, 500], \"labels\": [500, -100, 500]}\n"
                   "{\"input_ids\": [500, 1, 500], \"labels\": [500, 1, -100]}\n"
                   "{\"input_ids\": [1, 500, 2]}\n"
                   "{\"input_ids\": [1, 2], \"labels\": [1, -100]}\n"
                   "{\"input_ids\": []}\n"
                   "{\"input_ids\": [500]}\n"
                   "{\"input_ids\": [500, 500]}\n"
                   "{\"input_ids\": [500], \"labels\": [-100]}\n"),
             tokenizer)
            .documents;
    const Tokens tokens[] = {{500, 1, 999, 0, 500},
                             {500, 1, 2, 3, 4, 500},
                             {500, 1, 500},
                             {500, 1, 500},
                             {500, 1, 500, 2, 500},
                             {500, 1, 2, 500},
                             {500, 500},
                             {500, 500},
                             {500, 500},
                             {500, 500}};
    const std::string flags[] = {"01111", "001011", "001", "010", "01111",
                                 "0100",  "01",     "01",  "01",  "00"};
    ASSERT_EQ(documents.size(), 10U);
    for (std::size_t d = 0; d < documents.size(); ++d) {
        EXPECT_EQ(documents[d].tokens, tokens[d]) << d;
        EXPECT_EQ(flags_of(documents[d]), flags[d]) << d;
    }
}

TEST_F(JsonlReader, LinesCrossReadBuffers) {
    // Line lengths around the 1 MiB buffer: a newline as last byte of one read, first of the next.
    std::string bytes;
    Texts texts;
    for (std::size_t length = (1U << 20) - 13; length < (1U << 20) - 9; ++length) {
        texts.emplace_back(length, static_cast<char>('a' + texts.size()));
        bytes += "{\"text\":\"" + texts.back() + "\"}\n";
    }
    const auto documents = read("long.jsonl", bytes);
    EXPECT_TRUE(texts_of(documents) == texts);
    EXPECT_EQ(lines_of(documents), (std::vector<std::int64_t>{1, 2, 3, 4}));
}

TEST_F(JsonlReader, ProblemsNameTheLine) {
    struct Case {
        std::string line;
        std::string expected;
    };
    const Case cases[] = {
        {R"({"body": "a"})", ": unknown key \"body\""},
        {R"({"text": "a", "meta": {}})", ": unknown key \"meta\""},
        {R"({"te\nxt": "a"})", ": unknown key \"te\\nxt\""},
        {R"({"text": "a", "prompt": "b"})", ": \"text\" does not go with \"prompt\""},
        {R"({"messages": [{"role": "user", "content": ""}], "completion": "b"})",
         ": \"completion\" does not go with \"messages\""},
        {R"({"text": "a", "labels": []})", ": \"text\" does not go with \"labels\""},
        {R"({"prompt": "a"})", ": \"prompt\" without \"completion\""},
        {R"({"completion": "a"})", ": \"completion\" without \"prompt\""},
        {R"({"labels": [1]})", ": \"labels\" without \"input_ids\""},
        {R"({"text": "a", "text": "b"})", ": key \"text\" comes twice"},
        {R"({})", ": the object has no keys"},
        {R"({"weight": 1})", ": nothing but weights"},
        {R"({"text": null})", ": the value of \"text\" is null, not a string"},
        {R"({"text": 1})", ": the value of \"text\" is a number, not a string"},
        {R"({"text": -1.5})", ": the value of \"text\" is a number, not a string"},
        {R"({"text": true})", ": the value of \"text\" is a boolean, not a string"},
        {R"({"prompt": ["a"]})", ": the value of \"prompt\" is an array, not a string"},
        {R"({"prompt": {"a": 1}})", ": the value of \"prompt\" is an object, not a string"},
        {R"(["a"])", ": the line is an array, not an object"},
        {R"("a")", ": the line is a string, not an object"},
        {R"(7)", ": the line is a number, not an object"},
        {"{\"text\": \"a\xFF\"}", ", byte 12: not valid UTF-8"},
        {std::string("{\"text\": \"a\"}\0x", 15),
         ", byte 14: a zero byte, which JSON does not allow"},

        {R"({"messages": "a"})", ": the value of \"messages\" is a string, not an array"},
        {R"({"messages": {}})", ": the value of \"messages\" is an object, not an array"},
        {R"({"messages": []})", ": \"messages\" is empty"},
        {R"({"messages": ["a"]})", ": \"messages\"[0] is a string, not an object"},
        {R"({"messages": [[]]})", ": \"messages\"[0] is an array, not an object"},
        {R"({"messages": [7]})", ": \"messages\"[0] is a number, not an object"},
        {R"({"messages": [{}]})", ": \"messages\"[0] has no \"role\""},
        {R"({"messages": [{"role": "user", "content": "a"}, {"role": "user"}]})",
         ": \"messages\"[1] has no \"content\""},
        {R"({"messages": [{"content": "user"}]})", ": \"messages\"[0] has no \"role\""},
        {R"({"messages": [{"role": "bot"}]})",
         ": the value of \"role\" in \"messages\"[0] is \"bot\", not one of system, user, "
         "assistant, tool"},
        {R"({"messages": [{"role": 1}]})",
         ": the value of \"role\" in \"messages\"[0] is a number, not a string"},
        {R"({"messages": [{"content": null}]})",
         ": the value of \"content\" in \"messages\"[0] is null, not a string"},
        {R"({"messages": [{"content": ["a"]}]})",
         ": the value of \"content\" in \"messages\"[0] is an array, not a string"},
        {R"({"messages": [{"content": {}}]})",
         ": the value of \"content\" in \"messages\"[0] is an object, not a string"},
        {R"({"messages": [{"role": "user", "role": "user"}]})",
         ": key \"role\" in \"messages\"[0] comes twice"},
        {R"({"messages": [{"role": "user", "content": "", "name": "Bob"}]})",
         ": unknown key \"name\" in \"messages\"[0]"},
        {R"({"messages": [{"text": "a"}]})", ": unknown key \"text\" in \"messages\"[0]"},
        {R"({"role": "user", "content": "a"})", ": unknown key \"role\""},

        {R"({"input_ids": 1})", ": the value of \"input_ids\" is a number, not an array"},
        {R"({"input_ids": "1 2"})", ": the value of \"input_ids\" is a string, not an array"},
        {R"({"input_ids": [1, "2"]})", ": \"input_ids\"[1] is a string, not a whole number"},
        {R"({"input_ids": [[1]]})", ": \"input_ids\"[0] is an array, not a whole number"},
        {R"({"input_ids": [{}]})", ": \"input_ids\"[0] is an object, not a whole number"},
        {R"({"input_ids": [null]})", ": \"input_ids\"[0] is null, not a whole number"},
        {R"({"input_ids": [1, 2.0]})",
         ": \"input_ids\"[1] is a number with a point or an exponent, not a whole number"},
        {R"({"input_ids": [1, 257]})",
         ": \"input_ids\"[1] is 257, not in the vocabulary (0 to 256)"},
        {R"({"input_ids": [-1]})", ": \"input_ids\"[0] is -1, not in the vocabulary (0 to 256)"},
        {R"({"input_ids": [-100]})",
         ": \"input_ids\"[0] is -100, not in the vocabulary (0 to 256)"},
        {R"({"input_ids": [18446744073709551615]})",
         ": \"input_ids\"[0] is 18446744073709551615, not in the vocabulary (0 to 256)"},
        {R"({"input_ids": [18446744073709551616]})",
         ": \"input_ids\"[0] is 18446744073709551616, not in the vocabulary (0 to 256)"},
        {R"({"input_ids": [1], "labels": [-9223372036854775809]})",
         ": \"labels\"[0] is -9223372036854775809, not in the vocabulary (0 to 256)"},
        {R"({"input_ids": [1e20]})",
         ": \"input_ids\"[0] is a number with a point or an exponent, not a whole number"},
        {R"({"input_ids": [4294967297]})",
         ": \"input_ids\"[0] is 4294967297, not in the vocabulary (0 to 256)"},
        {R"({"input_ids": [1], "labels": [-99]})",
         ": \"labels\"[0] is -99, not in the vocabulary (0 to 256)"},
        {R"({"input_ids": [1], "labels": [1, 1]})",
         ": \"labels\" has 2 entries, \"input_ids\" has 1"},
        {R"({"labels": [], "input_ids": [1]})", ": \"labels\" has 0 entries, \"input_ids\" has 1"},
        {R"({"input_ids": [1, 2, 3], "labels": [2, 3, -100]})",
         ": \"labels\"[0] is 2, \"input_ids\"[0] is 1"},
    };
    for (const Case& c : cases)
        EXPECT_EQ(message_of("bad.jsonl", "{\"text\": \"fine\"}\n\n" + c.line + "\n"),
                  "bad.jsonl line 3" + c.expected);
}

TEST_F(JsonlReader, HintsSayWhatToDo) {
    const auto hint = [&](const std::string& line) {
        return error_of(write("bad.jsonl", line), *bytes_).hint();
    };
    EXPECT_EQ(hint(R"({"meta": 1})"),
              "nothing in the data is ignored; to drop it: "
              "jq -c 'del(.meta)' OLD.jsonl > NEW.jsonl");
    EXPECT_EQ(hint(R"({"messages": [{"name": 1}]})"),
              "nothing in the data is ignored; to drop it: "
              "jq -c 'del(.messages[].name)' OLD.jsonl > NEW.jsonl");
    for (const std::string key : {"a'b", "a b", "", "-a", "\xC3\xA9"})
        EXPECT_EQ(hint("{\"" + key + "\": 1}"), "nothing in the data is ignored; drop the key");
    EXPECT_NE(hint(R"({"input_ids": [999]})").find("ids:VOCABULARY:END_OF_TEXT"),
              std::string::npos);
    EXPECT_NE(hint(R"({"input_ids": [1, 2], "labels": [2, -100]})").find("not shifted"),
              std::string::npos);
    EXPECT_NE(hint("{}").find(R"({"text": "..."})"), std::string::npos);
}

TEST_F(JsonlReader, BrokenJsonNamesLineAndByte) {
    struct Case {
        std::string line;
        int byte;
    };
    const Case cases[] = {
        {R"({"text": "a")", 13},        {R"({"text": "a)", 12},        {R"({"text" "a"})", 11},
        {R"({"text": "a"} x)", 15},     {R"({"text": "a"}{})", 14},    {R"({'text': 'a'})", 2},
        {R"({"text": "a",})", 14},      {R"({"text": "\ud800"})", 17}, {R"({"text": "\q"})", 12},
        {R"({"text": nul})", 13},       {R"({"text": 1e999})", 14},    {"{", 2},
        {R"({"input_ids": [1,]})", 18}, {R"({"input_ids": [1)", 17},   {R"({"messages": [{]})", 16},
        {R"({"text": NaN})", 10},
    };
    for (const Case& c : cases) {
        const std::string message = message_of("bad.jsonl", "\n" + c.line);
        EXPECT_TRUE(
            message.starts_with(fmt::format("bad.jsonl line 2, byte {}: not valid JSON: ", c.byte)))
            << message;
    }
}

TEST_F(JsonlReader, MessagesStayShortForHugeInput) {
    const std::string huge(100'000, 'k'), number(100'000, '7');
    for (const std::string& line :
         {"{\"" + huge + "\": 1}", "{\"text\": \"" + huge, "{\"text\": \"a\"} " + huge,
          "{\"input_ids\": [" + number, "{\"weight\": " + number + "}",
          R"({"messages": [{"role": ")" + huge + "\"}]}"}) {
        const std::string message = message_of("bad.jsonl", line);
        EXPECT_LT(message.size(), 250U) << message.substr(0, 1000);
    }
}

TEST_F(JsonlReader, DeepNestingIsRefusedWhereItBegins) {
    const std::string deep(10'000'000, '[');
    EXPECT_EQ(message_of("deep.jsonl", deep),
              "deep.jsonl line 1: the line is an array, not an object");
    EXPECT_EQ(message_of("deep.jsonl", "{\"text\": " + deep),
              "deep.jsonl line 1: the value of \"text\" is an array, not a string");
    EXPECT_EQ(message_of("deep.jsonl", "{\"messages\": " + deep),
              "deep.jsonl line 1: \"messages\"[0] is an array, not an object");
    std::string objects;
    for (int i = 0; i < 1'000'000; ++i) objects += "{\"text\":";
    EXPECT_EQ(message_of("deep.jsonl", objects),
              "deep.jsonl line 1: the value of \"text\" is an object, not a string");
}

TEST_F(JsonlReader, LineOverTheLimitIsRefusedBeforeItIsParsed) {
    const auto file = write("huge.jsonl", "{\"text\": \"fine\"}\n");
    // Sparse: 4 GiB on paper. Reading it all, or into memory, would show.
    std::filesystem::resize_file(file, std::uintmax_t{4} << 30);
    EXPECT_EQ(message_of(file), "huge.jsonl line 2: longer than 64 MiB");
    // The limit itself may be used; padded with spaces, which cost no tokens.
    std::string line = R"({"text": "x"})";
    line.resize(std::size_t{64} << 20, ' ');
    EXPECT_EQ(texts_of(read("full.jsonl", line + "\n")), Texts{"x"});
    line += ' ';
    EXPECT_EQ(message_of("more.jsonl", line), "more.jsonl line 1: longer than 64 MiB");
}

TEST_F(JsonlReader, NoDocumentsIsAnError) {
    EXPECT_EQ(message_of("empty.jsonl", ""), "empty.jsonl: the file is empty");
    EXPECT_EQ(message_of("bom.jsonl", "\xEF\xBB\xBF"), "bom.jsonl: the file is empty");
    EXPECT_EQ(message_of("blank.jsonl", "\n  \n"),
              "blank.jsonl: no documents in its 2 blank line(s)");
}

TEST_F(JsonlReader, WhatTheTokenizerRefusesNamesTheLine) {
    const PieceTokenizer tokenizer;
    const Error error =
        error_of(write("a.jsonl", "{\"text\": \"a\"}\n\n{\"text\": \"\\n\\n#\"}"), tokenizer);
    EXPECT_STREQ(error.what(), "a.jsonl line 3: no token for '#'");
    EXPECT_EQ(error.hint(), "leave it out");
}

}  // namespace
}  // namespace evengrad::test
