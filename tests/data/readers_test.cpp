#include <sys/stat.h>

#include "data_files.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad::test {
namespace {

using Files = DataFiles;

TEST_F(Files, TextFileIsOneDocumentWithLossOnAllButItsFirstToken) {
    const FileContent data = read("book.txt", "Call me\nIshmael \xE2\x80\x94");
    expect_well_formed(data);
    ASSERT_EQ(data.documents(), 1);
    EXPECT_EQ(text_of(data, 0), "Call me\nIshmael \xE2\x80\x94");
    EXPECT_EQ(loss_of(data), "0" + std::string(data.tokens.size() - 1, '1'));
    EXPECT_EQ(data.lines, (std::vector<std::int64_t>{1}));
    EXPECT_EQ(data.source, path("book.txt").string());
}

TEST_F(Files, TextLongerThanTheReadBufferComesWhole) {
    std::string text;
    for (int i = 0; text.size() < (std::size_t{5} << 19); ++i) text += fmt::format("line {}\n", i);
    EXPECT_EQ(text_of(read("long.txt", text), 0), text);
}

TEST_F(Files, ExtensionCountsInAnyCase) {
    EXPECT_EQ(text_of(read("BOOK.TXT", "a"), 0), "a");
    EXPECT_EQ(text_of(read("pairs.JsonL", R"({"text":"a"})"), 0), "a");
}

TEST_F(Files, ByteOrderMarkIsDroppedOnceAtTheStart) {
    EXPECT_EQ(text_of(read("bom.txt", "\xEF\xBB\xBFhi\xEF\xBB\xBF"), 0), "hi\xEF\xBB\xBF");
    EXPECT_EQ(text_of(read("bom.jsonl", "\xEF\xBB\xBF{\"text\":\"hi\"}\n"), 0), "hi");
}

TEST_F(Files, EmptyTextIsAnError) {
    EXPECT_EQ(error_of("empty.txt", ""), "empty.txt: the file is empty");
    EXPECT_EQ(error_of("bom.txt", "\xEF\xBB\xBF"), "bom.txt: the file is empty");
}

TEST_F(Files, BrokenUtf8InTextNamesLineAndOffset) {
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
    };
    for (const Case& c : cases) EXPECT_EQ(error_of("bad.txt", c.bytes), "bad.txt " + c.expected);
}

TEST_F(Files, JsonlGivesLossToTextCompletionAndEndButNotToPrompt) {
    const FileContent data = read("mixed.jsonl",
                                  "{\"text\": \"abc\"}\n"
                                  "\n"
                                  " \t\r\n"
                                  "{\"completion\": \"de\", \"prompt\": \"p\\n\\u00e9\"}\r\n"
                                  "{\"text\": \"\"}\n"
                                  "{\"prompt\": \"\", \"completion\": \"\"}");
    expect_well_formed(data);
    ASSERT_EQ(data.documents(), 4);
    EXPECT_EQ(text_of(data, 0), "abc");
    EXPECT_EQ(text_of(data, 1),
              "p\n\xC3\xA9"
              "de");
    EXPECT_EQ(text_of(data, 2), "");
    EXPECT_EQ(text_of(data, 3), "");
    EXPECT_EQ(data.offsets, (std::vector<std::int64_t>{0, 5, 13, 15, 17}));
    EXPECT_EQ(loss_of(data),
              "01111"
              "00000111"
              "01"
              "01");
    EXPECT_EQ(data.lines, (std::vector<std::int64_t>{1, 4, 5, 6}));
}

TEST_F(Files, JsonlLinesCrossReadBuffers) {
    // Line lengths around the 1 MiB buffer: a newline as last byte of one read, first of the next.
    std::string bytes;
    std::vector<std::string> texts;
    for (std::size_t length = (1U << 20) - 13; length < (1U << 20) - 9; ++length) {
        texts.emplace_back(length, static_cast<char>('a' + texts.size()));
        bytes += "{\"text\":\"" + texts.back() + "\"}\n";
    }
    const FileContent data = read("long.jsonl", bytes);
    ASSERT_EQ(data.documents(), static_cast<std::int64_t>(texts.size()));
    for (std::size_t d = 0; d < texts.size(); ++d) {
        EXPECT_TRUE(text_of(data, static_cast<std::int64_t>(d)) == texts[d]) << d;
        EXPECT_EQ(data.lines[d], static_cast<std::int64_t>(d + 1));
    }
}

