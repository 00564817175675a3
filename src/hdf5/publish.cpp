#include "hdf5/publish.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace evengrad::hdf5 {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* what, const fs::path& path, int reason) {
    throw Error(fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(reason)),
                reason == ENOSPC || reason == EDQUOT ? "free some disk space" : "");
}

/// What was written to a file, or to the list of a folder, survives a power cut from here on.
void sync_to_disk(const fs::path& path, int flags) {
    const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
    if (descriptor < 0) fail("open", path, errno);
    int result = 0;
    do result = ::fsync(descriptor);
    while (result != 0 && errno == EINTR);
    const int reason = errno;
    ::close(descriptor);
    if (result != 0) fail("write to disk", path, reason);
}

fs::path folder_of(const fs::path& path) {
    return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

fs::path with_suffix(fs::path path, const char* suffix) {
    path += suffix;
    return path;
}

/// Makes way for a new file: removes what an earlier crash left, never through a link.
const fs::path& cleared(const fs::path& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail("write", path, errno);
    return path;
}

File create_or_remove(const fs::path& path) {
    try {
        return File::create(cleared(path));
    } catch (...) {
        ::unlink(path.c_str());
        throw;
    }
}

}  // namespace

PublishedFile::PublishedFile(fs::path target)
    : target_(std::move(target)),
      temporary_(with_suffix(target_, ".tmp")),
      file_(create_or_remove(temporary_)) {}

PublishedFile::~PublishedFile() {
    if (published_) return;
    // Emptied first: should the disk be full, this makes the room without which the library could
    // not write what it holds back, and so not close the file.
    [[maybe_unused]] const int ignored = ::truncate(temporary_.c_str(), 0);
    ::unlink(temporary_.c_str());
}

void PublishedFile::publish() {
    root().set("complete", std::int64_t{1});
    file_.close();
    sync_to_disk(temporary_, O_RDONLY);
    if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail("replace", target_, errno);
    published_ = true;
    sync_to_disk(folder_of(target_), O_RDONLY | O_DIRECTORY);
}

void replace_link(const fs::path& folder, const std::string& name, const fs::path& target) {
    const fs::path link = folder / name;
    const fs::path temporary = with_suffix(link, ".tmp");
    cleared(temporary);
    if (::symlink(target.c_str(), temporary.c_str()) != 0) fail("make the link", link, errno);
    if (std::rename(temporary.c_str(), link.c_str()) != 0) {
        const int reason = errno;
        ::unlink(temporary.c_str());
        fail("replace the link", link, reason);
    }
    sync_to_disk(folder, O_RDONLY | O_DIRECTORY);
}

}  // namespace evengrad::hdf5
