#include "base/output_file.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

namespace fs = std::filesystem;

fs::path temporary_of(fs::path target) {
    target += ".tmp";
    return target;
}

}  // namespace

OutputFile::OutputFile(fs::path target)
    : target_(std::move(target)), temporary_(temporary_of(target_)) {
    std::error_code ignored;
    if (fs::is_directory(target_, ignored)) fail("write", EISDIR);
    // What an earlier crash left goes first, and never through a link.
    if (::unlink(temporary_.c_str()) != 0 && errno != ENOENT) fail("write", errno);
    file_.reset(std::fopen(temporary_.c_str(), "wbxe"));
    if (!file_) fail("write", errno);
}

OutputFile::~OutputFile() {
    if (!file_) return;
    file_.reset();
    ::unlink(temporary_.c_str());
}

void OutputFile::fail(const char* what, int reason) const {
    throw Error(fmt::format("cannot {} {}: {}", what, target_.string(), std::strerror(reason)),
                reason == ENOSPC || reason == EDQUOT ? "free some disk space" : "");
}

void OutputFile::write(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) fail("write", errno);
}

void OutputFile::publish() {
    if (std::fflush(file_.get()) != 0 || ::fsync(fileno(file_.get())) != 0) fail("write", errno);
    if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail("replace", errno);
    file_.reset();
    // The folder's list too is to survive a power cut.
    const fs::path folder = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) fail("replace", errno);
    const int result = ::fsync(descriptor), reason = errno;
    ::close(descriptor);
    if (result != 0) fail("replace", reason);
}

}  // namespace evengrad
