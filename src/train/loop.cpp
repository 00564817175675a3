#include <cmath>
#include <limits>

#include "hdf5/publish.hpp"
#include "train/resume_check.hpp"
#include "train/state.hpp"
#include <evengrad/loop.hpp>

namespace evengrad {

namespace fs = std::filesystem;

namespace {

void append(TrainingHistory& history, const StepRecord& record) {
    history.step.push_back(record.step);
    history.loss.push_back(record.loss.value_or(std::numeric_limits<double>::quiet_NaN()));
    history.grad_norm.push_back(record.grad_norm);
    history.clipped_grad_norm.push_back(record.clipped_grad_norm);
    history.lr.push_back(record.lr);
    history.loss_tokens.push_back(record.loss_tokens);
    history.tokens_per_second.push_back(static_cast<double>(record.tokens) / record.seconds);
}

bool is_run_file(const fs::path& path) {
    const std::string name = path.filename().string();
    return name == "latest" || name == "latest.tmp" || name == "metrics.jsonl" ||
           name == "metrics.jsonl.tmp" ||
           (name.rfind("step-", 0) == 0 &&
            (path.extension() == ".h5" || path.extension() == ".tmp"));
}

/// A new run gets a folder without another run's files; one that is resumed in place goes on there.
void prepare_folder(const LoopConfig& config) {
    std::error_code failed;
    fs::create_directories(config.save_dir, failed);
    if (failed)
        throw Error(fmt::format("--save {}: the folder can't be made: {}", config.save_dir.string(),
                                failed.message()));
    if (!config.resume.empty() &&
        find_checkpoint(config.resume).parent_path() == fs::canonical(config.save_dir))
        return;
    for (const auto& entry : fs::directory_iterator(config.save_dir)) {
        if (!is_run_file(entry.path())) continue;
        if (!config.overwrite)
            throw Error(
                fmt::format("--save {}: the folder holds an earlier run ({})",
                            config.save_dir.string(), entry.path().filename().string()),
                "--resume goes on with it, --overwrite replaces it, or name another folder");
        fs::remove(entry.path());
    }
}

}  // namespace

void restore(Trainer& trainer, const fs::path& checkpoint, TrainingHistory& history,
             const std::vector<std::string>& overrides) {
    Trainer::State& s = trainer.state();
    const Communicator& world = s.topology.world();
    CheckpointState state;
    fs::path file;
    if (s.is_root()) {
        file = find_checkpoint(checkpoint);
        const CheckpointInfo info = read_checkpoint_info(file);
        check_resume(info, s.config, s.checkpoint_state(), overrides);
        if (info.state.step > s.config.schedule.train_iters)
            throw Error(
                fmt::format("--resume {}: the checkpoint is at step {}, beyond --train-iters "
                            "{}",
                            file.string(), info.state.step, s.config.schedule.train_iters),
                "give the number of steps of the whole run");
        state = info.state;
        history = info.history;
    }
    std::array<std::int64_t, 2> numbers{state.step, state.updates};
    world.broadcast(std::span<std::int64_t>(numbers), 0);
    world.broadcast_resized(state.quantum_exponents, 0);
    s.steps_done = numbers[0];
    s.updates_done = numbers[1];
    s.quanta.restore(state.quantum_exponents);
    load_tensors(file, s.tensors());
    s.share_weights_from_root();
}

fs::path save(Trainer& trainer, const fs::path& save_dir, const TrainingHistory& history,
              const std::string& options) {
    Trainer::State& s = trainer.state();
    CheckpointState state = s.checkpoint_state();
    const std::string name = fmt::format("step-{:08}.h5", state.step);
    state.options = options;
    save_checkpoint(save_dir / name, s.tensors(), s.config.model, state, history);
    if (s.is_root()) hdf5::replace_link(save_dir, "latest", name);
    return save_dir / name;
}

void run_training(Trainer& trainer, const LoopConfig& config, const Dataset* valid,
                  const std::vector<Observer*>& observers) {
    Trainer::State& s = trainer.state();
    const bool root = s.is_root();
    const auto tell = [&](auto&& event) {
        if (root)
            for (Observer* observer : observers) event(*observer);
    };
    if (root) prepare_folder(config);
    TrainingHistory history;
    if (!config.resume.empty()) restore(trainer, config.resume, history, config.overrides);

    // Rank 0 alone has data; whether there is any to evaluate on, all must know.
    std::int64_t evaluates = valid != nullptr;
    s.topology.world().broadcast(std::span(&evaluates, 1), 0);
    const std::int64_t last = s.config.schedule.train_iters;
    if (root) {
        const RunStart start{trainer,
                             history,
                             s.steps_done + 1,
                             s.planner->sequences().size(),
                             s.planner->steps_per_epoch(),
                             s.data->tokens(),
                             valid ? valid->tokens() : 0,
                             config.save_dir,
                             config.resume.empty() ? fs::path() : find_checkpoint(config.resume)};
        tell([&](Observer& observer) { observer.on_start(start); });
    }
    const auto due = [&](std::int64_t interval) {
        return s.steps_done == last || (interval > 0 && s.steps_done % interval == 0);
    };
    while (s.steps_done < last) {
        const StepRecord record = trainer.step();
        append(history, record);
        tell([&](Observer& observer) { observer.on_step(record); });
        if (evaluates && due(config.eval_interval)) {
            const Evaluation evaluation = trainer.evaluate(valid);
            history.validation_step.push_back(s.steps_done);
            history.validation_loss.push_back(evaluation.loss);
            tell([&](Observer& o) { o.on_evaluation(s.steps_done, evaluation); });
        }
        if (due(config.save_interval)) {
            const fs::path file = save(trainer, config.save_dir, history, config.options);
            tell([&](Observer& observer) { observer.on_checkpoint(s.steps_done, file); });
        }
    }
    tell([&](Observer& observer) { observer.on_end(s.steps_done); });
}

}  // namespace evengrad
