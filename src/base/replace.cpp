#include "base/replace.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pulse.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace fs = std::filesystem;

namespace {

/// Has a large file written out piece by piece before it is synced: a slow disk then shows that it
/// gets on. 0, or the reason why it fails, which is told once: fsync wouldn't know of it any more.
int write_out(int descriptor) {
#ifdef SYNC_FILE_RANGE_WRITE
    constexpr off_t piece = 64 << 20;
    constexpr unsigned now =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    struct stat info {};
    if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) return 0;
    for (off_t begin = 0; begin + piece < info.st_size; begin += piece) {
        if (sync_file_range(descriptor, begin, piece, now) != 0)
            return errno == EIO || errno == ENOSPC || errno == EDQUOT ? errno : 0;
        pulse.beat();
    }
#else
    static_cast<void>(descriptor);
#endif
    return 0;
}

/// What was written to a file, or to the list of a folder, survives a power cut from here on.
void sync_to_disk(const fs::path& path, int flags, const fs::path& target) {
    const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
    if (descriptor < 0) fail_to("write", target, errno);
    int reason = write_out(descriptor);
    while (reason == 0 && ::fsync(descriptor) != 0)
        if (errno != EINTR) reason = errno;
    ::close(descriptor);
    pulse.beat();
    if (reason != 0) fail_to("write", target, reason);
}

fs::path folder_of(const fs::path& path) {
    return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// Whether a path in its canonical folder is in /proc, where links don't name files, but what a
/// process has open: a file, perhaps, that others write to as well.
bool is_in_proc(const fs::path& path) {
    return path.string().starts_with("/proc/");
}

}  // namespace

fs::path behind_links(fs::path path) {
    constexpr int most_links = 40;  // as many as Linux follows
    std::error_code none;
    for (int i = 0; i < most_links && fs::is_symlink(fs::symlink_status(path, none)); ++i) {
        const fs::path folder = fs::canonical(folder_of(path), none);
        if (none) break;
        path = folder / path.filename();
        if (is_in_proc(path)) break;
        path = folder / fs::read_symlink(path, none);  // the link alone where it begins at the root
    }
    return path;
}

bool is_stream(const fs::path& path) {
    std::error_code none;
    const fs::file_status status = fs::status(path, none);
    if (fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status))
        return true;
    return is_in_proc(behind_links(path));
}

void refuse_stream(const fs::path& path) {
    if (is_stream(path))
        throw Error(fmt::format("cannot write {}: HDF5 can't be written to a device or a pipe",
                                path.string()),
                    "give the name of a file");
}

fs::path temporary_of(fs::path target) {
    target += ".tmp";
    return target;
}

void clear_temporary(const fs::path& target) {
    if (::unlink(temporary_of(target).c_str()) != 0 && errno != ENOENT)
        fail_to("write", target, errno);
}

void replace_file(const fs::path& target) {
    const fs::path temporary = temporary_of(target);
    sync_to_disk(temporary, O_RDONLY, target);
    if (std::rename(temporary.c_str(), target.c_str()) != 0) fail_to("replace", target, errno);
    sync_to_disk(folder_of(target), O_RDONLY | O_DIRECTORY, target);
}

void replace_link(const fs::path& folder, const std::string& name, const fs::path& target) {
    const fs::path link = folder / name;
    const fs::path temporary = temporary_of(link);
    clear_temporary(link);
    if (::symlink(target.c_str(), temporary.c_str()) != 0) fail_to("make the link", link, errno);
    if (std::rename(temporary.c_str(), link.c_str()) != 0) {
        const int reason = errno;
        ::unlink(temporary.c_str());
        fail_to("replace the link", link, reason);
    }
    sync_to_disk(folder, O_RDONLY | O_DIRECTORY, link);
}

void fail_to(const char* what, const fs::path& path, int reason) {
    const bool full = reason == ENOSPC || reason == EDQUOT;
    throw Error(fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(reason)),
                full ? "free some disk space" : "check the path and its permissions");
}

}  // namespace evengrad
