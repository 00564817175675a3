// Options that take several values.
#include <gtest/gtest.h>

#include "commands/options.hpp"
#include "commands/recipe.hpp"
#include "hdf5/scratch_folder.hpp"

namespace evengrad {
namespace {

using test::ScratchFolder;

struct Lists {
    std::vector<std::string> inputs;
    std::int64_t number = 3;
    OptionTable table{"lists"};
    std::vector<std::string> problems;

    Lists() {
        table.add_list("input", inputs, "files");
        table.add("number", number, "a number");
    }
    void parse(const std::vector<std::string>& arguments, const std::string& recipe = {}) {
        table.parse(arguments, problems);
        if (!recipe.empty())
            table.parse_recipe(read_recipe_file(recipe, problems), recipe, problems);
        table.finish(problems);
    }
};

TEST(Lists, TakeEveryValueUpToTheNextOptionAndEveryRepetition) {
    Lists lists;
    lists.parse({"--input", "a", "b,c", "--number", "4", "--input", "-", "--input=--d", "e f"});
    EXPECT_TRUE(lists.problems.empty());
    EXPECT_EQ(lists.inputs, (std::vector<std::string>{"a", "b,c", "-", "--d", "e f"}));
    EXPECT_EQ(lists.number, 4);
    Lists again;
    again.table.parse_resolved(lists.table.resolved(), again.problems);
    again.table.finish(again.problems);
    EXPECT_EQ(again.inputs, lists.inputs);
}

TEST(Lists, AreEmptyUnlessGivenAndNeedAValueWhenGiven) {
    Lists lists, without;
    lists.parse({});
    EXPECT_TRUE(lists.problems.empty());
    EXPECT_TRUE(lists.inputs.empty());
    EXPECT_EQ(lists.table.resolved(), "number=3\n");
    without.parse({"--input", "--number", "1"});
    EXPECT_EQ(without.problems, (std::vector<std::string>{"--input needs a value"}));
}

TEST(Lists, OfTheCommandLineReplaceTheRecipes) {
    const ScratchFolder folder;
    test::write_bytes(folder / "r.ini", "input=a\nnumber=1\ninput=b # and\nnumber=2\n");
    Lists recipe, both;
    recipe.parse({}, folder / "r.ini");
    EXPECT_EQ(recipe.inputs, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(recipe.number, 2);
    both.parse({"--input", "c"}, folder / "r.ini");
    EXPECT_EQ(both.inputs, (std::vector<std::string>{"c"}));
}

TEST(Recipes, AByteOrderMarkIsDropped) {
    const ScratchFolder folder;
    test::write_bytes(folder / "r.ini", "\xEF\xBB\xBFnumber=1\r\ninput=a\r\n");
    Lists recipe;
    recipe.parse({}, folder / "r.ini");
    EXPECT_EQ(recipe.problems, std::vector<std::string>{});
    EXPECT_EQ(recipe.number, 1);
    test::write_bytes(folder / "r.ini", "number=1\n\xEF\xBB\xBFnumber=2\n");
    Lists inside;
    inside.parse({}, folder / "r.ini");
    EXPECT_EQ(inside.problems.size(), 1U) << "at the beginning only";
}

}  // namespace
}  // namespace evengrad
