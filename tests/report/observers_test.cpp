// The observers of a run, told of steps by hand.
#include <algorithm>
#include <optional>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/heard.hpp"
#include "hdf5/file_limit.hpp"
#include "hdf5/scratch_folder.hpp"
#include "mpi_main.hpp"
#include "report/metrics_file.hpp"
#include "report/progress.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

using nlohmann::json;
using test::contains;
using test::FileLimit;
using test::Heard;
using test::ScratchFolder;

/// A trainer that never trains: the banner asks it what it is.
class IdleRun {
  public:
    explicit IdleRun(std::int64_t train_iters) {
        TrainConfig config;
        config.model.num_layers = 1;
        config.model.hidden_size = 16;
        config.model.num_attention_heads = 2;
        config.model.seq_length = 16;
        config.plan.seq_length = 16;
        config.schedule.train_iters = train_iters;
        const std::int32_t end = TokenizerSpec().end_of_text;
        data_ = Dataset(Documents{.source = "two letters",
                                  .tokens = {end, 65, 66, end},
                                  .weights = {0, 1, 1, 1},
                                  .offsets = {0, 4},
                                  .lines = {1}});
        trainer_.emplace(test::world(), config, &data_);
    }

    RunStart start(std::int64_t first_step, const std::filesystem::path& save_dir,
                   const std::filesystem::path& resumed_from = {}) const {
        return {*trainer_, history_, first_step, 17, 5, 4321, 99, save_dir, resumed_from};
    }

  private:
    Dataset data_;
    TrainingHistory history_;
    std::optional<Trainer> trainer_;
};

Evaluation evaluation(std::int64_t loss_tokens, double loss) {
    Evaluation result;
    result.total.loss_tokens = loss_tokens;
    result.total.weight = static_cast<double>(loss_tokens);
    result.total.nats = loss * result.total.weight;
    return result;
}

StepRecord step(std::int64_t number, double loss = 1.0) {
    StepRecord record;
    record.step = number;
    record.loss = loss;
    record.loss_tokens = 40;
    record.tokens = 50;
    record.seconds = 0.5;
    return record;
}

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

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

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
               "saving   there", "100 tokens/s", "left 0:12", "left 0:00", "done: 25 steps"}));
    EXPECT_EQ(text.find("resumed"), std::string::npos);
}

