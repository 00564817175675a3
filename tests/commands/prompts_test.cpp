// Files of prompts, lines of results.
#include "commands/prompts.hpp"

#include <fstream>

#include <gtest/gtest.h>

#include <evengrad/error.hpp>

namespace evengrad {
namespace {

namespace fs = std::filesystem;

class Prompts : public testing::Test {
  protected:
    void SetUp() override { fs::create_directories(folder_); }
    void TearDown() override { fs::remove_all(folder_); }

    fs::path write(const std::string& name, const std::string& text) {
        const fs::path path = folder_ / name;
        std::ofstream(path, std::ios::binary) << text;
        return path;
    }
    /// What is said of a file that is refused.
    std::string refusal(const std::string& name, const std::string& text) {
        try {
            read_prompts(write(name, text));
        } catch (const Error& error) {
            return error.what();
        }
        return "not refused";
    }

  private:
    fs::path folder_ =
        fs::path(testing::TempDir()) / fmt::format("prompts-{}", static_cast<const void*>(this));
};

std::vector<std::string> texts(const std::vector<Prompt>& prompts) {
    std::vector<std::string> all;
    for (const Prompt& prompt : prompts) all.push_back(prompt.text);
    return all;
}

using Texts = std::vector<std::string>;

TEST_F(Prompts, OfTextAreItsLines) {
    const auto prompts =
        read_prompts(write("a.txt", "\xEF\xBB\xBFone\r\n\n  two \nthree\none\n \t\none"));
    EXPECT_EQ(texts(prompts), (Texts{"one", "  two ", "three", "one", "one"}));
    std::vector<std::uint32_t> repetitions;
    for (const Prompt& prompt : prompts) repetitions.push_back(prompt.repetition);
    EXPECT_EQ(repetitions, (std::vector<std::uint32_t>{0, 0, 0, 1, 2}));
    EXPECT_TRUE(prompts[1].where.ends_with("a.txt line 3"));
}

TEST_F(Prompts, OfJsonLinesAreTheirPrompts) {
    const auto prompts = read_prompts(write(
        "a.jsonl",
        "{\"prompt\": \"a\\nb\"}\n\n{\"completion\": [[1, {\"prompt\": \"no\"}], 2], \"prompt\": "
        "\"\xC3\xA9\", \"more\": {\"x\": [{}]}}\n{\"prompt\": \"\"}"));
    EXPECT_EQ(texts(prompts), (Texts{"a\nb", "\xC3\xA9", ""}));
}

TEST_F(Prompts, RefusalsNameTheLine) {
    const auto says = [](const std::string& message, const std::string& text) {
        EXPECT_NE(message.find(text), std::string::npos) << message;
    };
    says(refusal("a.csv", "a"), "a.csv: unknown kind of file");
    says(refusal("a.txt", ""), "a.txt: there are no prompts in it");
    says(refusal("a.jsonl", "\n\n"), "a.jsonl: there are no prompts in it");
    says(refusal("a.txt", "one\ntw\xFFo\n"), "a.txt line 2: not valid UTF-8, byte 3");
    const std::string good = "{\"prompt\": \"a\"}\n";
    says(refusal("a.jsonl", good + "{\"prompt\": \"a\"\n"), "a.jsonl line 2: not valid JSON, byte");
    says(refusal("a.jsonl", good + "{\"prompt\": \"\xC3\"}"), "a.jsonl line 2: not valid UTF-8");
    says(refusal("a.jsonl", good + "{\"prompt\": \"\\ud800\"}"), "a.jsonl line 2: not valid JSON");
    says(refusal("a.jsonl", good + "{\"x\": 1e999}"), "a.jsonl line 2: not valid JSON");
    says(refusal("a.jsonl", good + good + "[\"a\"]"), "a.jsonl line 3: not an object");
    says(refusal("a.jsonl", "\"a\""), "a.jsonl line 1: not an object");
    says(refusal("a.jsonl", "{\"text\": \"a\"}"),
         "a.jsonl line 1: has no \"prompt\" that is a text");
    for (const char* value : {"1", "null", "[\"a\"]", "{\"prompt\": \"a\"}", "true"})
        says(refusal("a.jsonl", fmt::format("{{\"prompt\": {}}}", value)),
             "a.jsonl line 1: has no \"prompt\" that is a text");
    says(refusal("a.jsonl", std::string(1'000'000, '[')), "a.jsonl line 1: nested too deeply");
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
    says(refusal("a.jsonl", deep), "a.jsonl line 1: nested too deeply");
    says(refusal("a.txt", std::string((std::size_t{64} << 20) + 1, 'a')),
         "a.txt line 1: longer than");
}

TEST(ResultLine, IsJsonWhateverTheBytes) {
    EXPECT_EQ(result_line({"a\"b\n", 0, ""}, {"x\xFF\x01", 3, StoppedBy::stop}),
              "{\"prompt\":\"a\\\"b\\n\",\"text\":\"x\xEF\xBF\xBD\\u0001\",\"tokens\":3,"
              "\"stopped_by\":\"stop\"}\n");
}

}  // namespace
}  // namespace evengrad
