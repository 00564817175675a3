// A temporary file for what is too large for memory: written front to back, then read so.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace evengrad {

/// Has no name: it is gone with its owner, also when the process is killed. Move-only. @local
class Spool {
  public:
    /// In the folder of `target`, where there must be room for the result too.
    /// @throws Error, naming target, when the folder can't be written.
    explicit Spool(std::filesystem::path target);
    ~Spool();
    Spool(Spool&& other) noexcept;
    Spool& operator=(Spool&&) = delete;

    /// @throws Error when the disk is full.
    void write(std::span<const std::byte> bytes);
    /// Reads on, from the beginning; before, all that is to be written has been.
    void read(std::span<std::byte> bytes);

  private:
    void flush();

    std::filesystem::path target_;
    int descriptor_ = -1;
    std::vector<std::byte> buffer_;  ///< not written yet
    std::uint64_t read_ = 0;
};

}  // namespace evengrad
