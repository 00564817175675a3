// A text file that appears whole or not at all; whether standard output got all of its text.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace evengrad {

/// Written as TARGET.tmp beside its target; takes the target's name only when it is complete and on
/// the disk. Without `publish` the temporary file is removed and an earlier TARGET stays as it was.
/// A link is followed. A device or a pipe is written to as it is.
/// Every failure names the file and the system's reason.
class OutputFile {
  public:
    explicit OutputFile(std::filesystem::path target);
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    void write(std::string_view text);
    /// Call once, last.
    void publish();

  private:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    bool stream_;
    std::filesystem::path target_;
    std::unique_ptr<std::FILE, Close> file_;
};

/// Writes out what standard output holds back. Why something that was printed is lost; empty when
/// nothing is. @local
std::string lost_output();
inline constexpr const char* lost_output_hint =
    "what reads it (a pipe, a file) has ended or is full";

}  // namespace evengrad
