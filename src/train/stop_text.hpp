// Where a text stops: before the first of some strings, wherever tokens begin and end.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace evengrad {

/// Passes text on as it comes, but holds back what may yet turn out to be part of a stop string.
///
/// The text ends where the stop string begins that is complete first (of several complete at the
/// same byte, the longest). So it doesn't depend on how the text was cut into tokens.
class StopText {
  public:
    /// `strings` aren't empty; there may be none.
    explicit StopText(std::vector<std::string> strings) : strings_(std::move(strings)) {}

    /// Takes more text; returns what is now known to come before any stop string.
    std::string add(std::string_view text);
    /// A stop string was complete; nothing more comes.
    bool stopped() const { return stopped_; }
    /// What was held back and is text after all, as nothing follows it.
    std::string rest();

  private:
    std::vector<std::string> strings_;
    std::string held_;
    bool stopped_ = false;
};

}  // namespace evengrad
