#include "base/output_file.hpp"

#include <cerrno>

#include <unistd.h>

#include "base/replace.hpp"

namespace evengrad {

namespace fs = std::filesystem;

OutputFile::OutputFile(fs::path target) : target_(std::move(target)) {
    std::error_code ignored;
    if (fs::is_directory(target_, ignored)) fail_to("write", target_, EISDIR);
    clear_temporary(target_);
    file_.reset(std::fopen(temporary_of(target_).c_str(), "wbxe"));
    if (!file_) fail_to("write", target_, errno);
}

OutputFile::~OutputFile() {
    if (!file_) return;
    file_.reset();
    ::unlink(temporary_of(target_).c_str());
}

void OutputFile::write(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size())
        fail_to("write", target_, errno);
}

void OutputFile::publish() {
    if (std::fflush(file_.get()) != 0) fail_to("write", target_, errno);
    replace_file(target_);
    file_.reset();
}

}  // namespace evengrad
