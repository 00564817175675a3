#include <algorithm>
#include <cmath>
#include <limits>

#include "base/log.hpp"
#include "base/replace.hpp"
#include "base/text.hpp"
#include "checkpoint/folder.hpp"
#include "checkpoint/gradient_file.hpp"
#include "checkpoint/writer.hpp"
#include "gradient/probe.hpp"
#include "train/evaluation.hpp"
#include "train/spike.hpp"
#include "train/state.hpp"
#include "train/stop.hpp"
#include "train/watchdog.hpp"
#include <evengrad/loop.hpp>

namespace evengrad {

namespace fs = std::filesystem;

namespace {

void append(LedgerPart& ledger, const StepRecord& record, const Ledger& rows) {
    ledger.steps.push_back(
        {record.step, record.micro_batches, record.loss_tokens, record.denominator,
         record.loss.value_or(std::numeric_limits<double>::quiet_NaN()), record.grad_norm,
         record.clipped_grad_norm, record.lr, record.rounding, record.probe, record.checksum,
         static_cast<std::uint8_t>(record.updated)});
    std::int64_t micro_batch = 0;
    for (const LedgerRow& row : rows.rows())
        ledger.records.push_back({record.step, micro_batch++, row.loss, row.weight,
                                  row.squared_weight, row.tokens, row.sequences, row.loss_sequences,
                                  row.squared_norm, row.probe, row.checksum, row.rank,
                                  static_cast<double>(row.nanoseconds) * 1e-9});
}

/// Whether a run goes on in the folder where it was.
bool resumes_in_place(const LoopConfig& config) {
    if (config.resume.empty()) return false;
    std::error_code failed;
    const fs::path folder = fs::is_directory(config.resume)
                                ? config.resume
                                : find_checkpoint(config.resume).parent_path();
    return fs::equivalent(folder, config.save_dir, failed);
}

/// One run, from its start or a checkpoint on.
class Run {
  public:
    Run(Trainer& trainer, const LoopConfig& config, const Dataset* valid,
        const std::vector<Observer*>& observers)
        : trainer_(trainer),
          s_(trainer.state()),
          config_(config),
          valid_(valid),
          observers_(observers),
          stop_(s_.topology.world(), config.exit_duration_in_mins) {}

    RunEnd run();

  private:
    void begin();
    void point_latest_to(const fs::path& file);
    void begin_ledger(const fs::path& resumed_from, LedgerPart& ledger);
    void write_full_ledger();
    void announce(const fs::path& resumed_from);
    void begin_evaluations();
    void judge();
    std::int64_t most_sequences() const {
        return config_.eval_iters * s_.config.plan.global_batch_size;
    }
    bool due(std::int64_t interval) const {
        return s_.steps_done == last_ || (interval > 0 && s_.steps_done % interval == 0);
    }
    void evaluate();
    void watch();
    std::optional<SaveResult> await_writer();
    void save_gradient(const StepRecord& record);
    void save();
    void report(const std::optional<SaveResult>& result);
    void finish();
    void explain_end(std::int64_t steps_now) const;

    template <class Event>
    void tell(Event&& event) {
        if (s_.is_root())
            for (Observer* observer : observers_) event(*observer);
    }

