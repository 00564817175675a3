// A line of text that is drawn anew as work goes on, among lines that stay.
#pragma once

#include <cstdio>
#include <functional>
#include <mutex>
#include <string>

#include "base/log.hpp"

namespace evengrad {

/// While it lives, messages (base/log.hpp) take the moving line away, are written, and bring it
/// back, whichever thread they come from. One at a time.
class MovingLine {
  public:
    explicit MovingLine(std::FILE* out);
    /// Leaves the moving line where it is and goes to the next.
    ~MovingLine();
    MovingLine(const MovingLine&) = delete;
    MovingLine& operator=(const MovingLine&) = delete;

    /// In place of what moved before. On a narrow screen without its last fields (two spaces
    /// apart).
    void draw(const std::string& text);
    void print(const std::string& text);  ///< stays; the moving line goes on below
    void finish();                        ///< what moved last stays
    void clear();                         ///< what moved last goes

  private:
    void around(const std::function<void()>& write);

    std::FILE* out_;
    std::string moving_;
    std::mutex mutex_;
    LogSink before_;
};

}  // namespace evengrad
