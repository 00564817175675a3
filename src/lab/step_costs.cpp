#include "lab/step_costs.hpp"

#include <algorithm>
#include <map>

#include "base/narrow.hpp"
#include "gradient/sums.hpp"
#include "train/state.hpp"
#include "train/stop.hpp"
#include "train/work.hpp"

namespace evengrad {

namespace {

/// Seconds that `work` takes, the median of several times.
template <class Work>
double seconds_of(Work&& work) {
    constexpr int repetitions = 7;
    std::deque<double> seconds;
    for (int r = 0; r < repetitions; ++r) {
        const double begin = monotonic_seconds();
        work();
        seconds.push_back(monotonic_seconds() - begin);
    }
    return median(std::move(seconds));
}

double mean_over_ranks(const Communicator& world, double value) {
    double sum = 0.0;
    for (const double of_rank : world.all_gather(value)) sum += of_rank;
    return sum / world.size();
}

/// Seconds an element, all ranks at once: to add those that came and zero those that went; and the
/// first pass of an owner over its sums.
struct SumCosts {
    double add = 0.0, examine = 0.0;
};
SumCosts sum_costs(const Communicator& world, Index owned) {
    constexpr Index chunk = 65536;  // a message's
    const Index size = std::clamp<Index>(owned / chunk, 1, 64) * chunk;
    std::vector<std::uint64_t> sums(at(size)), arriving(chunk, 1), leaving(at(size));
    world.barrier();
    SumCosts costs;
    costs.add = seconds_of([&] {
        for (Index from = 0; from < size; from += chunk) {
            for (Index i = 0; i < chunk; ++i) sums[at(from + i)] += arriving[at(i)];
            std::fill_n(leaving.begin() + from, chunk, std::uint64_t{0});
        }
    });
    std::uint64_t checksum = 0;
    costs.examine = seconds_of([&] { checksum += examine(sums.data(), size, 0).checksum; });
    EVENGRAD_CHECK(checksum != 0, "sums above 0 have no checksum");
    const auto each = static_cast<double>(size);
    return {mean_over_ranks(world, costs.add) / each, mean_over_ranks(world, costs.examine) / each};
}

}  // namespace

double seconds_of_slowest(const std::vector<LedgerEntry>& ledger) {
    struct Work {
        double seconds = 0.0, micro_batches = 0.0;
    };
    std::map<std::int64_t, Work> of_rank;  // ranks draw unequal numbers of them
    for (const LedgerEntry& entry : ledger) {
        Work& work = of_rank[entry.rank];
        work.seconds += entry.seconds;
        work.micro_batches += 1.0;
    }
    double slowest = 0.0;
    for (const auto& [rank, work] : of_rank)
        slowest = std::max(slowest, work.seconds / work.micro_batches);
    return slowest;
}

StepCostsMeter::StepCostsMeter(Trainer& trainer) : trainer_(trainer) {}

void StepCostsMeter::add(const StepRecord& record) {
    micro_batch_.push_back(seconds_of_slowest(trainer_.ledger()));
    update_.push_back(record.phases[at(static_cast<std::int64_t>(Phase::update))]);
}

StepModel StepCostsMeter::result() {
    const Trainer::State& s = trainer_.state();
    const Communicator& world = s.topology.world();
    StepModel model;
    model.shape.blocks = s.ownership.blocks();
    model.shape.tensors = s.table.size();
    model.shape.ranks = std::ssize(s.topology.ranks_of(0));
    model.costs.micro_batch = median(micro_batch_);

    const auto own = static_cast<double>(s.table.parameter_count()) / world.size();
    const SumCosts sums = sum_costs(world, static_cast<Index>(own));
    model.costs.add = sums.add;
    model.costs.update = mean_over_ranks(world, median(update_)) / own + sums.examine;

    std::array<double, 4> planned{};  // rank 0's
    if (s.is_root()) {
        StepPlan plan;
        const double planning = seconds_of([&] { plan = s.planner->plan(s.steps_done); });
        const double weighing = seconds_of([&] { deal(s.speeds, s.config.model, plan); });
        const std::vector<double> costs(1000, 1.0), speeds(100, 1.0);
        const auto micro_batches = static_cast<double>(plan.size());
        planned = {static_cast<double>(plan.lengths.size()) / micro_batches,
                   static_cast<double>(plan.tokens.size()) / micro_batches,
                   (planning + weighing) / static_cast<double>(plan.tokens.size()),
                   seconds_of([&] { deal_to_nodes(costs, speeds); }) /
                       static_cast<double>(costs.size() * speeds.size())};
    }
    world.broadcast(std::span<double>(planned), 0);
    model.shape.sequences = static_cast<std::int64_t>(planned[0]);
    model.shape.tokens = static_cast<std::int64_t>(planned[1]);
    model.costs.plan_token = planned[2];
    model.costs.deal = planned[3];
    return model;
}

}  // namespace evengrad
