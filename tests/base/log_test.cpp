// What a message looks like, who may say one, and that messages never mix.
#include "base/log.hpp"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/text.hpp"

namespace evengrad {
namespace {

/// Keeps what is said while it lives; puts level and sink back.
class Listener {
  public:
    Listener() {
        before_ = set_log_sink([this](const std::string& text) { heard.push_back(text); });
    }
    ~Listener() {
        set_log_sink(std::move(before_));
        set_log_level(LogLevel::info);
    }
    std::vector<std::string> heard;

  private:
    LogSink before_;
};

TEST(Log, SaysLevelWhatAndHint) {
    Listener listener;
    log_warning("the checkpoint run/step-2.h5 is damaged", "using the one before it");
    log_info("seen");
    EXPECT_EQ(listener.heard, (std::vector<std::string>{
                                  "evengrad: warning: the checkpoint run/step-2.h5 is damaged\n"
                                  "hint: using the one before it\n",
                                  "evengrad: info: seen\n"}));
}

TEST(Log, SaysWhatTheLevelAllows) {
    Listener listener;
    const auto say_all = [&] {
        listener.heard.clear();
        log_message(LogLevel::error, "x");
        log_warning("x");
        log_info("x");
        log_debug("x");
        return listener.heard.size();
    };
    EXPECT_EQ(say_all(), 3u);  // info is where it begins
    for (const auto& [level, said] :
         {std::pair{LogLevel::error, 1u}, std::pair{LogLevel::warning, 2u},
          std::pair{LogLevel::info, 3u}, std::pair{LogLevel::debug, 4u}}) {
        set_log_level(level);
        EXPECT_EQ(say_all(), said);
        EXPECT_EQ(logs(LogLevel::debug), level == LogLevel::debug);
    }
}

// A file's name or content may have them, and a terminal obeys.
TEST(Log, ControlCharactersAreShownNotSent) {
    Listener listener;
    // U+009B is "ESC [" in one character.
    log_warning("file \x1b[2J\rname\x7f\u009b2J", "tabs\tand\nlines are fine, so is \u00e9");
    EXPECT_EQ(listener.heard.front(),
              "evengrad: warning: file \\x1b[2J\\x0dname\\x7f\\xc2\\x9b2J\n"
              "hint: tabs\tand\nlines are fine, so is \u00e9\n");
}

TEST(Text, OneIsNotSeveral) {
    EXPECT_EQ(counted(0, "step"), "0 steps");
    EXPECT_EQ(counted(1, "step"), "1 step");
    EXPECT_EQ(counted(2, "step"), "2 steps");
}

TEST(Log, MessagesOfThreadsComeWhole) {
    Listener listener;
    constexpr int threads = 4, messages = 500;
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t)
        all.emplace_back([t] {
            for (int m = 0; m < messages; ++m)
                log_warning(std::string(50, static_cast<char>('a' + t)));
        });
    for (std::thread& thread : all) thread.join();
    ASSERT_EQ(listener.heard.size(), static_cast<std::size_t>(threads * messages));
    for (const std::string& text : listener.heard)
        EXPECT_EQ(text, "evengrad: warning: " + std::string(50, text[19]) + "\n");
}

TEST(Log, StandardErrorUnlessASinkIsSet) {
    testing::internal::CaptureStderr();
    log_warning("first");
    {
        Listener listener;
        log_warning("elsewhere");
    }
    log_warning("second");
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "evengrad: warning: first\nevengrad: warning: second\n");
}

TEST(Log, TheLastErrorIsSaidPastAThreadThatIsStuckInAMessage) {
    testing::internal::CaptureStderr();
    const LogSink before = set_log_sink(
        [](const std::string&) { log_last_error("a disk\x1b doesn't answer", "ask it"); });
    log_warning("held up");
    set_log_sink(before);
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "evengrad: error: a disk\\x1b doesn't answer\nhint: ask it\n");
}

}  // namespace
}  // namespace evengrad
