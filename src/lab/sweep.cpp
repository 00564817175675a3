#include "lab/sweep.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include <fmt/ranges.h>

#include "base/cpu.hpp"
#include "base/narrow.hpp"
#include "data/share_datasets.hpp"
#include "kernels/blas.hpp"
#include "mpi/words.hpp"
#include "train/evaluation.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// Ranks that train a cell together, and what they train on.
struct Group {
    Communicator ranks;
    const Dataset* data;   ///< on its first rank
    const Dataset* valid;  ///< on its first rank, if there is any
    bool evaluates;        ///< on all: whether there is
};

/// Progress, said in parts of all that a group has to do.
class Work {
  public:
    Work(const SweepProgress& progress, double all) : progress_(progress), all_(all) {}

    void step(const std::string& cell, double cost, std::int64_t step, std::int64_t steps) const {
        const double done =
            done_ + cost * static_cast<double>(step - 1) / static_cast<double>(steps);
        if (progress_) progress_(done / all_, fmt::format("{}, step {} of {}", cell, step, steps));
    }
    void end_cell(double cost) { done_ += cost; }

  private:
    const SweepProgress& progress_;
    double all_, done_ = 0.0;
};

double gradient_ratio(const StepStatistics& statistics) {
    if (statistics.layers.empty()) return SweepCell::none;
    return std::sqrt(statistics.layers.front().backward_variance /
                     statistics.layers.back().backward_variance);
}

/// Trains one cell.
class CellRun {
  public:
    CellRun(const Group& group, const SweepConfig& config, const TrainConfig& train,
            const Dataset* data, const Dataset* valid)
        : group_(group), config_(config), valid_(valid), trainer_(group.ranks, train, data) {}

    template <class EachStep>
    SweepCell run(const EachStep& each_step);

  private:
    void look_at(const StepRecord& record);
    void evaluate(std::int64_t step);

    const Group& group_;
    const SweepConfig& config_;
    const Dataset* valid_;
    Trainer trainer_;
    SweepCell cell_;
    std::vector<std::int64_t> evaluated_;  ///< steps
    std::vector<double> valid_losses_;
};

template <class EachStep>
SweepCell CellRun::run(const EachStep& each_step) {
    const std::int64_t steps = trainer_.config().schedule.train_iters;
    std::int64_t step = 0;
    // Caught while the trainer is there: what an exception unwinds may give nothing back that all
    // ranks of a group own together.
    try {
        while (step < steps) {
            each_step(++step, steps);
            look_at(trainer_.step());
            if (!group_.evaluates) continue;
            if (step == steps || (config_.eval_interval > 0 && step % config_.eval_interval == 0))
                evaluate(step);
        }
        const std::string digest = trainer_.digest();
        EVENGRAD_CHECK(digest.size() == cell_.digest.size(), "the digest {}", digest);
        std::copy(digest.begin(), digest.end(), cell_.digest.begin());
    } catch (const DivergedError&) {
        cell_.diverged_at = step;
        cell_.loss = cell_.valid_loss = cell_.valid_accuracy = SweepCell::none;
    }
    cell_.steps = trainer_.steps_done();
    return cell_;
}

void CellRun::look_at(const StepRecord& record) {
    cell_.loss = record.loss.value_or(SweepCell::none);
    if (record.loss && !std::isfinite(*record.loss))
        throw DivergedError(fmt::format("step {}: the loss is not a number", record.step));
    if (!record.statistics) return;
    cell_.last_gradient_ratio = gradient_ratio(*record.statistics);
    if (record.step == 1) cell_.first_gradient_ratio = cell_.last_gradient_ratio;
}

void CellRun::evaluate(std::int64_t step) {
    const EvaluationSums total = trainer_.evaluate(valid_, config_.most_sequences).total;
    cell_.valid_loss = total.loss().value_or(SweepCell::none);
    cell_.valid_accuracy = total.accuracy().value_or(SweepCell::none);
    if (config_.target_accuracy && cell_.steps_to_target == 0 &&
        cell_.valid_accuracy >= *config_.target_accuracy)
        cell_.steps_to_target = step;
    evaluated_.push_back(step);
    valid_losses_.push_back(cell_.valid_loss);
    // All ranks have the losses, and with them the rate that follows.
    trainer_.state().lr_reductions =
        plateau_reductions(trainer_.config().schedule, evaluated_, valid_losses_, 0);
}

/// @collective over the group.
SweepCell run_cell(const Group& group, const SweepConfig& config, std::int64_t cell, double cost,
                   Work& work) {
    const SweepPoint& point = config.points[at(cell / config.seeds)];
    const std::string name = config.name_of(cell);
    TrainConfig train = point.train;
    train.seed = config.first_seed + static_cast<std::uint64_t>(cell % config.seeds);
    train.report_spike = 0.0;  // nobody looks
    std::optional<Dataset> data, valid;
    if (group.data) {
        data = *group.data;
        if (group.valid) valid = *group.valid;
        scale_features(point.input_normalization, *data, valid ? &*valid : nullptr);
    }
    try {
        CellRun run(group, config, train, data ? &*data : nullptr, valid ? &*valid : nullptr);
        const SweepCell result = run.run(
            [&](std::int64_t step, std::int64_t steps) { work.step(name, cost, step, steps); });
        work.end_cell(cost);
        return result;
    } catch (const Error& error) {
        throw Error(fmt::format("{}: {}", name, error.what()), error.hint());
    }
}