    Trainer& trainer_;
    Trainer::State& s_;
    const LoopConfig& config_;
    const Dataset* valid_;
    const std::vector<Observer*>& observers_;
    StopRule stop_;
    const std::int64_t last_ = s_.config.schedule.train_iters;
    bool evaluates_ = false;
    bool is_best_ = false, stops_early_ = false;  ///< what the last evaluation means
    TrainingHistory history_;                     ///< rank 0
    LedgerPart ledger_;                           ///< rank 0: of the steps since the last snapshot
    std::optional<FolderLock> lock_;              ///< rank 0
    std::optional<CheckpointWriter> writer_;      ///< rank 0
    std::optional<Watchdog> watchdog_;
    SaveResult saved_;  ///< rank 0: of the last save that has ended
    double save_seconds_ = 0.0;
};

void Run::begin() {
    if (s_.is_root() && s_.config.schedule.decay == LrDecay::reduce_on_plateau &&
        (!valid_ || config_.eval_interval < 1))
        throw UsageError(
            "the schedule reduce-on-plateau follows held-out losses, and there are none",
            "give held-out data and --eval-interval, or another --lr-decay-style");
    if (s_.is_root() && valid_) check_evaluation_data(*valid_, s_.config.model);
    const bool in_place = s_.is_root() && resumes_in_place(config_);
    std::optional<Snapshot> snapshot;
    if (s_.is_root()) {
        if (in_place) lock_.emplace(config_.save_dir);
        snapshot.emplace(s_.table, s_.optimizer.moments());
    }
    if (!config_.resume.empty())
        saved_.file = restore(trainer_, config_.resume, history_, config_.overrides);
    if (in_place && config_.overwrite)
        throw Error(
            fmt::format("--resume {}: --overwrite would replace the run that it goes on with",
                        config_.resume.string()),
            "leave out --overwrite, or name another --save folder");
    // Whatever could be refused is checked by now: from here on the folder is changed.
    if (in_place) {
        remove_unfinished(config_.save_dir);
        remove_gradients_after(config_.save_dir, s_.steps_done);
        // The run's past is what led to this file, whatever came later before.
        point_latest_to(saved_.file);
    } else if (s_.is_root()) {
        make_folder(config_.save_dir);
        lock_.emplace(config_.save_dir);
        clear_for_new_run(config_.save_dir, config_.overwrite);
    }
    begin_evaluations();
    if (!s_.is_root()) return;
    begin_ledger(saved_.file, snapshot->ledger);
    announce(saved_.file);
    writer_.emplace(config_.save_dir, config_.retention, s_.steps_done, std::move(*snapshot));
}

void Run::point_latest_to(const fs::path& file) {
    std::error_code no_link;
    const fs::path target = fs::read_symlink(config_.save_dir / "latest", no_link);
    if (target != file.filename()) replace_link(config_.save_dir, "latest", file.filename());
    link_best(config_.save_dir, history_, s_.steps_done);
}

void Run::begin_ledger(const fs::path& resumed_from, LedgerPart& ledger) {
    ledger.loss_reduction = s_.config.plan.reduction.text();
    ledger.clip_grad = s_.config.optimizer.clip_grad;
    ledger.probed_elements = probed_elements(s_.table);
    if (!resumed_from.empty())
        ledger.first_step =
            continue_ledger(resumed_from.parent_path(), config_.save_dir, s_.steps_done,
                            [](const std::string& what) { log_warning(what); });
}

/// A run that saves seldom has no unbounded ledger in memory.
void Run::write_full_ledger() {
    std::int64_t is_full = writer_ && ledger_.records.size() >= most_ledger_records;
    s_.topology.world().broadcast(std::span(&is_full, 1), 0);
    if (is_full == 0) return;
    report(await_writer());
    if (!writer_) return;
    LedgerPart& ledger = writer_->snapshot().ledger;
    ledger.append(ledger_);
    try {
        write_ledger(config_.save_dir, ledger);
    } catch (const Error& error) {
        log_warning(fmt::format("the ledger up to step {} was not saved, and is kept for the next "
                                "save: {}",
                                s_.steps_done, error.what()),
                    error.hint());
    }
}

/// What evaluations look at: only losses over the same tokens can be compared.
std::string describe_evaluations(const Dataset& valid, const TrainConfig& config,
                                 std::int64_t sequences) {
    return fmt::format(
        "tokens of digest {}, {}, {} tokens at most{}", valid.digest(),
        config.plan.sequences == SequenceMode::stream ? "stream" : "documents",
        config.model.seq_length(),
        sequences > 0 ? fmt::format(", {} sequences by seed {}", sequences, config.seed) : "");
}

void Run::begin_evaluations() {
    // Rank 0 alone has data; whether there is any to evaluate on, all must know.
    std::int64_t evaluates = valid_ != nullptr;
    s_.topology.world().broadcast(std::span(&evaluates, 1), 0);
    evaluates_ = evaluates != 0;
    if (!evaluates_) return;
    if (s_.is_root()) {
        std::string set = describe_evaluations(*valid_, s_.config, most_sequences());
        if (set != history_.validation_set) {
            if (!history_.validation_step.empty())
                log_warning(
                    "evaluations look at other sequences than before: the best one and "
                    "early stopping count from here on");
            history_.validation_set = std::move(set);
            history_.validation_first = std::ssize(history_.validation_step);
        }
    }
    judge();
}

/// Rank 0, which has the history, decides for all.
void Run::judge() {
    std::array<std::int64_t, 3> verdict{
        best_evaluation(history_).step == s_.steps_done,
        stops_early(history_, config_.early_stop_patience, config_.early_stop_min_delta),
        plateau_reductions(s_.config.schedule, history_.validation_step, history_.validation_loss,
                           history_.validation_first)};
    s_.topology.world().broadcast(std::span<std::int64_t>(verdict), 0);
    is_best_ = verdict[0] != 0;
    stops_early_ = verdict[1] != 0;
    s_.lr_reductions = verdict[2];
}

void Run::announce(const fs::path& resumed_from) {
    const RunStart start{trainer_,
                         history_,
                         s_.steps_done + 1,
                         s_.planner->sequences().size(),
                         s_.planner->steps_per_epoch(),
                         s_.data->tokens(),
                         valid_ ? valid_->tokens() : 0,
                         config_.save_dir,
                         resumed_from};
    tell([&](Observer& observer) { observer.on_start(start); });
}

/// Only what the start needs time for isn't watched: it may read much data.
void Run::watch() {
    if (config_.stall_timeout == 0.0) return;
    const Communicator& world = s_.topology.world();
    watchdog_.emplace(world, world.split_shared(),
                      stall_patience(config_.stall_timeout, std::nullopt), s_.hooks.end_job);
}

/// @collective When nothing is being written any more: the result that wasn't polled. The ranks
/// that wait hear every second that rank 0's writer gets on, so that their watchdogs know.
std::optional<SaveResult> Run::await_writer() {
    begin_activity(s_.steps_done, Activity::save);
    for (std::int64_t ended = 0; ended == 0;) {
        for (const std::uint64_t before = pulse.beats; writer_;) {
            ended = writer_->ends_within(StallWatch::interval);
            if (ended != 0 || pulse.beats != before) break;
        }
        ended = ended != 0 || !writer_;
        s_.topology.world().broadcast(std::span(&ended, 1), 0);
    }
    return writer_ ? writer_->wait() : std::nullopt;
}

void Run::evaluate() {
    begin_activity(s_.steps_done, Activity::evaluate);
    const Evaluation evaluation = trainer_.evaluate(valid_, most_sequences());
    history_.validation_step.push_back(s_.steps_done);
    history_.validation_loss.push_back(
        evaluation.total.loss().value_or(std::numeric_limits<double>::quiet_NaN()));
    tell([&](Observer& observer) { observer.on_evaluation(s_.steps_done, evaluation); });
    judge();
}

/// At once, so that it is there whatever becomes of the run.
void Run::save_gradient(const StepRecord& record) {
    const auto& asked = s_.config.save_gradients;
    if (!std::binary_search(asked.begin(), asked.end(), record.step)) return;
    report(await_writer());  // HDF5 takes one thread at a time
    if (!writer_) return;
    if (record.gradient.empty()) {
        log_warning(
            fmt::format("step {} has no gradient to save: no token had a loss", record.step));
        return;
    }
    try {
        write_gradient(config_.save_dir / gradient_file_name(record.step), s_.table,
                       {record.step, record.grad_norm, record.denominator, record.gradient});
    } catch (const Error& error) {
        log_warning(
            fmt::format("the gradient of step {} was not saved: {}", record.step, error.what()),
            error.hint());
    }
}

void Run::save() {
    // The writer needs the snapshot until it is done: one that is slower than the interval is
    // waited for.
    const double begin = monotonic_seconds();
    report(await_writer());
    take_snapshot(s_, history_, config_.options, writer_ ? &writer_->snapshot() : nullptr);
    if (!writer_) return;
    writer_->snapshot().ledger.append(ledger_);
    writer_->start();
    log_debug("step {}: saving held training up for {:.3f} s", s_.steps_done,
              monotonic_seconds() - begin);
}

void Run::report(const std::optional<SaveResult>& result) {
    if (!result) return;
    saved_ = *result;
    save_seconds_ = result->seconds;
    log_debug("step {}: its checkpoint was written in {:.3f} s", result->step, result->seconds);
    if (result->saved)
        tell([&](Observer& observer) { observer.on_checkpoint(result->step, result->file); });
    if (result->problem.empty()) return;
    const std::string what = result->saved
                                 ? result->problem
                                 : fmt::format("step {} was not saved to {}: {}", result->step,
                                               result->file.string(), result->problem);
    log_warning(what, result->hint);
}

/// The last save must succeed, or what was learned since the one before is lost.
void Run::finish() {
    const std::optional<SaveResult> result = await_writer();
    if (result && !result->saved)
        throw Error(fmt::format("the run's end, step {}, was not saved to {}: {}", result->step,
                                result->file.string(), result->problem),
                    result->hint);
    report(result);
}

/// Says why a run goes no further that hasn't done all its steps now.
void Run::explain_end(std::int64_t steps_now) const {
    const std::string nothing = steps_now == 0 ? "nothing was left to do: " : "";
    if (s_.steps_done == last_) {
        if (steps_now == 0)
            log_info(nothing + fmt::format("{} is at step {} of {}", saved_.file.string(),
                                           s_.steps_done, last_),
                     "a larger --train-iters goes on; the learning rate follows it");
    } else if (stops_early_) {
        const BestEvaluation best = best_evaluation(history_);  // by however little
        const double delta = config_.early_stop_min_delta;
        const std::int64_t in_a_row = best_evaluation(history_, delta).since;
        log_info(
            fmt::format(
                "{}stopped early at step {} of {}: {} in a row brought no improvement{}; the best "
                "so far was {:.4f} nats at step {}",
                nothing, s_.steps_done, last_, counted(in_a_row, "evaluation"),
                delta > 0.0 ? fmt::format(" by more than {} nats (--early-stop-min-delta)", delta)
                            : "",
                best.loss, best.step),
            fmt::format("{} is the best checkpoint{}", (config_.save_dir / "best").string(),
                        steps_now == 0 ? "; a larger --early-stop-patience goes on" : ""));
    }
}

RunEnd Run::run() {
    begin();
    watch();
    const std::int64_t first = s_.steps_done;
    std::string stopped_by;
    while (s_.steps_done < last_ && stopped_by.empty() && !stops_early_) {
        const StepRecord record = trainer_.step();
        begin_activity(s_.steps_done, Activity::report);
        if (s_.is_root()) append(history_, record);
        if (record.spike && s_.is_root())
            log_warning(
                spike_text(record),
                record.skipped ? "" : "look at that text; --skip-on-spike leaves out such updates");
        if (writer_) append(ledger_, record, s_.ledger);
        save_gradient(record);
        tell([&](Observer& observer) { observer.on_step(record); });
        if (writer_) report(writer_->poll());
        write_full_ledger();
        is_best_ = false;
        if (evaluates_ && due(config_.eval_interval)) evaluate();
        // What comes before the last step only; an evaluation that is due isn't left out, since
        // the resumed run wouldn't make up for it.
        stopped_by = stop_.reason(record.seconds, save_seconds_);
        if (watchdog_)
            watchdog_->set_patience(stall_patience(config_.stall_timeout, stop_.median_step()));
        if (s_.steps_done == last_ || stops_early_) stopped_by.clear();
        if (due(config_.save_interval) || !stopped_by.empty() || is_best_ || stops_early_) save();
    }
    finish();
    if (s_.is_root() && stopped_by.empty()) explain_end(s_.steps_done - first);
    tell([&](Observer& observer) { observer.on_end(s_.steps_done); });
    return {s_.steps_done, stopped_by, saved_.file};
}

}  // namespace

RunEnd run_training(Trainer& trainer, const LoopConfig& config, const Dataset* valid,
                    const std::vector<Observer*>& observers) {
    return Run(trainer, config, valid, observers).run();
}

}  // namespace evengrad
