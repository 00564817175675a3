#include <algorithm>
#include <cstdio>
#include <optional>

#include <fmt/core.h>

#include "base/cpu.hpp"
#include "base/log.hpp"
#include "commands/train_options.hpp"
#include "commands/verbs.hpp"
#include "kernels/blas.hpp"
#include "report/dry_run.hpp"
#include "report/metrics_file.hpp"
#include "train/stop.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// Says which options aren't the checkpoint's, when a run goes on from one.
class ResumeNotes final : public Observer {
  public:
    explicit ResumeNotes(const TrainOptions& options) : options_(options) {}

    void on_start(const RunStart& start) override {
        if (start.resumed_from.empty()) return;
        const auto before = read_checkpoint_info(start.resumed_from).state.options;
        const std::string changes = options_.changes_since(before);
        if (!changes.empty()) log_info("changed since the checkpoint: " + changes);
    }

  private:
    const TrainOptions& options_;
};

/// What only the options of the run that is resumed tell: initial weights can't be others than
/// those it began with, as they aren't made again; other data are told from their digest, but not
/// why.
void check_resumed_options(const TrainOptions& options, const Dataset& data) {
    CheckpointInfo info;
    try {
        info = read_checkpoint_info(find_checkpoint(options.loop.resume));
    } catch (const Error&) {
        return;  // what is missing or damaged is told, or passed over, when it is restored
    }
    if (info.state.options.empty()) return;
    TrainOptions before;
    before.parse_known(info.state.options);
    if (before.train.model.is_mlp() != options.train.model.is_mlp()) return;
    const std::string made = describe(before.train.model.init());
    const std::string asked = describe(options.train.model.init());
    if (made != asked)
        throw Error(fmt::format("--resume {}: linear layers began as {} and not as {}",
                                info.path.string(), made, asked),
                    "give the --init options of the run that is resumed");
    const auto& overrides = options.loop.overrides;
    if (before.valid_fraction != options.valid_fraction &&
        data.digest() != info.state.data_digest &&
        std::find(overrides.begin(), overrides.end(), "data") == overrides.end())
        throw Error(
            fmt::format("--resume {}: --valid-fraction is {} in the checkpoint and {} here, "
                        "which leaves other data to train on",
                        info.path.string(), before.valid_fraction, options.valid_fraction),
            "give that of the run that is resumed, or say that it may change: --override "
            "data");
}

}  // namespace

MachineSummary prepare_machine() {
    set_arithmetic_mode();
    const BlasInfo blas = use_one_blas_thread();
    MachineSummary machine;
    machine.cores_allowed = allowed_cores();
    machine.cpu = cpu_name();
    machine.blas = blas.name;
    machine.blas_kernel = blas.kernel;
    machine.blas_threads = blas.threads;
    machine.hint = blas_hint(blas);
    machine.mpi = Session::library_version();
    return machine;
}

int train_command(const Communicator& world, const Arguments& arguments) {
    // From the start: what is asked while data are read counts, too. (But what only looks ahead has
    // nothing to finish, and ends at once.)
    StopSignals signals;
    MachineSummary machine = prepare_machine();
    const bool root = world.rank() == 0;

    // Rank 0 alone reads the command line, recipe and data; the others get what it made of them.
    TrainOptions options;
    RunData data;
    if (root) {
        options.parse(arguments);
        if (options.dry_run) signals.end_at_once();
        if (options.help) {
            fmt::print("{}", options.table.help());
        } else if (options.print_config) {
            fmt::print("{}", options.table.recipe());
        } else {
            data = options.open_data();
            if (!options.loop.resume.empty()) check_resumed_options(options, data.data);
        }
    }
    if (!options.share(world, data, !options.help && !options.print_config)) return 0;

    const Dataset* valid = data.valid ? &*data.valid : nullptr;
    if (options.dry_run) {
        signals.end_at_once();
        const DryRun run =
            look_ahead(world, options.train, options.loop, root ? &data.data : nullptr, valid);
        if (root) fmt::print("{}", dry_run_text(run));
        return 0;
    }
    if (root && options.train.plan.reduction.is_mean_of_means())
        log_warning(
            fmt::format("--loss-reduction {} averages averages: how much a token weighs "
                        "depends on which others it shares a {} with, so the result depends "
                        "on how the work is cut",
                        options.train.plan.reduction.text(),
                        options.train.plan.reduction.kind == LossReduction::Kind::rank_mean
                            ? "rank"
                            : "micro-batch"),
            "it is there to be compared with; token-mean weighs every token alike");
    Trainer trainer(world, options.train, root ? &data.data : nullptr);
    machine.ranks = world.size();
    machine.nodes = trainer.node_count();
    MetricsFile metrics;
    ResumeNotes notes(options);
    std::vector<Observer*> observers{&metrics, &notes};
    std::optional<Progress> progress;
    if (root && logs(LogLevel::info))
        observers.push_back(
            &progress.emplace(stdout, output_is_terminal(), options.log_interval, machine));
    const RunEnd end = run_training(trainer, options.loop, valid, observers);
    signals.ignore_for_good();
    if (end.stopped_by.empty()) return 0;
    if (root)
        log_warning(
            fmt::format("stopped at step {} of {} by {}: saved {}", end.step,
                        options.train.schedule.train_iters, end.stopped_by, end.saved.string()),
            "go on with --resume");
    return stopped_early;
}

}  // namespace evengrad
