#include "base/log.hpp"

#include <atomic>
#include <cstdio>
#include <mutex>
#include <utility>

#include <unistd.h>

#include "base/text.hpp"

namespace evengrad {

namespace {

std::atomic<LogLevel> level_in_force{LogLevel::info};
std::mutex mutex;  // of the sink, and while it writes
LogSink sink_in_force;

std::string message_text(LogLevel level, const std::string& what, const std::string& hint) {
    std::string text =
        fmt::format("evengrad: {}: ", log_level_names[static_cast<std::size_t>(level)]);
    text += printable(what);
    if (!hint.empty()) text += "\nhint: " + printable(hint);
    return text + '\n';
}

}  // namespace

void set_log_level(LogLevel level) {
    level_in_force = level;
}

bool logs(LogLevel level) {
    return level <= level_in_force;
}

void log_message(LogLevel level, const std::string& what, const std::string& hint) {
    if (!logs(level)) return;
    const std::string text = message_text(level, what, hint);
    const std::lock_guard lock(mutex);
    if (sink_in_force)
        sink_in_force(text);
    else
        write_to_stderr(text);
}

void log_last_error(const std::string& what, const std::string& hint) {
    const std::string text = message_text(LogLevel::error, what, hint);
    // (What can't be said can't be helped.)
    if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

LogSink set_log_sink(LogSink sink) {
    const std::lock_guard lock(mutex);
    return std::exchange(sink_in_force, std::move(sink));
}

void write_to_stderr(const std::string& text) {
    std::fflush(stdout);
    std::fputs(text.c_str(), stderr);  // not buffered: one write
}

}  // namespace evengrad
