// One step, in the order of its phases.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <numeric>
#include <thread>

#include "base/log.hpp"
#include "gradient/normalize.hpp"
#include "train/spike.hpp"
#include "train/step_statistics.hpp"
#include "train/timed_sink.hpp"
#include "train/verification.hpp"
#include "train/work.hpp"

namespace evengrad {

namespace {

/// What all ranks agree on after the micro-batches of a pass have run.
struct PassResult {
    std::vector<std::uint32_t> largest;  ///< bits of the largest |element|, by tensor
    std::vector<std::uint64_t> lost;     ///< elements rounded to 0, by tensor
    std::uint64_t non_finite = NonFinite::none;
    bool misfit = false;
};

/// Lets a test change what passes through the layers.
class DamagedLayers final : public LayerSink<float> {
  public:
    DamagedLayers(const Trainer::State& state, std::int64_t micro_batch, LayerSink<float>* next)
        : s_(state), micro_batch_(micro_batch), next_(next) {}
    void add(Index layer, const LayerValues<float>& values) override {
        s_.hooks.layer(s_.steps_done + 1, s_.topology.world().rank(), micro_batch_, layer, values);
        if (next_) next_->add(layer, values);
    }

  private:
    const Trainer::State& s_;
    std::int64_t micro_batch_;
    LayerSink<float>* next_;
};

class StepRun {
  public:
    StepRun(Trainer::State& state, StepRecord& record)
        : s_(state), record_(record), clock_(state.steps_done + 1) {}

    void run();
    StepGradient gradient();
    StepLayers layers();

  private:
    void make_plan();
    PassResult compute();
    PassResult compute_until_it_fits();
    void agree(PassResult& result);
    void clear_sums();
    [[noreturn]] void report_non_finite(std::uint64_t key) const;
    MeanGradient normalize();
    std::vector<float> whole(const MeanGradient& gradient) const;
    void follow(const PassResult& result);
    void update(const PassResult& result);
    double largest_rounding() const;

    Index contributions(Index tensor) const {
        return s_.table[tensor].contributions * plan_.size();
    }