TEST_F(Files, JsonlProblemsNameTheLine) {
    struct Case {
        std::string line;
        std::string expected;
    };
    const Case cases[] = {
        {R"({"body": "a"})", ": unknown key \"body\""},
        {R"({"text": "a", "meta": {}})", ": unknown key \"meta\""},
        {R"({"te\nxt": "a"})", ": unknown key \"te\\nxt\""},
        {R"({"text": "a", "prompt": "b"})",
         ": \"text\" does not go with \"prompt\" or \"completion\""},
        {R"({"prompt": "a"})", ": \"prompt\" without \"completion\""},
        {R"({"completion": "a"})", ": \"completion\" without \"prompt\""},
        {R"({"text": "a", "text": "b"})", ": key \"text\" comes twice"},
        {R"({})", ": the object has no keys"},
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
    };
    for (const Case& c : cases)
        EXPECT_EQ(error_of("bad.jsonl", "{\"text\": \"fine\"}\n\n" + c.line + "\n"),
                  "bad.jsonl line 3" + c.expected);
}

TEST_F(Files, BrokenJsonNamesLineAndByte) {
    struct Case {
        std::string line;
        int byte;
    };
    const Case cases[] = {
        {R"({"text": "a")", 13},    {R"({"text": "a)", 12},        {R"({"text" "a"})", 11},
        {R"({"text": "a"} x)", 15}, {R"({"text": "a"}{})", 14},    {R"({'text': 'a'})", 2},
        {R"({"text": "a",})", 14},  {R"({"text": "\ud800"})", 17}, {R"({"text": "\q"})", 12},
        {R"({"text": nul})", 13},   {R"({"text": 1e999})", 14},    {"{", 2},
    };
    for (const Case& c : cases) {
        const std::string message = error_of("bad.jsonl", "\n" + c.line);
        EXPECT_TRUE(
            message.starts_with(fmt::format("bad.jsonl line 2, byte {}: not valid JSON: ", c.byte)))
            << message;
    }
}