TEST(Progress, SaysWhereAResumedRunGoesOn) {
    const IdleRun run(25);
    const Paper paper;
    Progress progress(paper.file(), false, 10, MachineSummary{});
    progress.on_start(run.start(11, "there", "there/step-00000010.h5"));
    EXPECT_TRUE(contains(paper.text(), {"resumed  there/step-00000010.h5, next is step 11"}));
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
    EXPECT_EQ(lines[0], "step 1: held-out loss 2.5000 nats per token, over 77 tokens");
    EXPECT_EQ(lines[1], "saved there/step-00000002.h5");
    EXPECT_TRUE(lines[2].starts_with("step 3/3")) << lines[2];  // the last step is always drawn
    EXPECT_TRUE(lines[3].starts_with("done: 3 steps")) << lines[3];
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
    const std::string line = step_line(step(1), 0, 100.0, -0.5).substr(0, 119);
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

std::vector<json> metrics_in(const ScratchFolder& folder) {
    std::vector<json> all;
    for (const std::string& line : lines_of(test::bytes_of(folder / "metrics.jsonl")))
        all.push_back(json::parse(line));
    return all;
}

TEST(MetricsFile, OneObjectAStepAndNoLossIsNull) {
    const IdleRun run(3);
    const ScratchFolder folder;
    {
        MetricsFile metrics;
        metrics.on_start(run.start(1, folder.path()));
        metrics.on_step(step(1, 0.1));
        StepRecord masked = step(2);  // R9
        masked.loss.reset();
        masked.loss_tokens = 0;
        metrics.on_step(masked);
        metrics.on_evaluation(2, evaluation(7, 1.25));
    }
    const auto all = metrics_in(folder);
    ASSERT_EQ(all.size(), 3u);
    EXPECT_EQ(all[0].at("step"), 1);
    EXPECT_EQ(all[0].at("loss").get<double>(), 0.1);  // every digit
    EXPECT_EQ(all[0].at("loss_tokens"), 40);
    EXPECT_EQ(all[0].at("tokens_per_second"), 100.0);
    for (const char* key : {"epoch", "tokens", "sequences", "micro_batches", "grad_norm",
                            "clipped_grad_norm", "lr", "recomputed", "seconds", "busy"})
        EXPECT_TRUE(all[0].contains(key)) << key;
    EXPECT_TRUE(all[1].at("loss").is_null());
    EXPECT_EQ(all[2], (json{{"step", 2},
                            {"valid_loss", 1.25},
                            {"valid_loss_tokens", 7},
                            {"valid_bits_per_byte", nullptr}}));
}

TEST(MetricsFile, ResumingCutsBackToTheCheckpoint) {
    const IdleRun run(9);
    const ScratchFolder folder;
    {
        MetricsFile metrics;
        metrics.on_start(run.start(1, folder.path()));
        for (std::int64_t s = 1; s <= 6; ++s) {
            metrics.on_step(step(s));
            if (s % 2 == 0) metrics.on_evaluation(s, evaluation(7, 1.0));
        }
    }
    // A line that was cut off in the middle, as by a full disk or a lost machine.
    const std::string kept = test::bytes_of(folder / "metrics.jsonl");
    test::write_bytes(folder / "metrics.jsonl", kept + R"({"step":4,"epo)");
    {
        MetricsFile metrics;
        metrics.on_start(run.start(5, folder.path(), folder / "step-00000004.h5"));
        metrics.on_step(step(5, 9.0));
    }
    std::vector<std::int64_t> steps, evaluations;
    for (const json& line : metrics_in(folder))
        (line.contains("loss") ? steps : evaluations).push_back(line.at("step"));
    EXPECT_EQ(steps, (std::vector<std::int64_t>{1, 2, 3, 4, 5}));
    EXPECT_EQ(evaluations, (std::vector<std::int64_t>{2, 4}));
    EXPECT_EQ(metrics_in(folder).back().at("loss"), 9.0);
    EXPECT_FALSE(std::filesystem::exists(folder / "metrics.jsonl.tmp"));
}

TEST(MetricsFile, ARunResumedIntoAnEmptyFolderStartsAFile) {
    const IdleRun run(9);
    const ScratchFolder folder;
    MetricsFile metrics;
    metrics.on_start(run.start(5, folder.path(), "elsewhere/step-00000004.h5"));
    metrics.on_step(step(5));
    ASSERT_EQ(metrics_in(folder).size(), 1u);
}

TEST(MetricsFile, AFullDiskIsAWarningAndNoLineIsLost) {
    const IdleRun run(9);
    const ScratchFolder folder;
    const Heard heard;
    MetricsFile metrics;
    metrics.on_start(run.start(1, folder.path()));
    metrics.on_step(step(1));
    {
        const FileLimit full(std::filesystem::file_size(folder / "metrics.jsonl") + 50);
        for (std::int64_t s = 2; s <= 5; ++s) metrics.on_step(step(s));
        EXPECT_TRUE(contains(heard.text(), {"warning", "metrics.jsonl: can't be written",
                                            "File too large", "free some disk space"}));
        EXPECT_EQ(heard.text().find("warning"), heard.text().rfind("warning")) << "said once";
        EXPECT_TRUE(contains(test::message_of<Error>([&] { metrics.on_end(5); }),
                             {"metrics.jsonl: the last 4 lines", "File too large"}));
    }
    metrics.on_evaluation(5, evaluation(7, 1.0));
    metrics.on_step(step(6));
    EXPECT_NO_THROW(metrics.on_end(6));
    std::vector<std::int64_t> steps;
    for (const json& line : metrics_in(folder)) steps.push_back(line.at("step"));
    EXPECT_EQ(steps, (std::vector<std::int64_t>{1, 2, 3, 4, 5, 5, 6}));
    {
        const FileLimit full(100);
        metrics.on_step(step(7));
    }
    EXPECT_NE(heard.text().find("warning"), heard.text().rfind("warning")) << "again, said again";
}

TEST(MetricsFile, SaysWhereItCannotWrite) {
    const IdleRun run(9);
    const ScratchFolder folder;
    MetricsFile metrics;
    const std::string message =
        test::message_of<Error>([&] { metrics.on_start(run.start(1, folder / "missing")); });
    EXPECT_TRUE(contains(message, {"missing/metrics.jsonl", "No such file"}));
}

}  // namespace
}  // namespace evengrad
