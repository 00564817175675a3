#include "hdf5/publish.hpp"

#include <cerrno>

#include <unistd.h>

#include "base/replace.hpp"

namespace evengrad::hdf5 {

namespace {

namespace fs = std::filesystem;

File create_or_remove(const fs::path& target) {
    std::error_code ignored;
    if (fs::is_directory(target, ignored)) fail_to("write", target, EISDIR);
    refuse_stream(target);
    clear_temporary(target);
    try {
        return File::create(temporary_of(target));
    } catch (...) {
        ::unlink(temporary_of(target).c_str());
        throw;
    }
}

}  // namespace

PublishedFile::PublishedFile(fs::path target)
    : target_(std::move(target)), file_(create_or_remove(target_)) {}

PublishedFile::~PublishedFile() {
    if (published_) return;
    // Emptied first: should the disk be full, this makes the room without which the library could
    // not write what it holds back, and so not close the file.
    const fs::path temporary = temporary_of(target_);
    [[maybe_unused]] const int ignored = ::truncate(temporary.c_str(), 0);
    ::unlink(temporary.c_str());
}

void PublishedFile::publish() {
    root().set("complete", std::int64_t{1});
    file_.close();
    replace_file(target_);
    published_ = true;
}

}  // namespace evengrad::hdf5
