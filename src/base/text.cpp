#include "base/text.hpp"

#include <fmt/format.h>

namespace evengrad {

std::string printable(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
        if ((byte < 0x20 && text[i] != '\n' && text[i] != '\t') || byte == 0x7F) {
            result += fmt::format("\\x{:02x}", byte);
        } else if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {
            result += fmt::format("\\x{:02x}\\x{:02x}", byte, next);
            ++i;
        } else {
            result += text[i];
        }
    }
    return result;
}

std::string counted(std::int64_t number, std::string_view noun) {
    return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

}  // namespace evengrad
