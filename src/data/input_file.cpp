#include "data/input_file.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {
constexpr std::size_t buffer_bytes = std::size_t{1} << 20;
}

InputFile::InputFile(const std::filesystem::path& path)
    : name_(path.string()), buffer_(buffer_bytes) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (status.type() == std::filesystem::file_type::not_found)
        throw Error(fmt::format("{}: there is no such file", name_),
                    "check the path; rank 0 alone reads data, from the folder it was started in");
    if (error) throw Error(fmt::format("{}: cannot be read: {}", name_, error.message()));
    if (std::filesystem::is_directory(status))
        throw Error(fmt::format("{}: is a folder, not a file", name_), "name one file in it");
    if (!std::filesystem::is_regular_file(status))
        throw Error(fmt::format("{}: is not a regular file", name_),
                    "write the data into a file first; pipes and devices are not read");
    errno = 0;
    stream_.open(path, std::ios::binary);
    if (!stream_)
        throw Error(
            fmt::format("{}: cannot be opened: {}", name_, std::generic_category().message(errno)),
            "check its permissions");
}

bool InputFile::refill() {
    if (stream_.eof()) return false;
    errno = 0;
    stream_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    if (stream_.bad())
        throw Error(
            fmt::format("{}: reading failed: {}", name_, std::generic_category().message(errno)));
    begin_ = 0;
    end_ = static_cast<std::size_t>(stream_.gcount());
    return end_ > 0;
}

bool InputFile::next_line(std::string& line) {
    line.clear();
    bool found_any = false;
    while (begin_ < end_ || refill()) {
        if (!found_any) ++line_number_;
        found_any = true;
        const char* start = buffer_.data() + begin_;
        const auto* newline = static_cast<const char*>(std::memchr(start, '\n', end_ - begin_));
        const std::size_t count =
            newline != nullptr ? static_cast<std::size_t>(newline - start) : end_ - begin_;
        if (line.size() + count > max_line_bytes)
            throw Error(fmt::format("{} line {}: longer than {} MiB", name_, line_number_,
                                    max_line_bytes >> 20),
                        "put one document on each line; cut longer documents into several");
        line.append(start, count);
        begin_ += count;
        if (newline != nullptr) {
            ++begin_;
            return true;
        }
    }
    return found_any;
}

std::string InputFile::read_all() {
    std::string text;
    while (refill()) text.append(buffer_.data(), end_);
    begin_ = end_;
    return text;
}

}  // namespace evengrad