/// What a cell costs, in proportion; evaluations are the same for all.
double cost_of(const SweepPoint& point) {
    const TrainConfig& train = point.train;
    const Index length = train.model.seq_length();
    return train.model.training_flops(length, length) *
           static_cast<double>(train.plan.global_batch_size) *
           static_cast<double>(train.schedule.train_iters);
}

/// Refuses on rank 0, before anything runs, what a cell's trainer would refuse.
void check_points(const SweepConfig& config, const Dataset& data, const Dataset* valid) {
    for (std::int64_t p = 0; p < std::ssize(config.points); ++p) {
        const TrainConfig& train = config.points[at(p)].train;
        try {
            check_data(data, train.model);
            if (valid) check_evaluation_data(*valid, train.model);
        } catch (const Error& error) {
            throw Error(fmt::format("{}: {}", config.name_of(p * config.seeds), error.what()),
                        error.hint());
        }
    }
}

/// @collective The cells that ranks have as their `own`, on all ranks.
void gather_cells(const Communicator& world, const std::vector<std::int64_t>& own, Sweep& sweep) {
    std::vector<std::uint64_t> writers(sweep.size());
    for (const std::int64_t cell : own) writers[at(cell)] = 1;
    for (std::size_t cell = 0; cell < sweep.size(); ++cell)
        if (writers[cell] == 0) std::memset(static_cast<void*>(&sweep[cell]), 0, sizeof(SweepCell));
    sum_words(world, sweep);
    world.sum(writers);
    for (std::size_t cell = 0; cell < sweep.size(); ++cell)
        EVENGRAD_CHECK(writers[cell] == 1, "cell {} came from {} groups", cell, writers[cell]);
}

}  // namespace

std::int64_t points_of(const std::vector<SweepDimension>& grid, std::int64_t most) {
    std::int64_t points = 1;
    for (const SweepDimension& dimension : grid) {
        points *= std::ssize(dimension.values);
        if (points > most) return most + 1;
    }
    return points;
}

std::vector<std::string> values_at(const std::vector<SweepDimension>& grid, std::int64_t point) {
    std::vector<std::string> values(grid.size());
    for (std::size_t d = grid.size(); d-- > 0;) {
        const std::int64_t size = std::ssize(grid[d].values);
        values[d] = grid[d].values[at(point % size)];
        point /= size;
    }
    return values;
}

std::vector<std::string> SweepConfig::values_at(std::int64_t point) const {
    return evengrad::values_at(grid, point);
}

std::string SweepConfig::name_of(std::int64_t cell) const {
    const auto values = values_at(cell / seeds);
    std::string name;
    for (std::size_t d = 0; d < grid.size(); ++d)
        name += fmt::format("{}={} ", grid[d].name, values[d]);
    return name + fmt::format("seed={}", first_seed + static_cast<std::uint64_t>(cell % seeds));
}

Sweep run_sweep(const Communicator& world, const SweepConfig& config, const Dataset* data,
                const Dataset* valid, const SweepProgress& progress) {
    set_arithmetic_mode();
    use_one_blas_thread();
    const bool root = world.rank() == 0;
    if (root) check_points(config, *data, valid);
    // A trainer compares the ranks that it has; here all must compute the same bits.
    check_fingerprints(world, config.points.front().train.allow_mixed_cpus);

    // Neighbors form a group: they are likely to be on one node.
    const int groups = world.size() / config.ranks_per_cell;
    EVENGRAD_CHECK(groups > 0, "{} ranks for cells of {}", world.size(), config.ranks_per_cell);
    const auto group_of = [&](int rank) {
        return static_cast<int>(static_cast<std::int64_t>(rank) * groups / world.size());
    };
    std::vector<double> ranks(at(groups));
    for (int rank = 0; rank < world.size(); ++rank) ++ranks[at(group_of(rank))];
    const int own_group = group_of(world.rank());
    Group group{world.split(own_group, world.rank()), nullptr, nullptr, false};
    const bool is_first = group.ranks.rank() == 0;

    std::vector<Dataset> datasets;
    if (root) {
        datasets.push_back(*data);
        if (valid) datasets.push_back(*valid);
    }
    {
        const Communicator firsts = world.split(is_first ? 0 : 1, world.rank());
        if (is_first) datasets = share_datasets(firsts, std::move(datasets));
    }
    std::int64_t evaluates = root && valid;
    world.broadcast(std::span(&evaluates, 1), 0);
    group.evaluates = evaluates != 0;
    if (is_first) {
        group.data = &datasets.front();
        if (group.evaluates) group.valid = &datasets.back();
    }

    std::vector<double> costs;
    for (const SweepPoint& point : config.points)
        costs.insert(costs.end(), at(config.seeds), cost_of(point));
    const std::vector<std::int64_t> own = deal_to_nodes(costs, ranks)[at(own_group)];
    const double all =
        std::accumulate(own.begin(), own.end(), 0.0,
                        [&](double sum, std::int64_t cell) { return sum + costs[at(cell)]; });
    static const SweepProgress nobody;
    Work work(root ? progress : nobody, all);
    Sweep sweep(at(config.cells()));
    for (const std::int64_t cell : own)
        sweep[at(cell)] = run_cell(group, config, cell, costs[at(cell)], work);
    if (root && progress && groups > 1) progress(1.0, "waiting for the other groups");
    gather_cells(world, is_first ? own : std::vector<std::int64_t>(), sweep);
    return sweep;
}

}  // namespace evengrad
