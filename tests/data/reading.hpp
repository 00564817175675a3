// What readers put into their sink, and the errors they give.
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include "data/document_sink.hpp"
#include "data/readers.hpp"
#include <evengrad/error.hpp>
#include <evengrad/tokenizer.hpp>

namespace evengrad::test {

struct ReadDocument {
    std::vector<std::int32_t> tokens;
    std::vector<float> weights;
    std::int64_t line = 0;
};

/// Keeps documents, and checks what every reader owes its sink.
class RecordingSink : public DocumentSink {
  public:
    explicit RecordingSink(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

    std::string name;
    std::vector<ReadDocument> documents;
    std::int64_t largest_add = 0;  ///< tokens given at once

    void begin_file(const std::string& file) override {
        EXPECT_TRUE(name.empty() && documents.empty());
        name = file;
    }
    void begin_document(std::int64_t line) override {
        EXPECT_FALSE(name.empty() || open_);
        open_ = true;
        documents.push_back({{}, {}, line});
    }
    void add(std::span<const std::int32_t> tokens, float weight) override {
        EXPECT_TRUE(open_);
        EXPECT_FALSE(tokens.empty());
        EXPECT_EQ(round_weight(weight), weight);
        EXPECT_FALSE(std::signbit(weight));
        for (const std::int32_t token : tokens) {
            if (token < 0 || token >= tokenizer_->vocabulary_size()) ADD_FAILURE() << token;
            documents.back().tokens.push_back(token);
            documents.back().weights.push_back(weight);
        }
        largest_add = std::max(largest_add, static_cast<std::int64_t>(tokens.size()));
    }
    void end_document() override {
        EXPECT_TRUE(open_);
        open_ = false;
        const ReadDocument& document = documents.back();
        ASSERT_GE(document.tokens.size(), 2U);
        EXPECT_EQ(document.tokens.front(), tokenizer_->end_of_text());
        EXPECT_EQ(document.tokens.back(), tokenizer_->end_of_text());
        EXPECT_EQ(document.weights.front(), 0.0f);
    }
    bool open() const { return open_; }

  private:
    const Tokenizer* tokenizer_;
    bool open_ = false;
};

/// Token b is the byte b, under another name, in a vocabulary and with an end_of_text of one's own;
/// remembers the pieces that it was given to encode, and refuses text with a '#'.
class PieceTokenizer final : public Tokenizer {
  public:
    explicit PieceTokenizer(std::int32_t vocabulary_size = 257, std::int32_t end_of_text = 256)
        : Tokenizer({"pieces", vocabulary_size, end_of_text, ""}) {}

    mutable std::vector<std::string> pieces;

    void encode(std::string_view text, std::vector<std::int32_t>& tokens) const override {
        if (text.find('#') != text.npos) throw Error("no token for '#'", "leave it out");
        pieces.emplace_back(text);
        for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte));
    }
    std::string_view text_of(std::int32_t) const override { return "?"; }
};

/// A folder for a test's files.
class ReaderTest : public ::testing::Test {
  protected:
    ReaderTest() {
        const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
        folder_ = std::filesystem::temp_directory_path() /
                  fmt::format("evengrad-{}-{}-{}", getpid(), test->test_suite_name(), test->name());
        std::filesystem::create_directories(folder_);
    }
    ~ReaderTest() override {
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

    RecordingSink read(const std::filesystem::path& file, const Tokenizer& tokenizer,
                       const ReadOptions& options = {}) const {
        RecordingSink sink(tokenizer);
        read_documents(file, options, tokenizer, sink);
        EXPECT_FALSE(sink.open());
        EXPECT_FALSE(sink.documents.empty());
        EXPECT_EQ(sink.name, file.string());
        return sink;
    }
    std::vector<ReadDocument> read(std::string_view name, std::string_view bytes,
                                   const ReadOptions& options = {}) const {
        return read(write(name, bytes), *bytes_, options).documents;
    }

    /// The Error that reading `file` gives, without the folder's name.
    Error error_of(const std::filesystem::path& file, const Tokenizer& tokenizer,
                   const ReadOptions& options = {}) const {
        try {
            RecordingSink sink(tokenizer);
            read_documents(file, options, tokenizer, sink);
        } catch (const Error& error) {
            std::string message = error.what();
            const std::string prefix = folder_.string() + "/";
            if (message.starts_with(prefix)) message.erase(0, prefix.size());
            EXPECT_FALSE(error.hint().empty()) << message;
            return Error(message, error.hint());
        }
        ADD_FAILURE() << file << " was read without an error";
        return Error("");
    }
    std::string message_of(const std::filesystem::path& file,
                           const ReadOptions& options = {}) const {
        return error_of(file, *bytes_, options).what();
    }
    std::string message_of(std::string_view name, std::string_view bytes,
                           const ReadOptions& options = {}) const {
        return message_of(write(name, bytes), options);
    }

    const std::shared_ptr<const Tokenizer> bytes_ = make_tokenizer({});

  private:
    std::filesystem::path folder_;
};

/// The text of a document of bytes; end_of_text inside it as '$'.
inline std::string text_of(const ReadDocument& document) {
    std::string text;
    for (std::size_t i = 1; i + 1 < document.tokens.size(); ++i)
        text += document.tokens[i] == 256 ? '$' : static_cast<char>(document.tokens[i]);
    return text;
}

inline std::vector<std::string> texts_of(const std::vector<ReadDocument>& documents) {
    std::vector<std::string> texts;
    for (const ReadDocument& document : documents) texts.push_back(text_of(document));
    return texts;
}

inline std::vector<std::int64_t> lines_of(const std::vector<ReadDocument>& documents) {
    std::vector<std::int64_t> lines;
    for (const ReadDocument& document : documents) lines.push_back(document.line);
    return lines;
}

/// Weights of 0 and 1 as characters, others as '?'; the first token's too.
inline std::string flags_of(const ReadDocument& document) {
    std::string flags;
    for (const float weight : document.weights)
        flags += weight == 0.0f ? '0' : weight == 1.0f ? '1' : '?';
    return flags;
}

/// One gzip member.
inline std::string gzip(std::string_view bytes) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string out(deflateBound(&stream, bytes.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

}  // namespace evengrad::test
