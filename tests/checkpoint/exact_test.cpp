// A run that is stopped in the middle of epochs and goes on on other layouts has done what a run
// in one piece does: each step, each evaluation, each sample, once.
#include <algorithm>
#include <map>
#include <numeric>
#include <sstream>

#include <nlohmann/json.hpp>

#include "checkpoint/gradient_file.hpp"
#include "checkpoint/history_file.hpp"
#include "checkpoint/saved_run.hpp"
#include "hdf5/file.hpp"
#include "report/metrics_file.hpp"
#include "train/state.hpp"
#include "train/stop.hpp"

namespace evengrad {
namespace {

using namespace test;

/// The samples of each step, by epoch, as rank 0's trainer took them.
struct Samples : Observer {
    Trainer* trainer = nullptr;
    std::map<std::int64_t, std::vector<std::int64_t>>* of_epoch = nullptr;
    void on_step(const StepRecord& record) override {
        const StepPlan plan = trainer->state().planner->plan(record.step - 1);
        EXPECT_EQ(static_cast<std::int64_t>(plan.sequence_ids.size()), record.sequences);
        auto& ids = (*of_epoch)[record.epoch];
        ids.insert(ids.end(), plan.sequence_ids.begin(), plan.sequence_ids.end());
    }
};

/// What metrics.jsonl says, without times.
std::string curve(const std::filesystem::path& folder) {
    std::istringstream lines(bytes_of(folder / "metrics.jsonl"));
    std::string text;
    for (std::string line; std::getline(lines, line);) {
        auto json = nlohmann::ordered_json::parse(line);
        for (const char* time : {"seconds", "tokens_per_second", "busy", "idle"}) json.erase(time);
        text += json.dump() + '\n';
    }
    return text;
}

class Exact : public testing::TestWithParam<std::pair<OptimizerKind, LrDecay>> {};

TEST_P(Exact, R21R22EachStepAndEachSampleOnceHoweverOftenStoppedOnOtherLayouts) {
    const ScratchFolder folder;
    const Dataset data{resume_data()}, valid{uneven_documents(6, 30)};
    TrainConfig config = resume_config(GetParam().first);
    config.schedule.train_iters = 22;  // 8 steps an epoch, the last one short
    config.schedule.decay = GetParam().second;
    config.schedule.gamma = 0.5;
    config.schedule.plateau_patience = 1;     // and hardly any loss is low enough to be better:
    config.schedule.plateau_threshold = 0.5;  // falls after steps 9, 15, 21
    LoopConfig loop;
    loop.eval_interval = 3;
    loop.save_interval = 4;
    config.save_gradients = {2, 8, 10, 12, 21};      // in most of the pieces
    ::setenv("SOURCE_DATE_EPOCH", "1700000000", 1);  // so that equal files have equal bytes
    // Runs up to `stop` (0: to the end) on a layout; the digest.
    std::map<std::int64_t, std::vector<std::int64_t>> of_epoch;
    const auto run = [&](const char* name, const Layout& layout, std::int64_t stop) {
        config.ranks_per_node = layout.ranks_per_node;
        loop.save_dir = world().rank() == 0 ? folder / name : std::filesystem::path("/dev/null/x");
        return on_ranks(layout.ranks, [&](const Communicator& ranks) {
            TestHooks hooks;
            hooks.order = [&, step = std::int64_t{0}](std::vector<std::int64_t>&) mutable {
                // The hook counts this trainer's steps; the signal is for the last rank alone.
                if (++step == stop && ranks.rank() == ranks.size() - 1) std::raise(SIGUSR1);
            };
            Trainer trainer(ranks, config, &data, hooks);
            MetricsFile metrics;
            Samples samples;
            samples.trainer = &trainer;
            samples.of_epoch = &of_epoch;
            const StopSignals signals;
            run_training(trainer, loop, &valid, {&metrics, &samples});
            return trainer.digest();
        });
    };
    const std::string expected = run("straight", {1, 0}, 0);
    const auto straight_samples = std::exchange(of_epoch, {});
    const std::vector<Layout> all = layouts();
    // Steps per piece: stops after 1, 6, 7, 15 and 20.
    std::size_t piece = 0;
    loop.resume.clear();
    std::string found;
    for (const std::int64_t steps : {1, 5, 1, 8, 5, 0}) {
        found = run("pieces", all[(piece++ * 2 + 1) % all.size()], steps);
        loop.resume = loop.save_dir;
    }
    EXPECT_EQ(found, expected);
    if (world().rank() != 0) return;
    EXPECT_EQ(curve(folder / "pieces"), curve(folder / "straight"));
    const hdf5::File checkpoint = hdf5::File::open(find_checkpoint(folder / "pieces"));
    for (const char* moment : {"exp_avg", "exp_avg_sq"})
        EXPECT_EQ(checkpoint.root().exists(fmt::format("optimizer/{}/wte/weight", moment)),
                  moments_of(GetParam().first) == 2 || moment == std::string("exp_avg"));
    const auto a = read_checkpoint_info(find_checkpoint(folder / "straight")).history;
    const auto b = read_checkpoint_info(find_checkpoint(folder / "pieces")).history;
    EXPECT_EQ(b.step.size(), 22u);
    EXPECT_EQ(a.step, b.step);
    for (std::size_t i = 0; i < a.step.size(); ++i)  // (NaN where no token had a loss)
        EXPECT_TRUE(a.loss[i] == b.loss[i] || (std::isnan(a.loss[i]) && std::isnan(b.loss[i])));
    EXPECT_EQ(a.grad_norm, b.grad_norm);
    EXPECT_EQ(a.clipped_grad_norm, b.clipped_grad_norm);
    EXPECT_EQ(a.lr, b.lr);
    EXPECT_EQ(a.loss_tokens, b.loss_tokens);
    EXPECT_EQ(b.validation_step, (std::vector<std::int64_t>{3, 6, 9, 12, 15, 18, 21, 22}));
    EXPECT_EQ(a.validation_step, b.validation_step);
    EXPECT_EQ(a.validation_loss, b.validation_loss);
    EXPECT_EQ(of_epoch, straight_samples);
    // Some steps have no token with a loss, so no update.
    EXPECT_GT(a.statistics.samples.size(), 10u);
    EXPECT_TRUE(a.statistics == b.statistics);
    int saved = 0;
    for (const std::int64_t step : config.save_gradients) {
        const auto name = gradient_file_name(step);
        const bool has_loss = !std::isnan(a.loss[static_cast<std::size_t>(step) - 1]);
        saved += has_loss;
        EXPECT_EQ(std::filesystem::exists(folder / "straight" / name), has_loss) << name;
        if (!has_loss) continue;
        const std::string bytes = bytes_of(folder / "straight" / name);
        EXPECT_GT(bytes.size(), 100000u) << name;
        EXPECT_TRUE(bytes_of(folder / "pieces" / name) == bytes) << name;
    }
    EXPECT_GE(saved, 3);
    EXPECT_LT(saved, std::ssize(config.save_gradients));
    for (const char* name : {"straight", "pieces"}) {
        const auto file = hdf5::File::open(folder / name / history_name);
        EXPECT_TRUE(read_statistics(file.root(), config.model, 22) == a.statistics);
    }
    if (GetParam().second == LrDecay::reduce_on_plateau) {
        const double peak = config.schedule.lr;
        for (const auto& [step, lr] : {std::pair{3, peak},
                                       {9, peak},
                                       {10, peak / 2},
                                       {15, peak / 2},
                                       {16, peak / 4},
                                       {21, peak / 4},
                                       {22, peak / 8}})
            EXPECT_EQ(b.lr[static_cast<std::size_t>(step) - 1], lr) << step;
    }
    for (const std::int64_t epoch : {0, 1}) {
        std::vector<std::int64_t> ids = of_epoch[epoch], every(15);
        std::sort(ids.begin(), ids.end());
        std::iota(every.begin(), every.end(), std::int64_t{0});
        EXPECT_EQ(ids, every) << "in epoch " << epoch;
    }
}

INSTANTIATE_TEST_SUITE_P(
    Runs, Exact,
    testing::Values(std::pair{OptimizerKind::adamw, LrDecay::cosine},
                    std::pair{OptimizerKind::lion, LrDecay::reduce_on_plateau}),
    [](const auto& info) { return std::string(facts_of(info.param.first).name); });

}  // namespace
}  // namespace evengrad
