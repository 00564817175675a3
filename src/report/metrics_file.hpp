// metrics.jsonl: one JSON object per step, for tail, jq and pandas.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>

#include <evengrad/loop.hpp>

namespace evengrad {

/// Appends to save_dir/metrics.jsonl. When a run is resumed, lines after the checkpoint's step (and
/// a last line that was cut off) are removed first, so each step is there once.
class MetricsFile final : public Observer {
  public:
    void on_start(const RunStart& start) override;
    void on_step(const StepRecord& record) override;
    void on_evaluation(std::int64_t step, const Evaluation& evaluation) override;

  private:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    void write(const std::string& line);

    std::filesystem::path path_;
    std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace evengrad
