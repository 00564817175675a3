// metrics.jsonl: one line a step, also after a full disk, a resume, or damage.
#include "report/metrics_file.hpp"

#include <nlohmann/json.hpp>

#include "base/heard.hpp"
#include "hdf5/file_limit.hpp"
#include "hdf5/scratch_folder.hpp"
#include "report/idle_run.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

using nlohmann::json;
using namespace test;

std::vector<json> metrics_in(const ScratchFolder& folder) {
    std::vector<json> all;
    for (const std::string& line : lines_of(test::bytes_of(folder / "metrics.jsonl")))
        all.push_back(json::parse(line));
    return all;
}

TEST(MetricsFile, R9OneObjectAStepAndNoLossIsNull) {
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
                            "clipped_grad_norm", "lr", "recomputed", "seconds", "busy", "idle"})
        EXPECT_TRUE(all[0].contains(key)) << key;
    EXPECT_TRUE(all[1].at("loss").is_null());
    EXPECT_EQ(all[2], (json{{"step", 2},
                            {"valid_loss", 1.25},
                            {"valid_loss_tokens", 7},
                            {"valid_accuracy", 0.0},
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

/// A run of 6 steps whose history knows them, with an evaluation every third.
class DamagedMetrics : public testing::Test {
  protected:
    DamagedMetrics() {
        TrainingHistory& h = run_.history();
        MetricsFile metrics;
        metrics.on_start(run_.start(1, folder_.path()));
        for (std::int64_t s = 1; s <= 6; ++s) {
            metrics.on_step(step(s, 1.0 / static_cast<double>(s)));
            h.step.push_back(s);
            h.loss.push_back(1.0 / static_cast<double>(s));
            for (auto* curve : {&h.grad_norm, &h.clipped_grad_norm, &h.lr, &h.tokens_per_second,
                                &h.gradient_signal, &h.gradient_noise, &h.noise_scale})
                curve->push_back(0.25);
            h.noise_scale_error.push_back(std::nan(""));
            h.skipped.push_back(s == 2);
            h.loss_tokens.push_back(40);
            if (s % 3 != 0) continue;
            metrics.on_evaluation(s, evaluation(7, 1.5));
            h.validation_step.push_back(s);
            h.validation_loss.push_back(1.5);
        }
        lines_ = lines_of(test::bytes_of(file_));
    }

    /// What is said when the run goes on from step 5 with these lines.
    std::string said_of(const std::vector<std::string>& lines) {
        std::string text;
        for (const std::string& line : lines) text += line + '\n';
        test::write_bytes(file_, text);
        const Heard heard;
        MetricsFile().on_start(run_.start(6, folder_.path(), folder_ / "step-00000005.h5"));
        return heard.text();
    }
    /// "1 2 3 v3 4 5", with a dot behind what has no times
    std::string kept() const {
        std::string text;
        for (const json& line : metrics_in(folder_)) {
            const bool evaluation = line.contains("valid_loss");
            EXPECT_TRUE(evaluation || line.at("loss") == 1.0 / line.at("step").get<double>());
            EXPECT_TRUE(!evaluation || line.at("valid_loss") == 1.5);
            text += fmt::format("{}{}{}{}", text.empty() ? "" : " ", evaluation ? "v" : "",
                                line.at("step").get<int>(),
                                evaluation || line.contains("seconds") ? "" : ".");
        }
        return text;
    }

    IdleRun run_{9};
    ScratchFolder folder_;
    std::filesystem::path file_ = folder_ / "metrics.jsonl";
    std::vector<std::string> lines_;  ///< 1 2 3 v3 4 5 6 v6
};

TEST_F(DamagedMetrics, WhatIsAsItShouldBeIsOnlyCutBack) {
    EXPECT_EQ(said_of(lines_), "");
    EXPECT_EQ(kept(), "1 2 3 v3 4 5");
    // The run came here from another folder.
    EXPECT_EQ(said_of({lines_.begin() + 4, lines_.end()}), "");
    EXPECT_EQ(kept(), "4 5");
}

TEST_F(DamagedMetrics, ABrokenLineIsNamedAndMadeFromTheHistory) {
    lines_[1] = R"({"step":2,"los)";
    EXPECT_TRUE(contains(
        said_of(lines_),
        {"warning: ", "metrics.jsonl line 2: not a line of metrics", "written anew up to step 5",
         "what it lacked of step 2 was made from the checkpoint's curves"}));
    EXPECT_EQ(kept(), "1 2. 3 v3 4 5");
    const json made = metrics_in(folder_)[1];
    EXPECT_EQ(made.at("skipped"), true);
    EXPECT_EQ(made.at("noise_scale"), 0.25);
    EXPECT_TRUE(made.at("noise_scale_error").is_null());
    EXPECT_EQ(said_of(lines_of(test::bytes_of(file_))), "") << "once is enough";
}

TEST_F(DamagedMetrics, LinesTwiceOrOutOfOrderAreThereOnce) {
    lines_.insert(lines_.begin() + 3, lines_[0]);
    EXPECT_TRUE(contains(said_of(lines_), {"metrics.jsonl line 4: step 1 comes twice"}));
    EXPECT_EQ(kept(), "1 2 3 v3 4 5");
    lines_.erase(lines_.begin() + 3);
    std::swap(lines_[0], lines_[1]);
    std::swap(lines_[4], lines_[7]);
    EXPECT_TRUE(contains(said_of(lines_), {"metrics.jsonl line 2: step 1 comes after step 2"}));
    EXPECT_EQ(kept(), "1 2 3 v3 4 5");
}

TEST_F(DamagedMetrics, MissingLinesAreMadeAsFarAsTheyAreKnown) {
    const std::vector<std::string> few{lines_[0], lines_[4]};
    EXPECT_TRUE(
        contains(said_of(few), {"metrics.jsonl lacks lines", "lacked of steps 2 to 3, 5 was"}));
    EXPECT_EQ(kept(), "1 2. 3. v3 4 5.");
    std::filesystem::remove(file_);
    const auto go_on = [&] {
        const Heard heard;
        MetricsFile().on_start(run_.start(6, folder_.path(), folder_ / "step-00000005.h5"));
        return heard.text();
    };
    EXPECT_TRUE(contains(go_on(), {"metrics.jsonl is missing", "lacked of steps 1 to 5 was"}));
    EXPECT_EQ(kept(), "1. 2. 3. v3 4. 5.");
    run_.history() = {};
    EXPECT_TRUE(contains(said_of(few), {"lacks lines", "of steps 2 to 3, 5 nothing is known"}));
    EXPECT_EQ(kept(), "1 4");
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
