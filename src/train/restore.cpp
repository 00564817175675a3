// A trainer's state, to and from a checkpoint.
#include "base/log.hpp"
#include "base/replace.hpp"
#include "checkpoint/folder.hpp"
#include "train/resume_check.hpp"
#include "train/state.hpp"
#include <evengrad/loop.hpp>

namespace evengrad {

namespace fs = std::filesystem;

fs::path restore(Trainer& trainer, const fs::path& checkpoint, TrainingHistory& history,
                 const std::vector<std::string>& overrides) {
    Trainer::State& s = trainer.state();
    const Communicator& world = s.topology.world();
    CheckpointState state;
    fs::path file;
    if (s.is_root()) {
        const CheckpointInfo info = open_checkpoint(checkpoint, log_warning);
        file = info.path;
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
    std::vector<double> recent = RecentSteps(history).numbers();  // rank 0's
    world.broadcast_resized(recent, 0);
    s.recent = RecentSteps(recent);
    load_tensors(file, s.tensors());
    s.share_weights_from_root();
    return file;
}

void take_snapshot(Trainer::State& s, const TrainingHistory& history, const std::string& options,
                   Snapshot* snapshot) {
    gather_tensors(s.tensors(), snapshot);
    if (!snapshot) return;
    snapshot->model = s.config.model;
    snapshot->optimizer = s.config.optimizer.kind;
    snapshot->state = s.checkpoint_state();
    snapshot->state.options = options;
    snapshot->history = history;
}

fs::path save(Trainer& trainer, const fs::path& save_dir, const TrainingHistory& history,
              const std::string& options) {
    Trainer::State& s = trainer.state();
    std::optional<Snapshot> snapshot;
    if (s.is_root()) snapshot.emplace(s.table, s.optimizer.moments());
    take_snapshot(s, history, options, snapshot ? &*snapshot : nullptr);
    const std::string name = checkpoint_name(s.steps_done);
    if (snapshot) {
        write_checkpoint(save_dir / name, *snapshot);
        replace_link(save_dir, "latest", name);
    }
    return save_dir / name;
}

}  // namespace evengrad
