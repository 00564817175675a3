// A file or standard input front to back, decompressed, in memory that no file can inflate.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace evengrad {

/// What messages call the file "-".
inline const std::string standard_input_name = "standard input";

/// Bytes that were read and not consumed yet, at most 1 MiB of them. Every failure names the file.
///
///     while (in.more()) in.consume(use(in.bytes()));
///
/// A file whose name ends in .gz (in any case) is decompressed: gzip, RFC 1952, one member or
/// several end to end. Nothing else is, whatever it begins with; standard input never is.
class ByteStream {
  public:
    /// Bytes of the file (compressed, if it is) that were read, and its size; -1: not known.
    using Progress = std::function<void(std::int64_t read, std::int64_t total)>;

    /// `path` "-" is standard input. `progress` may be empty; it is called at the end and at most
    /// once a MiB. @throws Error when the file is missing, unreadable, not a regular file (a pipe
    /// given by name would hang).
    explicit ByteStream(const std::filesystem::path& path, Progress progress = {});
    ~ByteStream();
    ByteStream(const ByteStream&) = delete;
    ByteStream& operator=(const ByteStream&) = delete;

    /// For messages: the path, or standard_input_name.
    const std::string& name() const noexcept { return name_; }
    bool compressed() const noexcept { return gzip_ != nullptr; }

    std::string_view bytes() const noexcept { return {buffer_.get() + begin_, end_ - begin_}; }
    /// Where bytes() begins, from the start of the (decompressed) file.
    std::int64_t offset() const noexcept { return offset_; }
    void consume(std::size_t count);
    /// Reads more behind bytes(), which may not fill the buffer; false at the end of the file.
    /// Views of bytes() are void then. @throws Error when reading fails, for gzip that is damaged,
    /// cut short or followed by something else.
    bool more();

  private:
    class Gzip;

    std::size_t read_file(std::span<char> out);

    std::string name_;
    Progress progress_;
    std::unique_ptr<Gzip> gzip_;
    std::unique_ptr<char[]> buffer_;
    std::size_t begin_ = 0;  // bytes(): buffer_[begin_ .. end_)
    std::size_t end_ = 0;
    std::int64_t offset_ = 0;
    int descriptor_ = 0;
    bool at_end_ = false;
    std::int64_t file_read_ = 0;
    std::int64_t file_total_ = -1;
    std::int64_t reported_ = -1;
};

/// The extension in lower case, for "BOOK.TXT" ".txt".
std::string extension_of(const std::filesystem::path& path);

}  // namespace evengrad
