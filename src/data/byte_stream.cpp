#include "data/byte_stream.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr std::size_t buffer_bytes = std::size_t{1} << 20;
constexpr std::size_t compressed_bytes = std::size_t{1} << 16;
constexpr std::int64_t progress_bytes = std::int64_t{1} << 20;

std::string message_of(int code) {
    return std::generic_category().message(code);
}

/// Opens a regular file; gives its size too.
int open_file(const std::string& name, std::int64_t& size) {
    // Without O_NONBLOCK, opening a pipe would wait for its writer.
    const int descriptor = ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0) {
        if (errno == ENOENT)
            throw Error(
                fmt::format("{}: there is no such file", name),
                "check the path; rank 0 alone reads data, from the folder it was started in");
        throw Error(fmt::format("{}: cannot be opened: {}", name, message_of(errno)),
                    "check its permissions");
    }
    struct stat status {};
    const int failed = ::fstat(descriptor, &status);
    const int code = errno;
    if (failed == 0 && S_ISREG(status.st_mode)) {
        size = status.st_size > 0 ? std::int64_t{status.st_size} : -1;  // /proc says 0
        return descriptor;
    }
    ::close(descriptor);
    if (failed != 0)
        throw Error(fmt::format("{}: cannot be read: {}", name, message_of(code)),
                    "check the disk or network that it comes from");
    if (S_ISDIR(status.st_mode))
        throw Error(fmt::format("{}: is a folder, not a file", name), "name one file in it");
    throw Error(fmt::format("{}: is not a regular file", name),
                "write the data into a file first, or give it as standard input");
}

}  // namespace

/// Inflates member after member (RFC 1952, section 2.2). Memory: zlib's window and one buffer.
class ByteStream::Gzip {
  public:
    explicit Gzip(const std::string& name) : name_(name), input_(compressed_bytes) {
        // + 16: gzip, not zlib's own format.
        if (inflateInit2(&stream_, MAX_WBITS + 16) != Z_OK) throw std::bad_alloc();
        begin_member();
    }
    ~Gzip() { inflateEnd(&stream_); }
    Gzip(const Gzip&) = delete;
    Gzip& operator=(const Gzip&) = delete;

    /// Fills `out` from what `read` gives; fewer bytes at the end of the file only.
    template <class Read>
    std::size_t read(std::span<char> out, const Read& read) {
        stream_.next_out = reinterpret_cast<Bytef*>(out.data());
        stream_.avail_out = static_cast<uInt>(out.size());
        while (stream_.avail_out > 0) {
            if (stream_.avail_in == 0) {
                stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
                stream_.avail_in = static_cast<uInt>(read(std::span(input_)));
            }
            if (stream_.avail_in == 0) {
                if (between_members_ && members_ > 0) break;
                fail("the compressed data ends too early: the file was cut short",
                     "copy or download it again; gzip -t checks it");
            }
            between_members_ = false;
            const int result = inflate(&stream_, Z_NO_FLUSH);
            if (result == Z_STREAM_END) {
                ++members_;
                begin_member();
            } else if (result != Z_OK && result != Z_BUF_ERROR) {
                fail_inflate(result);
            }
        }
        return out.size() - stream_.avail_out;
    }

  private:
    void begin_member() {
        between_members_ = true;
        inflateReset(&stream_);
        header_ = {};
        inflateGetHeader(&stream_, &header_);
    }

    [[noreturn]] void fail(const std::string& what, const char* hint) const {
        throw Error(fmt::format("{}: {}", name_, what), hint);
    }

    [[noreturn]] void fail_inflate(int result) const {
        if (result == Z_MEM_ERROR) throw std::bad_alloc();
        if (header_.done != 1 && members_ == 0)
            fail("is not gzip data", "its name ends in .gz: rename it if it isn't compressed");
        if (header_.done != 1)
            fail("something that is not gzip follows the compressed data",
                 "make the file again; gzip -t checks it");
        fail(fmt::format("the compressed data is damaged: {}",
                         stream_.msg != nullptr ? stream_.msg : "needs a dictionary"),
             "copy or download it again; gzip -t checks it");
    }

    const std::string& name_;
    z_stream stream_{};
    gz_header header_{};
    std::vector<char> input_;
    std::int64_t members_ = 0;  // ended
    bool between_members_ = true;
};

ByteStream::ByteStream(const std::filesystem::path& path, Progress progress)
    : name_(path.string()),
      progress_(std::move(progress)),
      buffer_(std::make_unique_for_overwrite<char[]>(buffer_bytes)) {
    if (name_ == "-") {
        name_ = standard_input_name;
        descriptor_ = STDIN_FILENO;
        return;
    }
    if (extension_of(path) == ".gz") gzip_ = std::make_unique<Gzip>(name_);
    descriptor_ = open_file(name_, file_total_);
}

ByteStream::~ByteStream() {
    if (descriptor_ != STDIN_FILENO) ::close(descriptor_);
}

void ByteStream::consume(std::size_t count) {
    EVENGRAD_CHECK(count <= end_ - begin_, "consuming {} of {} bytes", count, end_ - begin_);
    begin_ += count;
    offset_ += static_cast<std::int64_t>(count);
}

bool ByteStream::more() {
    std::copy(buffer_.get() + begin_, buffer_.get() + end_, buffer_.get());
    end_ -= begin_;
    begin_ = 0;
    EVENGRAD_CHECK(end_ < buffer_bytes, "{}: nothing was consumed", name_);
    const std::span<char> room = std::span(buffer_.get(), buffer_bytes).subspan(end_);
    const std::size_t count =
        gzip_ ? gzip_->read(room, [this](std::span<char> out) { return read_file(out); })
              : read_file(room);
    end_ += count;
    return count > 0;
}

std::size_t ByteStream::read_file(std::span<char> out) {
    if (at_end_) return 0;  // asking a terminal again would wait again
    ssize_t count = 0;
    do count = ::read(descriptor_, out.data(), out.size());
    while (count < 0 && errno == EINTR);
    if (count < 0)
        throw Error(fmt::format("{}: reading failed: {}", name_, message_of(errno)),
                    "check the disk or network that it comes from");
    at_end_ = count == 0;
    file_read_ += count;
    if (progress_ &&
        (file_read_ - reported_ >= progress_bytes || (at_end_ && reported_ < file_read_))) {
        reported_ = file_read_;
        progress_(file_read_, file_total_);
    }
    return static_cast<std::size_t>(count);
}

std::string extension_of(const std::filesystem::path& path) {
    std::string extension = path.extension().string();
    for (char& letter : extension)
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    return extension;
}

}  // namespace evengrad
