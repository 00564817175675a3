// metrics.jsonl: one JSON object per step, for tail, jq and pandas.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include <evengrad/loop.hpp>

namespace evengrad {

/// Appends to save_dir/metrics.jsonl. When a run goes on in its folder, lines after the
/// checkpoint's step are removed first, so each step is there once (report/metrics_check.hpp).
///
/// A full disk doesn't end the run: lines that can't be written are kept and tried again with the
/// next one. Only at the run's end it is an error if some are left.
class MetricsFile final : public Observer {
  public:
    MetricsFile() = default;
    ~MetricsFile() override;
    MetricsFile(const MetricsFile&) = delete;
    MetricsFile& operator=(const MetricsFile&) = delete;

    /// @throws Error when the file can't be opened for writing.
    void on_start(const RunStart& start) override;
    void on_step(const StepRecord& record) override;
    void on_evaluation(std::int64_t step, const Evaluation& evaluation) override;
    void on_end(std::int64_t steps) override;  ///< @throws Error for lines that can't be written

  private:
    void write(const nlohmann::ordered_json& line);
    int write_out();

    std::filesystem::path path_;
    int file_ = -1;
    std::string unwritten_;
    bool warned_ = false;
};

}  // namespace evengrad
