// What people see while a run goes: a banner, then a line that moves, or plain lines in a log.
#pragma once

#include <cstdio>
#include <deque>
#include <string>

#include "report/moving_line.hpp"
#include <evengrad/loop.hpp>

namespace evengrad {

/// Whether standard output ends at a terminal. Under mpirun a rank always seems to have one, so it
/// is mpirun's own that counts. @local
bool output_is_terminal();

/// "1.2 GB", "340 kB"; of a count of seconds "1:02:03", "4:05".
std::string format_bytes(double bytes);
std::string format_duration(double seconds);
std::string format_optional(const std::optional<double>& value);  ///< "2.9384", or "-"

/// One line about a step: number, loss, gradient norm, learning rate, tokens/s (or what `unit`
/// calls them), how busy ranks were (min/mean/max), time left.
std::string step_line(const StepRecord& record, std::int64_t train_iters, double tokens_per_second,
                      const char* unit, double seconds_left);

/// Sizes and seconds by phase (rank 0's), for --log-level debug.
std::string step_details(const StepRecord& record);

/// What the machine is, for the banner and bench.
struct MachineSummary {
    int ranks = 1, nodes = 1, cores_allowed = 1;
    std::string cpu, blas, blas_kernel, mpi, hint;
    int blas_threads = 1;
};
std::string machine_lines(const MachineSummary& machine);

/// On a terminal a progress line that is drawn anew; otherwise a plain line per log interval.
class Progress final : public Observer {
  public:
    Progress(std::FILE* out, bool terminal, std::int64_t log_interval, MachineSummary machine);

    void on_start(const RunStart& start) override;
    void on_step(const StepRecord& record) override;
    void on_evaluation(std::int64_t step, const Evaluation& evaluation) override;
    void on_checkpoint(std::int64_t step, const std::filesystem::path& file) override;
    void on_end(std::int64_t steps) override;

  private:
    MovingLine lines_;
    bool terminal_;
    bool is_mlp_ = false;
    std::int64_t log_interval_;
    MachineSummary machine_;
    std::int64_t train_iters_ = 0, first_step_ = 1;
    std::int64_t skipped_ = 0;                      ///< updates, of the whole run
    std::deque<std::pair<double, double>> recent_;  ///< (seconds, tokens) of the last steps
    double begin_ = 0.0, last_drawn_ = 0.0;
};

}  // namespace evengrad
