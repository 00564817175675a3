#include "report/moving_line.hpp"

#include <sys/ioctl.h>

namespace evengrad {

namespace {

constexpr const char* erase_line = "\r\x1b[K";

/// As many of the line's fields, two spaces apart, as fit: half a number would be another number.
std::string cut_to(const std::string& text, std::size_t columns) {
    if (text.size() <= columns) return text;
    const std::size_t gap = text.rfind("  ", columns);
    return text.substr(0, gap == std::string::npos || gap == 0 ? columns : gap);
}

}  // namespace

MovingLine::MovingLine(std::FILE* out) : out_(out) {
    before_ = set_log_sink([this](const std::string& text) {
        const std::lock_guard lock(mutex_);
        around([&] { write_to_stderr(text); });
    });
}

MovingLine::~MovingLine() {
    set_log_sink(std::move(before_));
    finish();
}

/// Calls `write` with the moving line out of the way.
void MovingLine::around(const std::function<void()>& write) {
    if (!moving_.empty()) {
        std::fputs(erase_line, out_);
        std::fflush(out_);
    }
    write();
    if (!moving_.empty()) std::fputs(moving_.c_str(), out_);
    std::fflush(out_);
}

void MovingLine::draw(const std::string& text) {
    const std::lock_guard lock(mutex_);
    winsize size{};
    const std::size_t columns =
        ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 120;
    moving_ = cut_to(text, columns - 1);
    std::fputs((erase_line + moving_).c_str(), out_);
    std::fflush(out_);
}

void MovingLine::print(const std::string& text) {
    const std::lock_guard lock(mutex_);
    around([&] { std::fputs((text + '\n').c_str(), out_); });
}

void MovingLine::clear() {
    const std::lock_guard lock(mutex_);
    if (moving_.empty()) return;
    moving_.clear();
    std::fputs(erase_line, out_);
    std::fflush(out_);
}

void MovingLine::finish() {
    const std::lock_guard lock(mutex_);
    if (moving_.empty()) return;
    moving_.clear();
    std::fputs("\n", out_);
    std::fflush(out_);
}

}  // namespace evengrad
