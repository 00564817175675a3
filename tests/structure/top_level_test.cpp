// The agreed entries of the top level: nothing else, nothing missing.
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace evengrad::test {
namespace {

using Names = std::set<std::string>;

const Names agreed = {"src",       "include", "launch",           "data", "tests", "CMakeLists.txt",
                      "README.md", "LICENSE", "CMakePresets.json"};

/// What a build or a run leaves and .gitignore names, and dotfiles.
bool ignored(const std::string& name) {
    return name.starts_with(".") || name.starts_with("build") || name == "runs" ||
           name == "compile_commands.json";
}

Names unexpected(const Names& entries) {
    Names found;
    for (const std::string& name : entries)
        if (!ignored(name) && !agreed.contains(name)) found.insert(name);
    return found;
}

TEST(TopLevel, HasTheAgreedEntriesOnly) {
    Names entries;
    for (const auto& entry : std::filesystem::directory_iterator(EVENGRAD_SOURCE_DIR))
        entries.insert(entry.path().filename().string());
    EXPECT_EQ(unexpected(entries), Names{});
    for (const std::string& name : agreed) EXPECT_TRUE(entries.contains(name)) << name;
}

TEST(TopLevel, TheCheckFindsWhatIsNotAgreed) {
    EXPECT_EQ(unexpected({"src", ".git", "build", "build-debug", "runs", "README.md"}), Names{});
    EXPECT_EQ(unexpected({"docs", "runs2", "src2", "Makefile", "tests"}),
              (Names{"docs", "runs2", "src2", "Makefile"}));
}

}  // namespace
}  // namespace evengrad::test
