#include "data/excerpt.hpp"

#include <fmt/format.h>

namespace evengrad {

namespace {

/// Of the control character at the beginning; 0: it is none.
std::size_t control_bytes(std::string_view text) {
    const auto byte = static_cast<unsigned char>(text[0]);
    if (byte < 0x20 || byte == 0x7F) return 1;
    const auto next = text.size() > 1 ? static_cast<unsigned char>(text[1]) : 0U;
    return byte == 0xC2 && next >= 0x80 && next < 0xA0 ? 2 : 0;  // U+0080 to U+009F
}

}  // namespace

std::string excerpt(std::string_view text, std::size_t limit) {
    const bool cut = text.size() > limit;
    if (cut) {
        std::size_t end = limit;
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
        text = text.substr(0, end);
    }
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::size_t control = control_bytes(text.substr(i));
        if (text[i] == '\n')
            out += "\\n";
        else if (text[i] == '\r')
            out += "\\r";
        else if (text[i] == '\t')
            out += "\\t";
        else if (text[i] == '\\' || text[i] == '\'')
            (out += '\\') += text[i];
        else if (control == 1)
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i]));
        else if (control == 2)
            out += fmt::format("\\u{:04x}", static_cast<unsigned char>(text[++i]));
        else
            out += text[i];
    }
    return cut ? out + "..." : out;
}

bool has_control_characters(std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i)
        if (control_bytes(text.substr(i)) > 0) return true;
    return false;
}

}  // namespace evengrad
