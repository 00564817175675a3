// What people see while evaluate, audit and the like work.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "report/moving_line.hpp"

namespace evengrad {

/// Between two drawings of what changes all the time.
inline constexpr double redraw_seconds = 0.1;

/// "[######........................]  20 %": the share of the work that is done, 0 to 1.
std::string progress_bar(double share);

/// A moving line on standard output about work that goes on, drawn every redraw_seconds and at its
/// end; nothing when nobody watches (no terminal, or less than `info` is logged).
class WorkBar {
  public:
    WorkBar();
    /// The text gets the seconds since the begin.
    void draw(bool is_last, const std::function<std::string(double seconds)>& text);
    void restart();  ///< the begin is now
    void clear();

  private:
    std::optional<MovingLine> line_;
    double begin_, drawn_ = 0.0;
};

}  // namespace evengrad
