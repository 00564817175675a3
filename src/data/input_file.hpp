// A file read front to back, whole or line by line, in memory that a hostile file can't inflate.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace evengrad {

/// Every failure names the file.
class InputFile {
  public:
    static constexpr std::size_t max_line_bytes = std::size_t{64} << 20;

    /// @throws Error when missing, not a regular file (a pipe would hang), or unreadable.
    explicit InputFile(const std::filesystem::path& path);

    /// The next line without its newline; false at the end of the file.
    /// @throws Error when reading fails or the line exceeds max_line_bytes, before reading it all.
    bool next_line(std::string& line);
    /// Number of the line that next_line gave last, from 1.
    std::int64_t line_number() const noexcept { return line_number_; }

    /// The whole file, byte order mark included. Not to be mixed with next_line.
    std::string read_all();

    const std::string& name() const noexcept { return name_; }

  private:
    bool refill();

    std::string name_;
    std::ifstream stream_;
    std::vector<char> buffer_;
    std::size_t begin_ = 0;  // unread bytes: buffer_[begin_ .. end_)
    std::size_t end_ = 0;
    std::int64_t line_number_ = 0;
};

}  // namespace evengrad
