// Messages: the one way in which this program says something that nobody asked for.
//
// A message goes to standard error, in one write, as "evengrad: LEVEL: WHAT" and, where something
// can be done about it, a line "hint: ...". What was asked for (reports, progress, generated text)
// goes to standard output and doesn't come through here. There are no timestamps: messages carry
// the step or file that they are about.
//
// Rank 0 speaks for all: main() silences the others, but for the error that ends a run.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>

#include <fmt/format.h>

namespace evengrad {

enum class LogLevel {
    error,    ///< the run ends here; said by main(), everybody else throws Error
    warning,  ///< the run goes on, but something isn't as it should be
    info,     ///< worth knowing, nothing to do; also banner and progress, which go to stdout
    debug,    ///< how the program came to do what it does
};
inline constexpr std::array<const char*, 4> log_level_names = {"error", "warning", "info", "debug"};

/// Messages above this level aren't said. At first: info. Any thread may ask.
void set_log_level(LogLevel level);
bool logs(LogLevel level);

/// Says what happened and, in `hint`, what to do about it (may be empty). Any thread may call it;
/// messages never mix. Control characters, which may come from a file's name or content, are
/// replaced: a message can't move the cursor. @local
void log_message(LogLevel level, const std::string& what, const std::string& hint = {});

/// Says the error for which this process ends at once, past sink, locks and buffers: a thread that
/// will never go on may have them. @local
void log_last_error(const std::string& what, const std::string& hint);

inline void log_warning(const std::string& what, const std::string& hint = {}) {
    log_message(LogLevel::warning, what, hint);
}
inline void log_info(const std::string& what, const std::string& hint = {}) {
    log_message(LogLevel::info, what, hint);
}
/// Takes format and arguments, and formats only what will be said.
template <class... Arguments>
void log_debug(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    if (logs(LogLevel::debug))
        log_message(LogLevel::debug, fmt::format(format, std::forward<Arguments>(arguments)...));
}

/// Writes the text of a message, whole lines.
using LogSink = std::function<void(const std::string& text)>;
/// Puts another sink in place and returns the one before; an empty one means standard error. For
/// what must make room on the screen first (report/moving_line.hpp), and tests. A sink must not
/// log.
LogSink set_log_sink(LogSink sink);

/// To standard error in one write, after what standard output still holds. What a sink ends with.
void write_to_stderr(const std::string& text);

}  // namespace evengrad