    Trainer::State& s_;
    StepRecord& record_;
    StepPlan plan_;
    Deal deal_;
    PhaseClock clock_;
    std::optional<StepCollector> statistics_;  ///< when they are due
};

void StepRun::make_plan() {
    if (s_.is_root()) {
        EVENGRAD_CHECK(s_.planner.has_value(), "a step without data");
        plan_ = s_.planner->plan(s_.steps_done);
    }
    broadcast_plan(s_.topology.world(), plan_);
    EVENGRAD_CHECK(plan_.step == s_.steps_done, "a plan for step {} in step {}", plan_.step,
                   s_.steps_done);
    if (plan_.size() > most_micro_batches_of_step)
        throw Error(fmt::format("step {} has {} micro-batches, more than {}", plan_.step + 1,
                                plan_.size(), most_micro_batches_of_step),
                    "a larger --micro-batch-size or --micro-batch-tokens makes fewer");
    deal_ = deal(s_.speeds, s_.config.model, plan_);
    auto& mine = deal_.of_node[static_cast<std::size_t>(s_.topology.node_index())];
    if (s_.hooks.order) s_.hooks.order(mine);
    s_.model->reserve(deal_.largest, true);
    clock_.enter(Phase::wait);
}

PassResult StepRun::compute() {
    s_.ledger = Ledger(plan_.size());
    s_.accumulator.begin_pass();
    if (statistics_) statistics_->begin_pass(plan_.size());
    const std::int64_t step = s_.steps_done + 1;
    const auto& mine = deal_.of_node[static_cast<std::size_t>(s_.topology.node_index())];
    record_.idle.resize(static_cast<std::size_t>(s_.topology.world().size()));
    if (s_.hooks.weights) s_.hooks.weights(step, s_.topology.world().rank(), s_.store.weights());
    const double start = monotonic_seconds();
    draw_micro_batches(s_.topology, s_.store, mine, [&](std::int64_t k) {
        // What isn't work on a micro-batch is waiting: for the ticket's reset, for other ranks.
        clock_.enter(Phase::compute);
        const double begin = monotonic_seconds();
        TimedSink sink(s_.accumulator, s_.table);
        if (step == s_.hooks.nan_at_step && k == s_.hooks.nan_micro_batch)
            sink.plant_nan(s_.hooks.nan_tensor);
        std::optional<DamagedLayers> damaged;
        LayerSink<float>* layers = statistics_ ? statistics_->layers_of(k) : nullptr;
        if (s_.hooks.layer) layers = &damaged.emplace(s_, k, layers);
        LedgerRow row = compute_micro_batch(s_, plan_, k, s_.accumulator, sink, layers);
        if (s_.hooks.pace) {
            const double least =
                s_.hooks.pace(static_cast<int>(row.rank), deal_.costs[static_cast<std::size_t>(k)]);
            std::this_thread::sleep_for(
                std::chrono::duration<double>(least - (monotonic_seconds() - begin)));
        }
        const double seconds = monotonic_seconds() - begin;
        row.nanoseconds = static_cast<std::int64_t>(seconds * 1e9);
        if (!(step == s_.hooks.lose_row_at_step && k == 0)) s_.ledger.record(k, row);
        clock_.enter(Phase::wait);
        clock_.move(Phase::compute, Phase::accumulate, sink.seconds());
    });
    PassResult result;
    agree(result);
    s_.ledger.verify(plan_);
    s_.speeds.follow(s_.ledger, deal_.costs);
    describe_work(s_.ledger, monotonic_seconds() - start, record_);
    s_.verification.check_weights(s_, step);  // first: it may be why
    if (result.non_finite != NonFinite::none) report_non_finite(result.non_finite);
    return result;
}

void StepRun::agree(PassResult& result) {
    const Communicator& world = s_.topology.world();
    s_.ledger.combine(world);
    result.largest = s_.accumulator.largest();
    world.max(result.largest);
    result.lost = s_.accumulator.lost();
    world.sum(result.lost);
    result.non_finite = s_.accumulator.first_non_finite();
    world.min(std::span(&result.non_finite, 1));
    for (Index t = 0; t < s_.table.size(); ++t)
        result.misfit |= s_.quanta.misfit(
            t, std::bit_cast<float>(result.largest[static_cast<std::size_t>(t)]), contributions(t));
}

void StepRun::clear_sums() {
    const auto sums = s_.store.sum().sums;
    const auto rank = static_cast<std::size_t>(s_.topology.node().rank());
    const auto ranks = static_cast<std::size_t>(s_.topology.node().size());
    const std::size_t begin = sums.size() * rank / ranks, end = sums.size() * (rank + 1) / ranks;
    std::fill(sums.begin() + static_cast<std::ptrdiff_t>(begin),
              sums.begin() + static_cast<std::ptrdiff_t>(end), std::uint64_t{0});
    s_.store.barrier();
}

void StepRun::report_non_finite(std::uint64_t key) const {
    const std::int64_t k = NonFinite::micro_batch(key);
    std::string documents;
    if (s_.is_root()) {
        constexpr std::size_t most = 8;
        const auto all = documents_of(*s_.planner, plan_, k);
        for (std::size_t d = 0; d < std::min(most, all.size()); ++d)
            documents += (d > 0 ? ", " : "") + s_.data->part(all[d].part).describe(all[d].document);
        if (all.size() > most) documents += ", ...";
    }
    s_.topology.world().broadcast(documents, 0);
    throw DivergedError(
        fmt::format("step {}: the gradient of {} in micro-batch {} is not a number (computed on "
                    "rank {}; documents: {})",
                    s_.steps_done + 1, s_.table[NonFinite::tensor(key)].name, k,
                    s_.ledger.rows()[static_cast<std::size_t>(k)].rank, documents),
        "nothing of this step was used; lower --lr, set --clip-grad, or look at these documents");
}

/// The next step's quanta.
void StepRun::follow(const PassResult& result) {
    for (Index t = 0; t < s_.table.size(); ++t)
        s_.quanta.follow(t, std::bit_cast<float>(result.largest[static_cast<std::size_t>(t)]));
}

/// Bound on the norm of what rounding onto the grids changed of the summed gradient: each element
/// of each contribution by half a quantum.
double StepRun::largest_rounding() const {
    double squared = 0.0;
    for (Index t = 0; t < s_.table.size(); ++t) {
        if (!s_.quanta.is_set(t)) continue;
        const double of_element =
            static_cast<double>(contributions(t)) * 0.5 * s_.quanta.quantum(t);
        squared += static_cast<double>(s_.table[t].count) * of_element * of_element;
    }
    return std::sqrt(squared);
}

MeanGradient StepRun::normalize() {
    std::vector<char> contributed;
    for (const auto& micro_batches : deal_.of_node) contributed.push_back(!micro_batches.empty());
    if (s_.hooks.sums)
        s_.hooks.sums(s_.steps_done + 1, s_.topology.world().rank(), s_.store.sum().sums);
    s_.store.barrier();
    GlobalSum sum =
        GlobalSum::reduce(s_.store.sum(), s_.topology, s_.ownership, contributed, s_.steps_done);
    return MeanGradient::normalize(std::move(sum), s_.table, s_.quanta,
                                   {plan_.denominator, plan_.step}, s_.ledger.checksum(),
                                   s_.topology.world());
}

/// @collective The gradient of all blocks, on rank 0. [flat size]
std::vector<float> StepRun::whole(const MeanGradient& gradient) const {
    std::vector<float> owned, values;
    for (Index b = gradient.owned().begin; b < gradient.owned().end; ++b) {
        const Block& block = s_.table.blocks()[static_cast<std::size_t>(b)];
        owned.resize(owned.size() + static_cast<std::size_t>(block.count));
        gradient.look(block.tensor, block.begin, block.count,
                      owned.data() + owned.size() - block.count);
    }
    if (s_.is_root()) values.resize(static_cast<std::size_t>(s_.table.flat_size()));
    for (const Tensor& tensor : s_.table.tensors())
        gather_owned(
            s_.topology, s_.ownership, owned,
            {tensor.first_block, tensor.first_block + tensor.block_count},
            std::span(values).subspan(s_.is_root() ? static_cast<std::size_t>(tensor.offset) : 0,
                                      s_.is_root() ? static_cast<std::size_t>(tensor.count) : 0));
    return values;
}

void StepRun::update(const PassResult& result) {
    const Communicator& world = s_.topology.world();
    clock_.enter(Phase::reduce);
    const MeanGradient gradient = normalize();
    clock_.enter(Phase::update);

    record_.checksum = gradient.checksum();
    record_.grad_norm = gradient.norm();
    if (std::binary_search(s_.config.save_gradients.begin(), s_.config.save_gradients.end(),
                           record_.step))
        record_.gradient = whole(gradient);
    judge(s_, plan_, gradient, record_);
    if (record_.skipped) {
        clear_sums();
        follow(result);
        return;
    }
    const double clip = clip_factor(gradient, s_.config.optimizer.clip_grad);
    record_.clipped_grad_norm = gradient.norm() * clip;
    ++s_.updates_done;
    record_.updated = true;
    std::int64_t not_finite =
        s_.optimizer.update(gradient, clip, record_.lr, s_.updates_done, s_.store.weights(),
                            statistics_ ? statistics_->update() : nullptr);
    world.min(std::span(&not_finite, 1));
    record_.probe = gradient.probe_of_taken(world);
    if (not_finite != Optimizer::every_weight_is_finite)
        throw DivergedError(
            fmt::format("step {}: the update made a weight of {} that is not a number",
                        s_.steps_done + 1, s_.table[not_finite].name),
            "lower --lr; go on from the last checkpoint with --resume");
    if (statistics_) record_.statistics = statistics_->combine(result.lost);
    clock_.enter(Phase::share);
    share_from_owners(s_.topology, s_.ownership, s_.store.weights(), s_.store.memory());
    follow(result);
}

/// At most twice: the second time with quanta that were chosen from this very step.
PassResult StepRun::compute_until_it_fits() {
    const std::int64_t step = s_.steps_done + 1;
    if (step == s_.hooks.misfit_at_step)
        for (Index t = 0; t < s_.table.size(); ++t)
            if (s_.quanta.is_set(t)) s_.quanta.set(t, s_.quanta.exponent(t) - 30);
    PassResult result = compute();
    if (result.misfit) {
        // `largest` is exact, so the new quanta fit, on every layout alike.
        record_.recomputed = true;
        log_debug("step {}: computed again, with new quanta", step);
        clear_sums();
        follow(result);
        if (s_.hooks.misfit_twice && step == s_.hooks.misfit_at_step)
            for (Index t = 0; t < s_.table.size(); ++t)
                if (s_.quanta.is_set(t)) s_.quanta.set(t, s_.quanta.exponent(t) - 30);
        result = compute();
        if (result.misfit)
            throw Error(fmt::format("step {}: gradients don't fit their quantum even after it was "
                                    "chosen from this very step",
                                    step),
                        "ranks or repetitions don't compute the same bits; check the machines");
    }
    return result;
}

void StepRun::run() {
    const double start = monotonic_seconds();
    make_plan();
    record_.step = s_.steps_done + 1;
    record_.epoch = plan_.epoch;
    record_.loss_tokens = plan_.total_loss_tokens();
    record_.denominator = plan_.denominator;
    record_.tokens = static_cast<std::int64_t>(plan_.tokens.size());
    record_.sequences = static_cast<std::int64_t>(plan_.lengths.size());
    record_.micro_batches = plan_.size();
    record_.lr = learning_rate(s_.config.schedule, s_.steps_done, s_.lr_reductions);

    if (statistics_are_due(record_.step, s_.config.stats_interval)) statistics_.emplace(s_);
    const PassResult result = compute_until_it_fits();
    // (Mixed processors, where they are allowed, never give the same bits.)
    if (is_verified(record_.step, s_.config.verify_interval) && s_.ranks_compute_alike) {
        clock_.enter(Phase::compute);
        Verification::check_micro_batch(s_, plan_, record_.step);
        clock_.enter(Phase::wait);
    }
    record_.rounded_to_zero = static_cast<std::int64_t>(
        std::accumulate(result.lost.begin(), result.lost.end(), std::uint64_t{0}));
    s_.entries.clear();
    for (const LedgerRow& row : s_.ledger.rows())
        s_.entries.push_back({row.loss, row.weight, row.tokens, row.squared_norm, row.rank,
                              static_cast<double>(row.nanoseconds) * 1e-9});
    // No token with a loss: there is no mean, and nothing to learn. The step is counted (R7).
    if (plan_.denominator > 0.0) {
        record_.loss = s_.ledger.loss() / plan_.denominator;
        record_.rounding = largest_rounding();
        update(result);
    }
    if (is_verified(record_.step + 1, s_.config.verify_interval)) s_.verification.note_weights(s_);
    ++s_.steps_done;
    clock_.end();
    record_.phases = clock_.seconds();
    record_.seconds = monotonic_seconds() - start;
    s_.topology.world().broadcast(std::span(&record_.seconds, 1), 0);
    s_.topology.world().broadcast(std::span<double>(record_.busy), 0);
    s_.topology.world().broadcast(std::span<double>(record_.idle), 0);
}

StepGradient StepRun::gradient() {
    make_plan();
    compute_until_it_fits();
    StepGradient out;
    if (!(plan_.denominator > 0.0)) return out;
    out.loss = s_.ledger.loss() / plan_.denominator;
    out.values = whole(normalize());
    // Nobody may clear sums that others still look at.
    s_.store.barrier();
    clear_sums();
    return out;
}

StepLayers StepRun::layers() {
    make_plan();
    statistics_.emplace(s_);
    compute_until_it_fits();
    clear_sums();  // nobody reduces them
    StepLayers out;
    out.loss_tokens = plan_.total_loss_tokens();
    if (!(plan_.denominator > 0.0)) return out;
    out.layers = statistics_->combine_layers();
    out.stuck = statistics_->stuck_units();
    return out;
}

/// What `look` sees of a step that isn't taken.
template <class Look>
auto look_at_step(Trainer& trainer, std::int64_t step, Look&& look) {
    Trainer::State& s = trainer.state();
    const std::int64_t steps_done = std::exchange(s.steps_done, step);
    const std::vector<std::int32_t> exponents(s.quanta.exponents().begin(),
                                              s.quanta.exponents().end());
    StepRecord record;
    StepRun run(s, record);
    auto seen = look(run);
    s.steps_done = steps_done;
    s.quanta.restore(exponents);
    return seen;
}

}  // namespace

StepRecord Trainer::step() {
    StepRecord record;
    StepRun(*state_, record).run();
    return record;
}

StepGradient gradient_of_step(Trainer& trainer, std::int64_t step) {
    return look_at_step(trainer, step, [](StepRun& run) { return run.gradient(); });
}

StepLayers layers_of_step(Trainer& trainer, std::int64_t step) {
    return look_at_step(trainer, step, [](StepRun& run) { return run.layers(); });
}

}  // namespace evengrad
