// What the program says, for tests.
#pragma once

#include <string>

#include "base/log.hpp"

namespace evengrad::test {

/// What is logged while it lives.
class Heard {
  public:
    Heard() : before_(set_log_sink([this](const std::string& text) { text_ += text; })) {}
    ~Heard() { set_log_sink(before_); }
    Heard(const Heard&) = delete;
    Heard& operator=(const Heard&) = delete;
    const std::string& text() const { return text_; }

  private:
    std::string text_;
    LogSink before_;
};

}  // namespace evengrad::test
