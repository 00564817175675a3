#include "report/work_bar.hpp"

#include <cmath>

#include <fmt/format.h>

#include "base/log.hpp"
#include "report/progress.hpp"
#include "train/state.hpp"

namespace evengrad {

std::string progress_bar(double share) {
    constexpr std::size_t width = 30;
    const auto filled = static_cast<std::size_t>(share * static_cast<double>(width));
    // A share that is nearly all is 99 %: 100 % means done.
    return fmt::format("[{}{}] {:3.0f} %", std::string(filled, '#'),
                       std::string(width - filled, '.'), std::floor(100.0 * share));
}

WorkBar::WorkBar() : begin_(monotonic_seconds()) {
    if (output_is_terminal() && logs(LogLevel::info)) line_.emplace(stdout);
}

void WorkBar::draw(bool is_last, const std::function<std::string(double seconds)>& text) {
    const double now = monotonic_seconds();
    if (!line_ || (!is_last && now - drawn_ < redraw_seconds)) return;
    drawn_ = now;
    line_->draw(text(now - begin_));
}

void WorkBar::restart() {
    begin_ = monotonic_seconds();
}

void WorkBar::clear() {
    if (line_) line_->clear();
}

}  // namespace evengrad