TEST_F(Files, MessagesStayShortForHugeInput) {
    const std::string huge(100'000, 'k');
    for (const std::string& line :
         {"{\"" + huge + "\": 1}", "{\"text\": \"" + huge, "{\"text\": \"a\"} " + huge}) {
        const std::string message = error_of("bad.jsonl", line);
        EXPECT_LT(message.size(), 250U) << message.substr(0, 1000);
    }
}

TEST_F(Files, DeepNestingIsRefusedWhereItBegins) {
    const std::string deep(10'000'000, '[');
    EXPECT_EQ(error_of("deep.jsonl", deep),
              "deep.jsonl line 1: the line is an array, not an object");
    EXPECT_EQ(error_of("deep.jsonl", "{\"text\": " + deep),
              "deep.jsonl line 1: the value of \"text\" is an array, not a string");
    std::string objects;
    for (int i = 0; i < 1'000'000; ++i) objects += "{\"text\":";
    EXPECT_EQ(error_of("deep.jsonl", objects),
              "deep.jsonl line 1: the value of \"text\" is an object, not a string");
}

TEST_F(Files, LineOverTheLimitIsRefusedBeforeItIsParsed) {
    // Sparse: 4 GiB on paper. Reading it all, or into memory, would show.
    const auto file = write("huge.jsonl", "{\"text\": \"fine\"}\n");
    std::filesystem::resize_file(file, std::uintmax_t{4} << 30);
    EXPECT_EQ(error_of(file), "huge.jsonl line 2: longer than 64 MiB");
}

TEST_F(Files, JsonlWithoutDocumentsIsAnError) {
    EXPECT_EQ(error_of("empty.jsonl", ""), "empty.jsonl: the file is empty");
    EXPECT_EQ(error_of("blank.jsonl", "\n  \n"),
              "blank.jsonl: no documents in its 2 blank line(s)");
}

TEST_F(Files, OtherExtensionsAreRefusedAndTheKnownOnesNamed) {
    for (const char* name : {"data.csv", "data", "data.txt.gz", "data.json"}) {
        const auto file = write(name, "a");
        try {
            open_dataset((file).string(), make_tokenizer({}));
            ADD_FAILURE() << name;
        } catch (const Error& error) {
            EXPECT_NE(std::string(error.what()).find("unknown kind of data file"),
                      std::string::npos);
            EXPECT_NE(error.hint().find(".txt"), std::string::npos);
            EXPECT_NE(error.hint().find(".jsonl"), std::string::npos);
        }
    }
}

TEST_F(Files, MissingFolderAndPipeAreErrors) {
    for (const std::string extension : {".txt", ".jsonl"}) {
        EXPECT_EQ(error_of(path("none" + extension)),
                  "none" + extension + ": there is no such file");
        std::filesystem::create_directory(path("folder" + extension));
        EXPECT_EQ(error_of(path("folder" + extension)),
                  "folder" + extension + ": is a folder, not a file");
        ASSERT_EQ(mkfifo(path("pipe" + extension).c_str(), 0600), 0);
        EXPECT_EQ(error_of(path("pipe" + extension)),
                  "pipe" + extension + ": is not a regular file");
    }
}

TEST_F(Files, FailureToReadIsAnErrorNotAnEndOfFile) {
    // A regular file that opens, and whose first read fails: address 0 of this process.
    for (const std::string name : {"broken.txt", "broken.jsonl"}) {
        std::filesystem::create_symlink("/proc/self/mem", path(name));
        EXPECT_EQ(error_of(path(name)), name + ": reading failed: Input/output error");
    }
}

TEST_F(Files, FileWithoutPermissionIsAnError) {
    const auto file = write("secret.txt", "a");
    std::filesystem::permissions(file, std::filesystem::perms::none);
    // Permissions don't bind root: read as another user for a moment.
    const bool root = geteuid() == 0;
    if (root) {
        ASSERT_EQ(seteuid(65534), 0);
    }
    const std::string message = error_of(file);
    if (root) {
        ASSERT_EQ(seteuid(0), 0);
    }
    EXPECT_EQ(message, "secret.txt: cannot be opened: Permission denied");
}

TEST_F(Files, DescribeNamesFileLineAndBeginning) {
    const FileContent data =
        read("d.jsonl",
             "{\"text\": \"Call me Ishmael.\"}\n"
             "{\"text\": \"\"}\n"
             "{\"prompt\": \"0123456789012345678901234567890123456789\", "
             "\"completion\": \"\"}\n"
             "{\"prompt\": \"0123456789012345678901234567890123456789\", "
             "\"completion\": \"x\"}\n"
             "{\"text\": \"012345678901234567890123456789012345678\\u00e9x\"}\n"
             "{\"text\": \"a\\n\\t'\\\\\\u001b\\u007f\\u009b\\u00e9\"}\n");
    const std::string file = path("d.jsonl").string();
    const std::string digits = "0123456789012345678901234567890123456789";
    EXPECT_EQ(data.describe(0), file + " line 1: begins 'Call me Ishmael.'");
    EXPECT_EQ(data.describe(1), file + " line 2: empty");
    EXPECT_EQ(data.describe(2), file + " line 3: begins '" + digits + "'");
    EXPECT_EQ(data.describe(3), file + " line 4: begins '" + digits + "...'");
    // The two-byte character would be cut in half: it goes.
    EXPECT_EQ(data.describe(4), file + " line 5: begins '" + digits.substr(0, 39) + "...'");
    EXPECT_EQ(data.describe(5), file + " line 6: begins 'a\\n\\t\\'\\\\\\x1b\\x7f\\u009b\xC3\xA9'");
    EXPECT_THROW(data.describe(6), std::logic_error);
    EXPECT_THROW(data.describe(-1), std::logic_error);
}

}  // namespace
}  // namespace evengrad::test
