#include "lab/audit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/log.hpp"
#include "train/evaluation.hpp"
#include <evengrad/error.hpp>
#include <evengrad/loop.hpp>

namespace evengrad {

namespace {

constexpr std::int64_t most_micro_batches = 64;

/// Sizes of micro-batches that cut `batch` sequences into about 1, 2, 4 ... 64, and `own` size;
/// the largest, which gives fewest micro-batches, first.
std::vector<std::int64_t> sizes_of_cuts(std::int64_t batch, std::int64_t own) {
    std::set<std::int64_t, std::greater<>> sizes{std::min(own, batch)};
    for (std::int64_t count = 1; count <= most_micro_batches; count *= 2)
        sizes.insert((batch + count - 1) / count);
    return {sizes.begin(), sizes.end()};
}

/// A quarter, half and three quarters of the sequences are no longer than these; without those that
/// cut nothing. If all would, a quarter, half and three quarters of the longest.
std::vector<std::int64_t> lengths_to_cut_at(std::vector<std::int64_t> loss_tokens) {
    std::erase(loss_tokens, 0);
    std::sort(loss_tokens.begin(), loss_tokens.end());
    std::set<std::int64_t> lengths;
    for (const std::size_t quarter : {1u, 2u, 3u})
        lengths.insert(loss_tokens[quarter * (loss_tokens.size() - 1) / 4]);
    lengths.erase(loss_tokens.back());
    if (lengths.empty() &&
        loss_tokens.front() < loss_tokens.back())  // most are as long as the longest
        for (const std::int64_t quarter : {1, 2, 3})
            if (const std::int64_t most = quarter * loss_tokens.back() / 4; most > 0)
                lengths.insert(most);
    return {lengths.begin(), lengths.end()};
}

/// Rank 0's work on global batches: cuts, references, comparisons.
class Examiner {
  public:
    Examiner(Trainer& trainer, const AuditConfig& config, const Dataset& data,
             const AuditProgress& progress)
        : s_(trainer.state()),
          reductions_(reductions_to_audit(config)),
          progress_(progress),
          own_(data, under_token_mean(s_.config.plan)),
          singles_(data, single_sequences(s_.config.plan)),
          sizes_(sizes_of_cuts(s_.config.plan.global_batch_size, s_.config.plan.micro_batch_size)) {
        std::vector<std::int64_t> loss_tokens;
        for (std::int64_t b = 0; b < config.batches; ++b) {
            const StepPlan plan = singles_.plan(s_.steps_done + b);
            if (!(plan.denominator > 0.0)) continue;
            loss_tokens.insert(loss_tokens.end(), plan.loss_tokens.begin(), plan.loss_tokens.end());
            work_ += plan.size();
        }
        if (work_ == 0)
            throw Error(fmt::format("{}: no token carries a loss in the {} global batches from "
                                    "step {} on",
                                    data.source(), config.batches, s_.steps_done + 1),
                        "look at more of them: --audit-batches");
        lengths_ = lengths_to_cut_at(std::move(loss_tokens));
        work_ *= 1 + std::ssize(lengths_);
    }

    std::size_t main_cut() const {
        const auto own =
            std::min(s_.config.plan.global_batch_size, s_.config.plan.micro_batch_size);
        return static_cast<std::size_t>(std::find(sizes_.begin(), sizes_.end(), own) -
                                        sizes_.begin());
    }

    AuditedBatch examine(std::int64_t step, const StepGradient& production);

  private:
    static PlanConfig under_token_mean(PlanConfig plan) {
        plan.reduction = {};
        return plan;
    }
    static PlanConfig single_sequences(PlanConfig plan) {
        plan.micro_batch_size = 1;
        plan.micro_batch_tokens = 0;
        return under_token_mean(plan);
    }

    /// Plans under token mean, to be looked at together; `others` go last and into no cut.
    WeighedGradients measure(const StepPlan& singles, const std::vector<StepPlan>& plans,
                             std::vector<Weighing> others, std::vector<Cut>& cuts);

