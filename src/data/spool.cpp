#include "data/spool.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr std::size_t spool_bytes = std::size_t{1} << 18;

[[noreturn]] void fail(const char* what, const std::filesystem::path& target, int reason) {
    throw Error(fmt::format("cannot {} a temporary file beside {}: {}", what, target.string(),
                            std::strerror(reason)),
                reason == ENOSPC || reason == EDQUOT
                    ? "free some disk space; twice the size of the result is needed"
                    : "check that the folder is there and can be written in");
}

int open_unnamed(const std::filesystem::path& target) {
    const std::filesystem::path folder =
        target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
    int descriptor = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor >= 0) return descriptor;
    // Some network file systems have no unnamed files.
    std::string name = (folder / ".evengrad-XXXXXX").string();
    descriptor = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor < 0) fail("make", target, errno);
    ::unlink(name.c_str());
    return descriptor;
}

}  // namespace

Spool::Spool(std::filesystem::path target)
    : target_(std::move(target)), descriptor_(open_unnamed(target_)) {
    buffer_.reserve(spool_bytes);
}

Spool::~Spool() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

Spool::Spool(Spool&& other) noexcept
    : target_(std::move(other.target_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      buffer_(std::move(other.buffer_)),
      read_(other.read_) {}

void Spool::write(std::span<const std::byte> bytes) {
    if (buffer_.size() + bytes.size() > spool_bytes) flush();
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void Spool::flush() {
    for (std::size_t done = 0; done < buffer_.size();) {
        const ssize_t written = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) fail("write", target_, written < 0 ? errno : ENOSPC);
        done += static_cast<std::size_t>(written);
    }
    buffer_.clear();
}

void Spool::read(std::span<std::byte> bytes) {
    flush();
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t got = ::pread(descriptor_, bytes.data() + done, bytes.size() - done,
                                    static_cast<off_t>(read_));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) fail("read", target_, got < 0 ? errno : EIO);
        done += static_cast<std::size_t>(got);
        read_ += static_cast<std::uint64_t>(got);
    }
}

}  // namespace evengrad
