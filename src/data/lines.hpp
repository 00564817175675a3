// A stream line by line.
#pragma once

#include <cstdint>
#include <string>

#include "data/byte_stream.hpp"

namespace evengrad {

/// Lines without their newlines.
class Lines {
  public:
    static constexpr std::size_t max_line_bytes = std::size_t{64} << 20;

    /// The stream must outlive this.
    explicit Lines(ByteStream& in) : in_(in) {}

    /// False at the end of the file. @throws Error for a line that is too long, before it is held.
    bool next(std::string& line);
    /// Of the line that next gave last, from 1.
    std::int64_t number() const noexcept { return number_; }

  private:
    ByteStream& in_;
    std::int64_t number_ = 0;
};

}  // namespace evengrad
