// A folder for a test's data files.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <unistd.h>

#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad::test {

class DataFiles : public ::testing::Test {
  protected:
    DataFiles() {
        const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
        folder_ = std::filesystem::temp_directory_path() /
                  fmt::format("evengrad-{}-{}-{}", getpid(), test->test_suite_name(), test->name());
        std::filesystem::create_directories(folder_);
    }
    ~DataFiles() override {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    std::filesystem::path path(std::string_view name) const { return folder_ / name; }

    std::filesystem::path write(std::string_view name, std::string_view bytes) const {
        std::ofstream stream(path(name), std::ios::binary);
        stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        stream.close();
        EXPECT_TRUE(stream) << path(name);
        return path(name);
    }

    Dataset open(std::string_view name, std::string_view bytes) const {
        return open_dataset({write(name, bytes).string()});
    }

  private:
    std::filesystem::path folder_;
};

}  // namespace evengrad::test
