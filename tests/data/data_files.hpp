// A folder for a test's data files, and a shorthand for the errors they must give.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <unistd.h>

#include "data/memory_store.hpp"
#include "data/readers.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad::test {

/// What a file was read into.
struct FileContent : Documents {
    std::int64_t documents() const { return static_cast<std::int64_t>(lines.size()); }
    std::string describe(std::int64_t document) const {
        return DataPart(std::make_shared<const MemoryStore>(*this, make_tokenizer({})))
            .describe(document);
    }
};

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

    FileContent read(std::string_view name, std::string_view bytes) const {
        const auto file = write(name, bytes);
        const auto tokenizer = make_tokenizer({});
        const auto letter = file.extension().string().back();
        return {letter == 'l' || letter == 'L' ? read_jsonl(file, *tokenizer)
                                               : read_text(file, *tokenizer)};
    }
    Dataset open(std::string_view name, std::string_view bytes) const {
        return open_dataset(write(name, bytes).string(), make_tokenizer({}));
    }

    /// The message of the Error that reading `file` gives, without the folder's name.
    std::string error_of(const std::filesystem::path& file) const {
        try {
            open_dataset(file.string(), make_tokenizer({}));
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
inline std::string text_of(const FileContent& data, std::int64_t document) {
    const auto index = static_cast<std::size_t>(document);
    const auto first = static_cast<std::size_t>(data.offsets.at(index));
    const auto last = static_cast<std::size_t>(data.offsets.at(index + 1));
    return make_tokenizer({})->decode(std::span(data.tokens).subspan(first, last - first));
}

/// Loss flags as a string of 0 and 1.
inline std::string loss_of(const FileContent& data) {
    std::string flags;
    for (const float weight : data.weights) flags += weight > 0.0f ? '1' : '0';
    return flags;
}

/// What must hold for every dataset, whatever it was read from.
inline void expect_well_formed(const FileContent& data) {
    ASSERT_EQ(data.offsets.size(), data.lines.size() + 1);
    ASSERT_EQ(data.weights.size(), data.tokens.size());
    ASSERT_EQ(data.offsets.front(), 0);
    ASSERT_EQ(data.offsets.back(), static_cast<std::int64_t>(data.tokens.size()));
    for (std::size_t d = 0; d < data.lines.size(); ++d) {
        ASSERT_GE(data.offsets[d + 1] - data.offsets[d], 2) << "document " << d;
        const auto first = static_cast<std::size_t>(data.offsets[d]);
        const auto last = static_cast<std::size_t>(data.offsets[d + 1]) - 1;
        EXPECT_EQ(data.tokens[first], TokenizerSpec().end_of_text) << "document " << d;
        EXPECT_EQ(data.tokens[last], TokenizerSpec().end_of_text) << "document " << d;
        EXPECT_EQ(data.weights[first], 0.0f) << "document " << d;
        for (std::size_t i = first + 1; i < last; ++i) ASSERT_LT(data.tokens[i], 256);
    }
}

}  // namespace evengrad::test
