#include "report/progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include <unistd.h>

#include "base/text.hpp"
#include "report/work_bar.hpp"
#include "train/state.hpp"
#include <evengrad/error.hpp>
#include <evengrad/version.hpp>

namespace evengrad {

namespace {

constexpr std::size_t recent_steps = 20;

}  // namespace

bool output_is_terminal() {
    if (!isatty(STDOUT_FILENO)) return false;
    if (!std::getenv("OMPI_COMM_WORLD_RANK")) return true;
    char target[256];
    const std::string link = fmt::format("/proc/{}/fd/1", getppid());
    const ssize_t length = readlink(link.c_str(), target, sizeof target);
    const std::string_view name(target, length > 0 ? static_cast<std::size_t>(length) : 0);
    return name.starts_with("/dev/pts/") || name.starts_with("/dev/tty");
}

std::string format_bytes(double bytes) {
    constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB"};
    std::size_t unit = 0;
    while (bytes >= 999.5 && unit < 4) {
        bytes /= 1000.0;
        ++unit;
    }
    return fmt::format("{:.3g} {}", bytes, units[unit]);
}

std::string format_optional(const std::optional<double>& value) {
    return value ? fmt::format("{:.4f}", *value) : "-";
}

std::string format_duration(double seconds) {
    if (!(seconds >= 0.0 && seconds < 1e9)) return "-";
    const auto whole = static_cast<std::int64_t>(std::llround(seconds));
    if (whole >= 3600)
        return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
    return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string step_line(const StepRecord& record, std::int64_t train_iters, double tokens_per_second,
                      const char* unit, double seconds_left) {
    const std::string loss = record.loss ? fmt::format("{:.4f}", *record.loss) : "none";
    return fmt::format(
        "step {}/{}  loss {}  grad norm {:.3g}  lr {:.2e}  {:.0f} {}/s  busy "
        "{:.0f}/{:.0f}/{:.0f} %  left {}{}{}",
        record.step, train_iters, loss, record.grad_norm, record.lr, tokens_per_second, unit,
        100 * record.busy[0], 100 * record.busy[1], 100 * record.busy[2],
        format_duration(seconds_left), record.recomputed ? "  (computed twice: new quanta)" : "",
        record.skipped ? "  (update left out)" : "");
}

std::string step_details(const StepRecord& record) {
    std::string text = fmt::format(
        "step {}: {} sequences, {} positions, {} loss tokens in {} micro-batches; s:", record.step,
        record.sequences, record.tokens, record.loss_tokens, record.micro_batches);
    for (std::size_t p = 0; p < phase_count; ++p)
        text += fmt::format(" {} {:.4f}", phase_names[p], record.phases[p]);
    return text;
}

std::string machine_lines(const MachineSummary& machine) {
    std::string text = fmt::format(
        "evengrad {}: {} on {}, {}\n"
        "CPU      {}, {} allowed to rank 0\n"
        "BLAS     {}{}{}, {} a rank\n",
        version, counted(machine.ranks, "rank"), counted(machine.nodes, "node"), machine.mpi,
        machine.cpu, counted(machine.cores_allowed, "core"), machine.blas,
        machine.blas_kernel.empty() ? "" : ", ", machine.blas_kernel,
        counted(machine.blas_threads, "thread"));
    if (!machine.hint.empty()) text += "hint     " + machine.hint + "\n";
    return text;
}

Progress::Progress(std::FILE* out, bool terminal, std::int64_t log_interval, MachineSummary machine)
    : lines_(out),
      terminal_(terminal),
      log_interval_(std::max<std::int64_t>(1, log_interval)),
      machine_(std::move(machine)) {}

void Progress::on_start(const RunStart& start) {
    const Trainer& trainer = start.trainer;
    const TrainConfig& config = trainer.config();
    const auto memory = trainer.memory();
    train_iters_ = config.schedule.train_iters;
    is_mlp_ = config.model.is_mlp();
    skipped_ = std::accumulate(start.history.skipped.begin(), start.history.skipped.end(),
                               std::int64_t{0});
    first_step_ = start.first_step;
    begin_ = monotonic_seconds();
    std::string text = machine_lines(machine_);
    text += fmt::format(
        "model    {}: {} parameters\n"
        "memory   a node: weights {}, gradient sums {}, moments {}; a rank: about {} of scratch; "
        "rank 0: {} to save from\n"
        "data     {} ({} an epoch), held out {}\n"
        "saving   {}",
        describe(config.model), trainer.parameters().parameter_count(),
        format_bytes(static_cast<double>(memory.weights)),
        format_bytes(static_cast<double>(memory.sums)),
        format_bytes(static_cast<double>(memory.moments)),
        format_bytes(static_cast<double>(memory.scratch_per_rank)),
        format_bytes(static_cast<double>(memory.snapshot)),
        is_mlp_ ? counted(start.sequences, "row")
                : fmt::format("{} tokens in {}", start.train_tokens,
                              counted(start.sequences, "sequence")),
        counted(start.steps_per_epoch, "step"),
        is_mlp_ ? counted(start.valid_tokens / 2, "row")
                : fmt::format("{} tokens", start.valid_tokens),
        start.save_dir.string());
    if (!trainer.ranks_compute_alike())
        text +=
            "\nnote     the ranks' processors differ: results aren't bit-identical to other "
            "layouts";
    if (!start.resumed_from.empty())
        text += fmt::format("\nresumed  {}, next is step {}", start.resumed_from.string(),
                            start.first_step);
    lines_.print(printable(text));
}

void Progress::on_step(const StepRecord& record) {
    recent_.emplace_back(record.seconds, static_cast<double>(record.tokens));
    if (recent_.size() > recent_steps) recent_.pop_front();
    double seconds = 0.0, tokens = 0.0;
    for (const auto& [s, t] : recent_) {
        seconds += s;
        tokens += t;
    }
    skipped_ += record.skipped;
    const double left = static_cast<double>(train_iters_ - record.step) * seconds /
                        static_cast<double>(recent_.size());
    const std::string text =
        step_line(record, train_iters_, tokens / seconds, is_mlp_ ? "rows" : "tokens", left);
    const bool last = record.step == train_iters_;
    if (logs(LogLevel::debug)) log_debug("{}", step_details(record));
    if (!terminal_) {
        if (record.step % log_interval_ == 0 || record.step == 1 || last) lines_.print(text);
        return;
    }
    const double now = monotonic_seconds();
    if (now - last_drawn_ < redraw_seconds && !last) return;
    last_drawn_ = now;
    lines_.draw(text);
}

void Progress::on_evaluation(std::int64_t step, const Evaluation& evaluation) {
    const auto loss = evaluation.total.loss();
    const std::string number = loss ? fmt::format("{:.4f}", *loss) : "none";
    if (!is_mlp_) {
        lines_.print(fmt::format("step {}: held-out loss {} nats per token, over {}", step, number,
                                 counted(evaluation.total.loss_tokens, "loss token")));
        return;
    }
    const auto accuracy = evaluation.total.accuracy();
    lines_.print(fmt::format("step {}: held-out loss {}{}, over {}", step, number,
                             accuracy ? fmt::format(", accuracy {:.2f} %", 100.0 * *accuracy) : "",
                             counted(evaluation.total.loss_tokens, "row")));
}

void Progress::on_checkpoint(std::int64_t, const std::filesystem::path& file) {
    lines_.print(fmt::format("saved {}", file.string()));
}

void Progress::on_end(std::int64_t steps) {
    lines_.finish();
    if (steps < first_step_) return;  // the loop has said that nothing was left to do
    lines_.print(fmt::format("{}: step {} of {}, {}{}", steps == train_iters_ ? "done" : "ended",
                             steps, train_iters_, format_duration(monotonic_seconds() - begin_),
                             skipped_ > 0 ? "; " + counted(skipped_, "update") + " left out" : ""));
}

}  // namespace evengrad
