#pragma once

namespace evengrad {
inline constexpr const char* version = "0.1.0";
}
