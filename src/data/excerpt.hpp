// What stands in a file, for a one-line message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace evengrad {

/// At most `limit` bytes (whole characters) of `text`, "..." behind what was cut; control
/// characters (C0, DEL, C1), backslashes and single quotes as escapes.
std::string excerpt(std::string_view text, std::size_t limit = 40);

/// Whether any character of `text`, which is UTF-8, is a control character (C0, DEL, C1).
bool has_control_characters(std::string_view text);

}  // namespace evengrad
