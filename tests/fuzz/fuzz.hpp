// What fuzz targets share. A target calls LLVMFuzzerTestOneInput's input a case: it may be refused
// with an Error, whose message is then checked; any other exception, and any broken promise of a
// reader, ends the process, and libFuzzer keeps the case.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "data/document_sink.hpp"
#include <evengrad/error.hpp>
#include <evengrad/tokenizer.hpp>

namespace evengrad::fuzz {

/// A promise that was broken: prints it and ends the process.
#define FUZZ_CHECK(condition)                                                            \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            std::fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
            std::abort();                                                                \
        }                                                                                \
    } while (false)

/// Whether `action` was refused as the user should see it: an Error with a message that isn't
/// endless, however long what it quotes is.
template <class Action>
bool refused(const Action& action) {
    try {
        action();
        return false;
    } catch (const Error& error) {
        const std::string_view message = error.what();
        FUZZ_CHECK(!message.empty() && message.size() < 4096 && error.hint().size() < 4096);
        return true;
    }
}

/// The file that holds each case in turn, where temporary files go ($TMPDIR: best in memory).
class CaseFile {
  public:
    explicit CaseFile(const std::string& extension) {
        std::string name =
            (std::filesystem::temp_directory_path() / "evengrad-fuzz-XXXXXX").string() + extension;
        descriptor_ = ::mkstemps(name.data(), static_cast<int>(extension.size()));
        FUZZ_CHECK(descriptor_ >= 0);
        path_ = name;
    }
    /// One that must have this name, beside another.
    CaseFile(const std::filesystem::path& folder, const std::string& name) : path_(folder / name) {
        descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        FUZZ_CHECK(descriptor_ >= 0);
    }
    ~CaseFile() {
        ::close(descriptor_);
        ::unlink(path_.c_str());
    }
    CaseFile(const CaseFile&) = delete;
    CaseFile& operator=(const CaseFile&) = delete;

    const std::filesystem::path& write(std::string_view bytes) const {
        FUZZ_CHECK(::pwrite(descriptor_, bytes.data(), bytes.size(), 0) ==
                   static_cast<ssize_t>(bytes.size()));
        // Last, so that the pages of the case before are used again.
        FUZZ_CHECK(::ftruncate(descriptor_, static_cast<off_t>(bytes.size())) == 0);
        return path_;
    }
    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
    int descriptor_ = -1;
};

/// Takes single bytes off a case: the choices that the rest of it is read with.
class Choices {
  public:
    Choices(const std::uint8_t* data, std::size_t size)
        : rest_(reinterpret_cast<const char*>(data), size) {}

    /// 0 where there are no more.
    unsigned byte() {
        if (rest_.empty()) return 0;
        const auto value = static_cast<unsigned char>(rest_.front());
        rest_.remove_prefix(1);
        return value;
    }
    unsigned below(unsigned count) { return byte() % count; }
    bool empty() const { return rest_.empty(); }
    std::string_view rest() const { return rest_; }
    std::string_view take(std::size_t count) {
        const std::string_view taken = rest_.substr(0, count);
        rest_.remove_prefix(taken.size());
        return taken;
    }

  private:
    std::string_view rest_;
};

struct SinkDocument {
    std::vector<std::int32_t> tokens;
    std::vector<float> weights;
    std::int64_t line = 0;

    bool operator==(const SinkDocument&) const = default;
};

/// Keeps documents and checks what a reader owes its sink (data/document_sink.hpp).
class CheckingSink final : public DocumentSink {
  public:
    explicit CheckingSink(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

    std::vector<SinkDocument> documents;

    void begin_file(const std::string& name) override {
        FUZZ_CHECK(!in_file_ && !name.empty());
        in_file_ = true;
    }
    void begin_document(std::int64_t line) override {
        FUZZ_CHECK(in_file_ && !in_document_);
        FUZZ_CHECK(line >= (documents.empty() ? 0 : documents.back().line));
        in_document_ = true;
        documents.push_back({{}, {}, line});
    }
    void add(std::span<const std::int32_t> tokens, float weight) override {
        FUZZ_CHECK(in_document_ && !tokens.empty());
        FUZZ_CHECK(weight >= 0.0f && static_cast<double>(weight) <= largest_weight);
        FUZZ_CHECK(!std::signbit(weight));
        FUZZ_CHECK(round_weight(static_cast<double>(weight)) == weight);
        SinkDocument& document = documents.back();
        for (const std::int32_t token : tokens)
            FUZZ_CHECK(token >= 0 && token < tokenizer_.vocabulary_size());
        document.tokens.insert(document.tokens.end(), tokens.begin(), tokens.end());
        document.weights.resize(document.tokens.size(), weight);
    }
    void end_document() override {
        FUZZ_CHECK(in_document_);
        in_document_ = false;
        const SinkDocument& document = documents.back();
        FUZZ_CHECK(document.tokens.size() >= 2);
        FUZZ_CHECK(document.tokens.front() == tokenizer_.end_of_text());
        FUZZ_CHECK(document.tokens.back() == tokenizer_.end_of_text());
        FUZZ_CHECK(document.weights.front() == 0.0f);
    }
    /// After a reader that didn't throw.
    void check_finished() const { FUZZ_CHECK(in_file_ && !in_document_ && !documents.empty()); }

  private:
    const Tokenizer& tokenizer_;
    bool in_file_ = false;
    bool in_document_ = false;
};

/// Files are read through read(2). While a target says so, it gives them in pieces of this many
/// bytes (0: as asked), so that small cases too meet the seams between pieces.
/// Linked with --wrap=read (CMakeLists.txt); defined in short_reads.cpp.
void set_read_size(std::size_t bytes);

}  // namespace evengrad::fuzz