    Trainer::State& s_;
    std::vector<LossReduction> reductions_;
    const AuditProgress& progress_;
    Planner own_, singles_;
    std::vector<std::int64_t> sizes_, lengths_;
    std::int64_t done_ = 0, work_ = 0;  ///< sequences
};

WeighedGradients Examiner::measure(const StepPlan& singles, const std::vector<StepPlan>& plans,
                                   std::vector<Weighing> others, std::vector<Cut>& cuts) {
    std::vector<Weighing> weighings{weighing_of(LossReduction(), singles)};  // the reference
    for (const StepPlan& plan : plans) {
        for (const LossReduction& reduction : reductions_)
            weighings.push_back(weighing_of(reduction, plan));
        for (const CountFormat& format : count_formats)
            weighings.push_back(weighing_of(format, plan));
    }
    const std::size_t first_of_others = weighings.size();
    weighings.insert(weighings.end(), others.begin(), others.end());
    const DropoutKey dropout{dropout_step_key(s_.config.seed, singles.step),
                             s_.config.model.dropout()};
    const std::string what = fmt::format("step {}", singles.step + 1);
    WeighedGradients gradients(s_.config.model, s_.table, s_.store.weights(), singles, dropout,
                               weighings, [&] {
                                   ++done_;
                                   if (progress_) progress_(what, done_, work_);
                               });
    log_debug("{}: {} references of {} parameters in double precision", what,
              gradients.directions(), s_.table.parameter_count());
    const std::size_t of_plan = reductions_.size() + std::size(count_formats);
    for (std::size_t w = 1; w < first_of_others; ++w) {
        if ((w - 1) % of_plan == 0) {
            const StepPlan& plan = plans[(w - 1) / of_plan];
            const auto size = plan.sequence_begin[1];
            cuts.push_back({size, plan.size(), Unevenness::of(plan.loss_tokens), {}});
        }
        cuts.back().weighed.push_back({weighings[w].name, gradients.deviation_of(w, 0),
                                       gradients.loss(w), gradients.loss(w) - gradients.loss(0),
                                       weighings[w].largest_ratio()});
    }
    return gradients;
}

AuditedBatch Examiner::examine(std::int64_t step, const StepGradient& production) {
    const StepPlan singles = singles_.plan(step), own = own_.plan(step);
    AuditedBatch batch;
    batch.step = step + 1;
    batch.sequences = std::ssize(singles.lengths);
    batch.loss_tokens = singles.total_loss_tokens();
    batch.unevenness = Unevenness::of(singles.loss_tokens);
    batch.sequence_ratio =
        weighing_of(LossReduction::parse("sequence-mean"), singles).largest_ratio();

    std::vector<StepPlan> plans;
    for (const std::int64_t size : sizes_) plans.push_back(recut(singles, size));
    const bool packs = s_.config.plan.micro_batch_tokens > 0;
    if (packs) plans.push_back(own);
    const Weighing own_weighing = weighing_of(s_.config.plan.reduction, own);
    const WeighedGradients gradients = measure(singles, plans, {own_weighing}, batch.cuts);
    if (packs) {
        batch.packed = std::move(batch.cuts.back());
        batch.packed->micro_batch_size = 0;
        batch.cuts.pop_back();
    }
    const std::size_t last =
        1 + plans.size() * (reductions_.size() + std::size(count_formats));  // own_weighing
    batch.production = {gradients.deviation_of(production.values, last), *production.loss,
                        *production.loss / gradients.loss(last) - 1.0};

    const std::int64_t size = sizes_[main_cut()];
    for (const std::int64_t most : lengths_) {
        const StepPlan shorter = cut_completions(singles, most);
        std::vector<Cut> cut;
        measure(shorter, {recut(shorter, size)}, {}, cut);
        batch.shortened.push_back({most, Unevenness::of(shorter.loss_tokens), cut.front()});
    }
    batch.shortened.push_back({0, batch.unevenness, batch.cuts[main_cut()]});
    return batch;
}

// ----------------------------------------------------------------------------- over all batches

/// Adds `share` of the numbers of one to another.
void add(Weighed& to, const Weighed& from, double share) {
    to.gradient.error += share * from.gradient.error;
    to.gradient.cosine += share * from.gradient.cosine;
    to.gradient.norm_ratio += share * from.gradient.norm_ratio;
    to.loss += share * from.loss;
    to.loss_shift += share * from.loss_shift;
    to.weight_ratio = std::max(to.weight_ratio, from.weight_ratio);
}

void add(Unevenness& to, const Unevenness& from, double share) {
    to.shortest = to.longest == 0 ? from.shortest : std::min(to.shortest, from.shortest);
    to.longest = std::max(to.longest, from.longest);
    to.median += share * from.median;
    to.variation += share * from.variation;
}

void add(Cut& to, const Cut& from, double share) {
    // (The last batch of an epoch may be short.)
    to.micro_batch_size = std::max(to.micro_batch_size, from.micro_batch_size);
    to.micro_batches = std::max(to.micro_batches, from.micro_batches);
    add(to.unevenness, from.unevenness, share);
    to.weighed.resize(from.weighed.size(), {"", {0.0, 0.0, 0.0}, 0.0, 0.0, 1.0});
    for (std::size_t w = 0; w < from.weighed.size(); ++w) {
        to.weighed[w].name = from.weighed[w].name;
        add(to.weighed[w], from.weighed[w], share);
    }
}

AuditedBatch mean_of(const std::vector<AuditedBatch>& batches) {
    const double share = 1.0 / static_cast<double>(batches.size());
    AuditedBatch mean;
    mean.production.gradient = {0.0, 0.0, 0.0};
    for (const AuditedBatch& batch : batches) {
        mean.sequences += batch.sequences;
        mean.loss_tokens += batch.loss_tokens;
        add(mean.unevenness, batch.unevenness, share);
        mean.sequence_ratio = std::max(mean.sequence_ratio, batch.sequence_ratio);
        mean.production.gradient.error += share * batch.production.gradient.error;
        mean.production.gradient.cosine += share * batch.production.gradient.cosine;
        mean.production.gradient.norm_ratio += share * batch.production.gradient.norm_ratio;
        mean.production.loss += share * batch.production.loss;
        mean.production.loss_error += share * std::abs(batch.production.loss_error);
        mean.cuts.resize(batch.cuts.size());
        for (std::size_t c = 0; c < batch.cuts.size(); ++c) add(mean.cuts[c], batch.cuts[c], share);
        if (batch.packed)
            add(mean.packed ? *mean.packed : mean.packed.emplace(), *batch.packed, share);
        mean.shortened.resize(batch.shortened.size());
        for (std::size_t i = 0; i < batch.shortened.size(); ++i) {
            mean.shortened[i].most = batch.shortened[i].most;
            add(mean.shortened[i].unevenness, batch.shortened[i].unevenness, share);
            add(mean.shortened[i].cut, batch.shortened[i].cut, share);
        }
    }
    return mean;
}

/// @collective Held-out losses of the reductions, all from the seed and on micro-batches of a fixed
/// number of sequences; then the token mean's from the next seed.
std::vector<TrainedReduction> train_each(const Communicator& world, const AuditConfig& config,
                                         const Dataset* data, const Dataset* valid,
                                         const AuditProgress& progress) {
    std::vector<TrainConfig> runs;
    for (const LossReduction& reduction : reductions_to_audit(config)) {
        TrainConfig& run = runs.emplace_back(config.train);
        run.plan.reduction = reduction;
        run.plan.micro_batch_tokens = 0;
        run.schedule.train_iters = config.train_iters;
        run.report_spike = 0.0;  // nobody looks
        run.stats_interval = 0;
        run.save_gradients.clear();
    }
    const TrainConfig first = runs.front();
    runs.push_back(first);
    ++runs.back().seed;
    std::vector<TrainedReduction> trained;
    const std::int64_t all = std::ssize(runs) * config.train_iters;
    for (const TrainConfig& run : runs) {
        Trainer trainer(world, run, data);
        const std::string name = run.plan.reduction.text();
        for (std::int64_t i = 0; i < config.train_iters; ++i) {
            trainer.step();
            if (world.rank() == 0 && progress)
                progress("training " + name, std::ssize(trained) * config.train_iters + i + 1, all);
        }
        trained.push_back({name, run.seed, trainer.evaluate(valid)});
    }
    return trained;
}

}  // namespace

std::vector<LossReduction> reductions_to_audit(const AuditConfig& config) {
    std::vector<LossReduction> all{LossReduction()};
    if (config.reductions.empty()) {
        for (const char* text : {"sequence-mean", "sum"}) all.push_back(LossReduction::parse(text));
        all.push_back(
            LossReduction::parse(fmt::format("constant:{}", config.train.model.seq_length())));
        for (const char* text : {"micro-batch-mean", "rank-mean:4"})
            all.push_back(LossReduction::parse(text));
    }
    for (const LossReduction& reduction : config.reductions)
        if (reduction.kind != LossReduction::Kind::token_mean) all.push_back(reduction);
    return all;
}

bool Audit::is_even() const {
    return mean.sequence_ratio < 1.0 + 1e-6;  // weights are rounded to float
}

Audit run_audit(const Communicator& world, const AuditConfig& config, const Dataset* data,
                const Dataset* valid, const AuditProgress& progress) {
    Audit audit;
    if (valid) check_evaluation_data(*valid, config.train.model);
    {
        // No step is taken, and a checkpoint of any step may be looked at.
        TrainConfig looked_at = config.train;
        looked_at.schedule.train_iters = std::numeric_limits<std::int64_t>::max();
        Trainer trainer(world, looked_at, data);
        audit.parameters = trainer.parameters().parameter_count();
        TrainingHistory history;
        if (!config.resume.empty())
            audit.checkpoint = restore(trainer, config.resume, history, config.overrides);
        std::optional<Examiner> examiner;
        if (world.rank() == 0) examiner.emplace(trainer, config, *data, progress);
        const std::int64_t first = trainer.steps_done();
        for (std::int64_t step = first; step < first + config.batches; ++step) {
            const StepGradient production = gradient_of_step(trainer, step);
            if (!production.loss)
                ++audit.batches_without_loss;
            else if (examiner)
                audit.batches.push_back(examiner->examine(step, production));
        }
        if (examiner) {
            audit.main_cut = examiner->main_cut();
            audit.mean = mean_of(audit.batches);
        }
    }
    if (config.train_iters > 0) audit.trained = train_each(world, config, data, valid, progress);
    return audit;
}

}  // namespace evengrad
