#include "base/output_file.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/replace.hpp"

namespace evengrad {

namespace fs = std::filesystem;

namespace {

/// Opens a stream for writing. What is this process's own output is not opened anew: if it is a
/// file, two places to write at would overwrite each other's text.
std::FILE* open_stream(const fs::path& target) {
    struct stat file {
    }, own{};
    if (::stat(target.c_str(), &file) == 0)
        for (const int descriptor : {STDOUT_FILENO, STDERR_FILENO})
            if (::fstat(descriptor, &own) == 0 && own.st_dev == file.st_dev &&
                own.st_ino == file.st_ino) {
                std::fflush(nullptr);
                const int copy = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
                return copy < 0 ? nullptr : ::fdopen(copy, "wb");
            }
    return std::fopen(target.c_str(), "abe");
}

}  // namespace

OutputFile::OutputFile(fs::path target)
    : stream_(is_stream(target)), target_(stream_ ? target : behind_links(target)) {
    std::error_code ignored;
    if (fs::is_directory(target_, ignored)) fail_to("write", target_, EISDIR);
    if (!stream_) clear_temporary(target_);
    file_.reset(stream_ ? open_stream(target_) : std::fopen(temporary_of(target_).c_str(), "wbxe"));
    if (!file_) fail_to("write", target_, errno);
}

OutputFile::~OutputFile() {
    if (!file_ || stream_) return;
    file_.reset();
    ::unlink(temporary_of(target_).c_str());
}

void OutputFile::write(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size())
        fail_to("write", target_, errno);
}

void OutputFile::publish() {
    if (std::fflush(file_.get()) != 0) fail_to("write", target_, errno);
    if (!stream_) replace_file(target_);
    file_.reset();
}

std::string lost_output() {
    errno = 0;
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
    return errno == 0 ? "cannot write to standard output"
                      : fmt::format("cannot write to standard output: {}", std::strerror(errno));
}

}  // namespace evengrad
