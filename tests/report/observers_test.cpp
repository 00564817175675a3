// What people see of a run, told of steps by hand.
#include <algorithm>

#include <gtest/gtest.h>

#include "hdf5/scratch_folder.hpp"
#include "report/idle_run.hpp"
#include "report/progress.hpp"

namespace evengrad {
namespace {

using namespace test;

/// A file to write to, and what was written.
class Paper {
  public:
    Paper() : file_(std::tmpfile()) {}
    ~Paper() { std::fclose(file_); }
    Paper(const Paper&) = delete;
    Paper& operator=(const Paper&) = delete;
    std::FILE* file() const { return file_; }
    std::string text() const {
        std::fflush(file_);
        std::rewind(file_);
        std::string all;
        for (int c = 0; (c = std::fgetc(file_)) != EOF;) all += static_cast<char>(c);
        return all;
    }

  private:
    std::FILE* file_;
};

/// The text as a terminal shows it: a carriage return and "erase the line" begin a line anew.
std::vector<std::string> shown(const std::string& text) {
    std::vector<std::string> lines = lines_of(text);
    for (std::string& line : lines)
        if (const auto last = line.rfind("\r\x1b[K"); last != std::string::npos)
            line.erase(0, last + 4);
    return lines;
}

TEST(Progress, InALogALinePerIntervalAndTheFirstAndTheLast) {
    const IdleRun run(25);
    const Paper paper;
    Progress progress(paper.file(), false, 10, MachineSummary{});
    progress.on_start(run.start(1, "there"));
    for (std::int64_t s = 1; s <= 25; ++s) progress.on_step(step(s));
    progress.on_end(25);
    const std::string text = paper.text();
    EXPECT_EQ(text.find('\r'), std::string::npos);
    std::vector<std::string> steps;
    for (const std::string& line : lines_of(text))
        if (line.starts_with("step ")) steps.push_back(line.substr(0, line.find(' ', 5)));
    EXPECT_EQ(steps,
              (std::vector<std::string>{"step 1/25", "step 10/25", "step 20/25", "step 25/25"}));
    EXPECT_TRUE(contains(
        text, {"4321 tokens in 17 sequences", "5 steps an epoch", "held out 99 tokens",
               "saving   there", "100 tokens/s", "left 0:12", "left 0:00", "done: step 25 of 25"}));
    EXPECT_EQ(text.find("resumed"), std::string::npos);
}

TEST(Progress, SaysWhereAResumedRunGoesOn) {
    const IdleRun run(25);
    const Paper paper;
    Progress progress(paper.file(), false, 10, MachineSummary{});
    progress.on_start(run.start(11, "there", "there/step-00000010.h5"));
    EXPECT_TRUE(contains(paper.text(), {"resumed  there/step-00000010.h5, next is step 11"}));
}

TEST(Progress, SaysOfOneThatItIsOne) {
    const IdleRun run(25);
    const Paper paper;
    Progress progress(paper.file(), false, 10, MachineSummary{});
    progress.on_start(run.start(1, "there"));
    progress.on_evaluation(1, evaluation(1, 2.5));
    EXPECT_TRUE(contains(paper.text(), {"1 layer x 16, 2 heads", "over 1 loss token\n"}));
}

TEST(Progress, ARunThatEndsEarlyIsNotDone) {
    const IdleRun run(25);
    const Paper paper;
    Progress progress(paper.file(), false, 10, MachineSummary{});
    progress.on_start(run.start(11, "there", "there/step-00000010.h5"));
    progress.on_step(step(11));
    progress.on_end(11);
    EXPECT_TRUE(contains(paper.text(), {"ended: step 11 of 25, 0:00"}));
    EXPECT_EQ(paper.text().find("done"), std::string::npos);
}

TEST(Progress, ARunThatHadNothingToDoWasNotDoneNow) {
    const IdleRun run(25);
    const Paper paper;
    Progress progress(paper.file(), false, 10, MachineSummary{});
    progress.on_start(run.start(26, "there", "there/step-00000025.h5"));
    progress.on_end(25);
    EXPECT_EQ(paper.text().find("done"), std::string::npos);
}

TEST(Progress, OnATerminalOneLineMovesAndOthersStay) {
    const IdleRun run(3);
    const Paper paper;
    Progress progress(paper.file(), true, 10, MachineSummary{});
    progress.on_start(run.start(1, "there"));
    progress.on_step(step(1));
    progress.on_evaluation(1, evaluation(77, 2.5));
    progress.on_step(step(2));
    progress.on_checkpoint(2, "there/step-00000002.h5");
    progress.on_step(step(3));
    progress.on_end(3);
    const std::string text = paper.text();
    EXPECT_NE(text.find("\r\x1b[Kstep 1/3"), std::string::npos);
    std::vector<std::string> lines = shown(text);
    lines.erase(lines.begin(), std::find_if(lines.begin(), lines.end(), [](const auto& line) {
                    return line.starts_with("step ");
                }));
    ASSERT_EQ(lines.size(), 4u);
    EXPECT_EQ(lines[0], "step 1: held-out loss 2.5000 nats per token, over 77 loss tokens");
    EXPECT_EQ(lines[1], "saved there/step-00000002.h5");
    EXPECT_TRUE(lines[2].starts_with("step 3/3")) << lines[2];  // the last step is always drawn
    EXPECT_TRUE(lines[3].starts_with("done: step 3 of 3")) << lines[3];
}

TEST(Progress, AMessageTakesTheMovingLineAwayAndBringsItBack) {
    const IdleRun run(3);
    const Paper paper;
    testing::internal::CaptureStderr();
    {
        Progress progress(paper.file(), true, 10, MachineSummary{});
        progress.on_step(step(1));
        log_warning("the disk is full");
    }
    log_warning("afterwards");
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "evengrad: warning: the disk is full\nevengrad: warning: afterwards\n");
    // Drawn, erased for the message, drawn again, left as it is at the end.
    const std::string line = step_line(step(1), 0, 100.0, "tokens", -0.5);
    EXPECT_EQ(paper.text(), "\r\x1b[K" + line + "\r\x1b[K" + line + "\n");
}

TEST(Progress, DetailsOfAStepAreForDebugging) {
    const Paper paper;
    Progress progress(paper.file(), false, 10, MachineSummary{});
    testing::internal::CaptureStderr();
    progress.on_step(step(1));
    set_log_level(LogLevel::debug);
    progress.on_step(step(2));
    set_log_level(LogLevel::info);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(contains(said, {"debug: step 2: ", "40 loss tokens", "plan 0.0000"}));
    EXPECT_EQ(said.find("step 1"), std::string::npos);
}

}  // namespace
}  // namespace evengrad
