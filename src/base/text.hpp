// Small things about text that people read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace evengrad {

/// The text without what a terminal would take for a command: control characters but newline and
/// tab (of UTF-8 the second set, too, U+0080 to U+009F) as "\x1b". For text that comes from files,
/// which anybody may have made. Bytes that are no UTF-8 stay as they are.
std::string printable(std::string_view text);

/// "1 step", "2 steps"
std::string counted(std::int64_t number, std::string_view noun);

}  // namespace evengrad
