// What can go wrong, and how it is said.
//
// Error        something the user, a file or the machine got wrong: thrown, printed once, exit code
// not 0. EVENGRAD_CHECK  an invariant of this program: always on; its failure is a bug report.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace evengrad {

/// A failure that the user can act on. `what()` is the message; `hint()` says what to do about it
/// (may be empty). A message names what and where: file and line, option, tensor, rank.
class Error : public std::runtime_error {
  public:
    explicit Error(const std::string& message, std::string hint = {})
        : std::runtime_error(message), hint_(std::move(hint)) {}

    const std::string& hint() const noexcept { return hint_; }

  private:
    std::string hint_;
};

/// Wrong use of the command line or a recipe; `train`, `inspect` ... then exit with code 2, not 1.
class UsageError : public Error {
    using Error::Error;
};

namespace detail {
[[noreturn]] inline void check_failed(std::string_view condition, std::string_view file, int line,
                                      const std::string& message) {
    throw std::logic_error(
        fmt::format("internal error: {} ({} at {}:{})", message, condition, file, line));
}
}  // namespace detail

}  // namespace evengrad

/// An invariant of this program, checked in every build. Throws std::logic_error.
#define EVENGRAD_CHECK(condition, ...)                                       \
    do {                                                                     \
        if (!(condition))                                                    \
            ::evengrad::detail::check_failed(#condition, __FILE__, __LINE__, \
                                             fmt::format(__VA_ARGS__));      \
    } while (false)
