// A recipe's syntax: what a line says, and that every value can be written so that it reads back.
#include "commands/recipe.hpp"

#include <random>

#include <gtest/gtest.h>

#include "base/text.hpp"

namespace evengrad {
namespace {

/// "NAME|VALUE", or what else the line is.
std::string read(const std::string& line) {
    const auto result = read_recipe_line(line);
    if (!result) return "not a line";
    return result->name.empty() ? "nothing" : result->name + '|' + result->value;
}

TEST(RecipeLine, NameAndValueWithoutTheSpacesAroundThem) {
    EXPECT_EQ(read("lr=0.5"), "lr|0.5");
    EXPECT_EQ(read("  lr \t=  0.5 \r"), "lr|0.5");
    EXPECT_EQ(read("data=my file.txt"), "data|my file.txt");
    EXPECT_EQ(read("save=a=b="), "save|a=b=");
    EXPECT_EQ(read("save="), "save|");
}

TEST(RecipeLine, CommentsBeginALineOrFollowASpace) {
    EXPECT_EQ(read(""), "nothing");
    EXPECT_EQ(read(" \t\r"), "nothing");
    EXPECT_EQ(read("# lr=0.5"), "nothing");
    EXPECT_EQ(read("  #"), "nothing");
    EXPECT_EQ(read("lr=0.5 # mine"), "lr|0.5");
    EXPECT_EQ(read("save= # nowhere"), "save|");
    EXPECT_EQ(read("data=a#b.txt"), "data|a#b.txt");
}

TEST(RecipeLine, QuotesKeepEverything) {
    EXPECT_EQ(read(R"(data=" a #b ")"), "data| a #b ");
    EXPECT_EQ(read(R"(data = "say \"so\" \\ now\n\r" # comment)"), "data|say \"so\" \\ now\n\r");
    EXPECT_EQ(read(R"(data="\x1b[2J\xFF")"), "data|\x1b[2J\xFF");
    EXPECT_EQ(read(R"(data="")"), "data|");
    EXPECT_EQ(read(R"(data=a "b")"), "data|a \"b\"");
}

TEST(RecipeLine, WhatIsNotALine) {
    for (const char* line : {"lr", "[model]", "[a]=b", "=3", "a b=3", "lr # = 3", R"(data="open)",
                             R"(data="a" b)", R"(data="\x")", R"(data="\)", R"(data="\x1")",
                             R"(data="\xg0")", R"(data="\x00")", R"(data="\x-1")"})
        EXPECT_EQ(read(line), "not a line") << line;
}

TEST(RecipeLine, AnyValueReadsBack) {
    std::mt19937 random(7);
    const std::string letters = "a #\"\\=\t\r\n'[]\x01\x7f\xc3\xa9\xc2\x9b";
    for (int round = 0; round < 20000; ++round) {
        std::string value;
        for (auto count = random() % 6; count > 0; --count)
            value += letters[random() % letters.size()];
        const std::string line = write_recipe_line("name", value);
        EXPECT_EQ(printable(line), line) << "a terminal would obey it";
        EXPECT_EQ(line.find('\n'), std::string::npos);
        EXPECT_EQ(read(line), "name|" + value) << line;
        EXPECT_EQ(read(line + "   # comment"), "name|" + value) << line;
    }
}

}  // namespace
}  // namespace evengrad
