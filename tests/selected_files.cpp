#include "selected_files.hpp"

#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace evengrad::test {

bool select_files(int argc, char** argv) {
    if (argc < 2) return true;
    const testing::UnitTest& all = *testing::UnitTest::GetInstance();
    std::string selected;
    for (int i = 1; i < argc; ++i) {
        const std::size_t before = selected.size();
        for (int s = 0; s < all.total_test_suite_count(); ++s) {
            const testing::TestSuite& suite = *all.GetTestSuite(s);
            for (int t = 0; t < suite.total_test_count(); ++t) {
                const testing::TestInfo& test = *suite.GetTestInfo(t);
                if (std::filesystem::path(test.file()).filename() == argv[i])
                    selected += fmt::format("{}.{}:", suite.name(), test.name());
            }
        }
        if (selected.size() == before) {
            fmt::print(stderr, "{}: there is no test of the file {}\n", argv[0], argv[i]);
            return false;
        }
    }
    const std::string filter = GTEST_FLAG_GET(filter);
    const std::size_t excluded = filter.find('-');
    GTEST_FLAG_SET(filter, selected + (excluded == filter.npos ? "" : filter.substr(excluded)));
    return true;
}

}  // namespace evengrad::test
