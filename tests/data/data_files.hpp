// A folder for a test's data files, and a shorthand for the errors they must give.
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

    Dataset read(std::string_view name, std::string_view bytes) const {
        return read_dataset(write(name, bytes), ByteTokenizer{});
    }

    /// The message of the Error that reading `file` gives, without the folder's name.
    std::string error_of(const std::filesystem::path& file) const {
        try {
            read_dataset(file, ByteTokenizer{});
        } catch (const Error& error) {
            std::string message = error.what();
            const std::string prefix = folder_.string() + "/";
            if (message.starts_with(prefix)) message.erase(0, prefix.size());
            return message;
        }
        ADD_FAILURE() << file << " was read without an error";
        return {};
    }
    std::string error_of(std::string_view name, std::string_view bytes) const {
        return error_of(write(name, bytes));
    }

  private:
    std::filesystem::path folder_;
};

/// The text of one document, without its end_of_text tokens.
inline std::string text_of(const Dataset& data, std::int64_t document) {
    const auto index = static_cast<std::size_t>(document);
    const auto first = static_cast<std::size_t>(data.offsets.at(index));
    const auto last = static_cast<std::size_t>(data.offsets.at(index + 1));
    return ByteTokenizer{}.decode(std::span(data.tokens).subspan(first, last - first));
}

/// Loss flags as a string of 0 and 1.
inline std::string loss_of(const Dataset& data) {
    std::string flags;
    for (const std::uint8_t flag : data.loss) flags += static_cast<char>('0' + flag);
    return flags;
}

/// What must hold for every dataset, whatever it was read from.
inline void expect_well_formed(const Dataset& data) {
    ASSERT_EQ(data.offsets.size(), data.lines.size() + 1);
    ASSERT_EQ(data.loss.size(), data.tokens.size());
    ASSERT_EQ(data.offsets.front(), 0);
    ASSERT_EQ(data.offsets.back(), static_cast<std::int64_t>(data.tokens.size()));
    for (std::size_t d = 0; d < data.lines.size(); ++d) {
        ASSERT_GE(data.offsets[d + 1] - data.offsets[d], 2) << "document " << d;
        const auto first = static_cast<std::size_t>(data.offsets[d]);
        const auto last = static_cast<std::size_t>(data.offsets[d + 1]) - 1;
        EXPECT_EQ(data.tokens[first], ByteTokenizer::end_of_text) << "document " << d;
        EXPECT_EQ(data.tokens[last], ByteTokenizer::end_of_text) << "document " << d;
        EXPECT_EQ(data.loss[first], 0) << "document " << d;
        for (std::size_t i = first + 1; i < last; ++i) ASSERT_LT(data.tokens[i], 256);
    }
}

}  // namespace evengrad::test
