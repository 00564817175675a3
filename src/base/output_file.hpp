// A text file that appears whole or not at all.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string_view>

namespace evengrad {

/// Written as TARGET.tmp beside its target; takes the target's name only when it is complete and on
/// the disk. Without `publish` the temporary file is removed and an earlier TARGET stays as it was.
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
    std::filesystem::path target_;
    std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace evengrad
