#include "fuzz_layout/worker.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <thread>
#include <tuple>

#include <sched.h>
#include <unistd.h>

#include "checkpoint/folder.hpp"
#include "train/state.hpp"
#include "train/stop.hpp"
#include <evengrad/error.hpp>

/// In place of the C library's: with more ranks than cores, a rank that waits in MPI (which yields,
/// and is at once ready again) keeps those from working that it waits for. Here it sleeps.
extern "C" int sched_yield() noexcept {
    const timespec moment{0, 20'000};
    nanosleep(&moment, nullptr);
    return 0;
}

namespace evengrad::fuzz {

namespace fs = std::filesystem;

namespace {

/// Writes down what a step gave.
class Witness final : public Observer {
  public:
    Witness(const fs::path& file, const Trainer& trainer)
        : trainer_(trainer), out_(std::fopen(file.c_str(), "w")) {
        if (out_ == nullptr) throw Error(file.string() + " can't be written");
    }
    ~Witness() override { std::fclose(out_); }
    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;

    void on_step(const StepRecord& record) override {
        step_ = record.step;
        note("epoch", record.epoch);
        note("sequences", record.sequences);
        note("tokens", record.tokens);
        note("loss_tokens", record.loss_tokens);
        note("micro_batches", record.micro_batches);
        for (std::size_t k = 0; k < trainer_.ledger().size(); ++k) {
            const LedgerEntry& entry = trainer_.ledger()[k];
            note(fmt::format("ledger[{}].loss", k), entry.loss);
            note(fmt::format("ledger[{}].weight", k), entry.weight);
            note(fmt::format("ledger[{}].tokens", k), entry.tokens);
            note(fmt::format("ledger[{}].squared_norm", k), entry.squared_norm);
        }
        note("loss", record.loss.value_or(-1.0));
        note("grad_norm", record.grad_norm);
        note("clipped_grad_norm", record.clipped_grad_norm);
        note("norm_score", record.norm_score.value_or(-1.0));
        note("skipped", std::int64_t{record.skipped});
        note("gradient_signal", record.gradient_signal.value_or(-1.0));
        note("gradient_noise", record.gradient_noise.value_or(-1.0));
        note("noise_scale", record.noise_scale.value_or(-1.0));
        note("noise_scale_error", record.noise_scale_error.value_or(-1.0));
        for (std::size_t i = 0; i < record.largest.size(); ++i) {
            note(fmt::format("largest[{}].micro_batch", i), record.largest[i].micro_batch);
            note(fmt::format("largest[{}].norm", i), record.largest[i].norm);
        }
        if (record.spike)
            for (const DocumentShare& share : record.spike->documents)
                note(fmt::format("spike.document[{}:{}]", share.document.part,
                                 share.document.document),
                     share.share);
        note("lr", record.lr);
        note("rounded_to_zero", record.rounded_to_zero);
        note("recomputed", std::int64_t{record.recomputed});
        std::fflush(out_);
    }

    void on_evaluation(std::int64_t step, const Evaluation& evaluation) override {
        step_ = step;
        for (std::size_t i = 0; i < evaluation.parts.size(); ++i) {
            note(fmt::format("held_out[{}].nats", i), evaluation.parts[i].nats);
            note(fmt::format("held_out[{}].weight", i), evaluation.parts[i].weight);
        }
        note("held_out.nats", evaluation.total.nats);
        note("held_out.loss_tokens", evaluation.total.loss_tokens);
        std::fflush(out_);
    }

  private:
    void note(const std::string& name, std::int64_t value) {
        fmt::print(out_, "{} {} {}\n", step_, name, value);
    }
    void note(const std::string& name, double value) {
        fmt::print(out_, "{} {} {:a}\n", step_, name, value);
    }

    const Trainer& trainer_;
    std::FILE* out_;
    std::int64_t step_ = 0;
};

/// The kind of mistake this program is all about: floats, added up in the order of the work.
class PlantedSum final : public Observer {
  public:
    PlantedSum(Trainer& trainer, const std::vector<std::int64_t>& order)
        : trainer_(trainer), order_(order) {}

    void on_step(const StepRecord& record) override {
        if (record.step != trainer_.config().schedule.train_iters) return;
        const auto& entries = trainer_.ledger();
        std::vector<std::int64_t> order = order_;  // this node's, then all others
        for (std::int64_t k = 0; k < std::ssize(entries); ++k)
            if (std::find(order_.begin(), order_.end(), k) == order_.end()) order.push_back(k);
        float sum = 0.0f;
        for (const std::int64_t k : order)
            sum += static_cast<float>(entries[static_cast<std::size_t>(k)].loss);
        Trainer::State& state = trainer_.state();
        const char* const name = state.config.model.is_mlp() ? planted_mlp_tensor : planted_tensor;
        const Tensor& tensor = state.table[state.table.find(name)];
        state.store.weights()[static_cast<std::size_t>(tensor.offset + planted_element)] =
            sum * 0x1p-10f;
    }

  private:
    Trainer& trainer_;
    const std::vector<std::int64_t>& order_;
};

/// A SIGKILL to this process in so many microseconds, whatever it does then.
void kill_this_process_in(std::int64_t microseconds) {
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGKILL;
    timer_t timer;
    itimerspec when{};
    when.it_value.tv_sec = microseconds / 1000000;
    when.it_value.tv_nsec = microseconds % 1000000 * 1000;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &when, nullptr) != 0)
        throw Error("no timer for the kill");
}

/// A process that gets no further for so long hangs, and the signal ends its job.
void expect_progress() {
    constexpr unsigned seconds = 300;
    alarm(seconds);
}

/// One segment, as one of its ranks.
class SegmentRun {
  public:
    SegmentRun(const Communicator& ranks, const FuzzCase& drawn, const Layout& layout,
               std::size_t index, const fs::path& case_folder, const fs::path& run_folder,
               Plant plant)
        : ranks_(ranks),
          case_(drawn),
          layout_(layout),
          segment_(layout.segments[index]),
          index_(index),
          case_folder_(case_folder),
          folder_(run_folder),
          plant_(plant) {}

    void run() {
        const bool root = ranks_.rank() == 0;
        LoopConfig loop;
        loop.save_dir = folder_;
        loop.save_interval = layout_.save_interval;
        loop.retention.keep_last = 0;  // all of them are compared
        loop.eval_interval = case_.eval_interval;
        loop.eval_iters = case_.eval_iters;
        const auto saved = saved_steps(folder_);
        if (saved.empty())
            loop.overwrite = true;
        else
            loop.resume = folder_;
        Dataset train, valid;
        if (root) {
            std::tie(train, valid) = case_.data.open(case_folder_);
        }
        TrainConfig config = case_.config;
        config.ranks_per_node = segment_.ranks_per_node;
        TestHooks hooks;
        hooks.misfit_at_step = case_.misfit_at_step;
        hooks.order = [this](std::vector<std::int64_t>& order) { begin_step(order); };
        Trainer trainer(ranks_, config, root ? &train : nullptr, hooks);
        trainer_ = &trainer;
        std::vector<Observer*> observers;
        std::optional<Witness> witness;
        if (root) observers.push_back(&witness.emplace(witness_file(folder_, index_), trainer));
        PlantedSum planted(trainer, order_);
        if (plant_ == Plant::float_sum) observers.push_back(&planted);
        const StopSignals signals;
        const RunEnd end = run_training(
            trainer, loop, root && !case_.data.valid.empty() ? &valid : nullptr, observers);
        const bool as_planned = segment_.end == End::signal
                                    ? end.step == segment_.end_step && !end.stopped_by.empty()
                                    : end.step == case_.steps() && end.stopped_by.empty();
        // A run that was killed late goes on behind the step where this segment was to end.
        if (!as_planned && !layout_.killed())
            throw Error(fmt::format("the run ended at step {} ({})", end.step,
                                    end.stopped_by.empty() ? "nothing left" : end.stopped_by));
    }

  private:
    /// When the plan of a step is known, on each rank.
    void begin_step(std::vector<std::int64_t>& order) {
        expect_progress();
        const std::int64_t step = trainer_->steps_done() + 1;
        const int rank = ranks_.rank();
        switch (segment_.order) {
            case Order::as_dealt:
                break;
            case Order::reversed:
                std::reverse(order.begin(), order.end());
                break;
            case Order::rotated:
                if (!order.empty())
                    std::rotate(order.begin(), order.begin() + step % std::ssize(order),
                                order.end());
                break;
            case Order::shuffled:  // the same on all ranks of a node
                std::shuffle(order.begin(), order.end(),
                             std::mt19937_64(segment_.shuffle + static_cast<std::uint64_t>(step)));
                break;
        }
        order_ = order;
        if (rank == segment_.slow_rank)
            std::this_thread::sleep_for(std::chrono::microseconds(segment_.slow_microseconds));
        if (step != segment_.end_step) return;
        const bool mine = rank == segment_.end_rank || segment_.end_rank < 0;
        if (mine && segment_.end == End::signal) std::raise(segment_.end_signal);
        if (mine && segment_.end == End::kill) kill_this_process_in(segment_.kill_microseconds);
    }

    const Communicator& ranks_;
    const FuzzCase& case_;
    const Layout& layout_;
    const Segment& segment_;
    std::size_t index_;
    const fs::path& case_folder_;
    const fs::path& folder_;
    Plant plant_;
    const Trainer* trainer_ = nullptr;
    std::vector<std::int64_t> order_;
};

/// @collective
void run_segment(const Communicator& world, const FuzzCase& drawn, const Layout& layout,
                 std::size_t index, const fs::path& case_folder, const fs::path& run_folder,
                 Plant plant) {
    const auto& processes = layout.segments[index].processes;
    const auto place = std::find(processes.begin(), processes.end(), world.rank());
    const bool inside = place != processes.end();
    const Communicator ranks =
        world.split(inside ? 0 : 1, static_cast<int>(place - processes.begin()));
    expect_progress();
    // A process that waits in MPI takes the core from those that work: the others sleep.
    const fs::path done = run_folder / fmt::format("done-{}", index);
    if (inside) {
        fs::create_directories(run_folder);
        SegmentRun(ranks, drawn, layout, index, case_folder, run_folder, plant).run();
        if (ranks.rank() == 0) std::ofstream(done).put('\n');
    } else {
        alarm(0);
        while (!fs::exists(done)) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    world.barrier();
}

}  // namespace

void run_layouts(const Communicator& world, const FuzzCase& drawn, const fs::path& folder,
                 const std::vector<std::int64_t>& layouts, Plant plant) {
    run_segment(world, drawn, reference_layout(), 0, folder, folder_of(folder, -1), plant);
    for (const std::int64_t number : layouts) {
        const Layout& layout = drawn.layouts[static_cast<std::size_t>(number)];
        for (std::size_t i = layout.killed() ? 1 : 0; i < layout.segments.size(); ++i) {
            if (world.rank() == 0)
                fmt::print("layout {}, segment {}: {}\n", number, i + 1, describe(layout));
            std::fflush(stdout);
            run_segment(world, drawn, layout, i, folder, folder_of(folder, number), plant);
        }
    }
}

void run_killed(const Communicator& world, const FuzzCase& drawn, const fs::path& folder,
                std::int64_t number) {
    const Layout& layout = drawn.layouts[static_cast<std::size_t>(number)];
    run_segment(world, drawn, layout, 0, folder, folder_of(folder, number), Plant::nothing);
    // It was done before its end came, which comes in milliseconds.
    for (;;) pause();
}

}  // namespace evengrad::fuzz
