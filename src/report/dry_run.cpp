#include "report/dry_run.hpp"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/aligned.hpp"
#include "base/text.hpp"
#include "checkpoint/size.hpp"
#include "data/token_store.hpp"
#include "model/layer_sink.hpp"
#include "report/progress.hpp"
#include "train/memory.hpp"
#include "train/work.hpp"
#include <evengrad/error.hpp>
#include <evengrad/version.hpp>

namespace evengrad {

namespace {

constexpr std::int64_t most_steps_seen = 100;

/// What a tensor belongs to, by its name ("blocks.3.attn.qkv.weight", "layers.0.norm.bias").
std::string kind_of(const std::string& name) {
    if (name == "wte.weight") return "token embedding (also the head)";
    if (name == "wpe.weight") return "position embedding";
    if (name.find(".attn.") != std::string::npos) return "attention";
    if (name.find(".mlp.") != std::string::npos) return "MLP";
    if (name.starts_with("layers.") && name.find(".norm.") == std::string::npos)
        return "linear layers";
    return "normalization";
}

std::vector<DryRun::Kind> kinds_of(const ParameterTable& table) {
    std::vector<DryRun::Kind> kinds;
    for (const Tensor& tensor : table.tensors()) {
        const std::string name = kind_of(tensor.name);
        auto kind = std::find_if(kinds.begin(), kinds.end(),
                                 [&](const DryRun::Kind& k) { return k.name == name; });
        if (kind == kinds.end()) kind = kinds.insert(kind, {name, 0, 0});
        ++kind->tensors;
        kind->parameters += tensor.count;
    }
    return kinds;
}

/// Share of the time until the last rank is done that ranks compute: micro-batches dealt to nodes,
/// and drawn there by whoever is free, as in a step.
double balance_of(const std::vector<double>& costs, const Topology& topology) {
    std::vector<double> ranks_of_node;
    for (int node = 0; node < topology.node_count(); ++node)
        ranks_of_node.push_back(static_cast<double>(topology.ranks_of(node).size()));
    const auto dealt = deal_to_nodes(costs, ranks_of_node);
    double end = 0.0;
    for (std::size_t node = 0; node < dealt.size(); ++node) {
        std::vector<double> busy(static_cast<std::size_t>(ranks_of_node[node]), 0.0);
        for (const std::int64_t k : dealt[node])
            *std::min_element(busy.begin(), busy.end()) += costs[static_cast<std::size_t>(k)];
        end = std::max(end, *std::max_element(busy.begin(), busy.end()));
    }
    const double all = std::accumulate(costs.begin(), costs.end(), 0.0);
    return all / (end * static_cast<double>(topology.world().size()));
}

/// What is gathered from the plans of single steps.
struct Seen {
    std::vector<double> micro_batches, tokens, loss_tokens, balance;
    std::vector<double> micro_batch_tokens, micro_batch_loss_tokens;
    double weight_ratio = 1.0, mean_of_means = 1.0;
    std::size_t scratch = 0;

    void look_at(const StepPlan& plan, const ModelConfig& config, const Model<float>& model,
                 const Topology& topology);
};

void Seen::look_at(const StepPlan& plan, const ModelConfig& config, const Model<float>& model,
                   const Topology& topology) {
    micro_batches.push_back(static_cast<double>(plan.size()));
    tokens.push_back(static_cast<double>(plan.tokens.size()));
    loss_tokens.push_back(static_cast<double>(plan.total_loss_tokens()));
    std::vector<double> costs;
    MicroBatchSize largest;  // of this step, for which a run makes room at once
    // Weights of a token as it is, and under a mean of means.
    double least = 0.0, most = 0.0, least_of_means = 0.0, most_of_means = 0.0;
    const auto include = [](double weight, double& lowest, double& highest) {
        if (weight <= 0.0) return;
        lowest = lowest == 0.0 ? weight : std::min(lowest, weight);
        highest = std::max(highest, weight);
    };
    for (std::int64_t k = 0; k < plan.size(); ++k) {
        const MicroBatch batch = plan.micro_batch(k);
        micro_batch_tokens.push_back(static_cast<double>(batch.tokens.size()));
        micro_batch_loss_tokens.push_back(
            static_cast<double>(plan.loss_tokens[static_cast<std::size_t>(k)]));
        costs.push_back(micro_batch_cost(config, batch));
        largest.include(MicroBatchSize::of(batch));
        const double sum = plan.weight[static_cast<std::size_t>(k)];
        for (const float weight : batch.weights) {
            include(static_cast<double>(weight), least, most);
            if (weight > 0.0f)
                include(static_cast<double>(weight) / sum, least_of_means, most_of_means);
        }
    }
    scratch = std::max(scratch, model.scratch_bytes(largest, true));
    balance.push_back(balance_of(costs, topology));
    if (least == 0.0) return;
    weight_ratio = std::max(weight_ratio, most / least);
    mean_of_means = std::max(mean_of_means, most_of_means / least_of_means);
}

/// Steps up to `last` that are multiples of one of two intervals (0: of none), and `last` itself.
std::int64_t steps_of(std::int64_t one, std::int64_t other, std::int64_t last) {
    const auto multiples = [&](std::int64_t interval) {
        return interval == 0 ? 0 : last / interval;
    };
    const auto is_multiple = [&](std::int64_t interval) {
        return interval > 0 && last % interval == 0;
    };
    return multiples(one) + multiples(other) - multiples(std::lcm(one, other)) +
           (is_multiple(one) || is_multiple(other) ? 0 : 1);
}

/// Checkpoint files that are there at once, at most: while the last one is written. An evaluation
/// that is the best so far is saved, too, and the best one stays.
std::int64_t most_checkpoints(const LoopConfig& loop, std::int64_t last, bool evaluates) {
    const std::int64_t keep_last = loop.retention.keep_last;
    const std::int64_t keep_every = loop.retention.keep_every;
    const std::int64_t all = steps_of(loop.save_interval, evaluates ? loop.eval_interval : 0, last);
    const std::int64_t newest = keep_last + (evaluates ? 2 : 1);
    if (keep_last == 0 || all <= newest) return all;
    std::int64_t for_good = 0;
    if (keep_every > 0 && evaluates)
        for_good = last / keep_every;
    else if (keep_every > 0)  // of those that are older than the last ones
        for_good = (all - newest) * loop.save_interval / std::lcm(loop.save_interval, keep_every);
    return std::min(all, for_good + newest);
}

/// Of rank 0. Held-out data are often the same file's.
std::size_t memory_of_data(const Dataset& data, const Dataset* valid) {
    std::set<const TokenStore*> stores;
    for (const DataPart& part : data.parts()) stores.insert(&part.store());
    if (valid)
        for (const DataPart& part : valid->parts()) stores.insert(&part.store());
    std::size_t bytes = 0;
    for (const TokenStore* store : stores) bytes += store->memory();
    return bytes;
}

}  // namespace

Spread Spread::of(std::vector<double> values) {
    if (values.empty()) return {};
    std::sort(values.begin(), values.end());
    return {values.front(), values[values.size() / 2], values.back()};
}

DryRun look_ahead(const Communicator& world, const TrainConfig& config_, const LoopConfig& loop,
                  const Dataset* data, const Dataset* valid) {
    const TrainConfig config = config_in_force(config_);
    const Topology topology(world, config.ranks_per_node);
    const ParameterTable table(config.model);
    const Ownership ownership(topology, block_ranges(table));
    const int moments = moments_of(config.optimizer.kind);
    DryRun run;
    run.ranks = world.size();
    run.nodes = topology.node_count();
    int largest_node = 0;
    for (int node = 0; node < topology.node_count(); ++node)
        if (topology.ranks_of(node).size() > topology.ranks_of(largest_node).size())
            largest_node = node;
    run.ranks_of_node = static_cast<int>(topology.ranks_of(largest_node).size());
    const std::int64_t machine = topology.world().split_shared().size();
    const std::int64_t cut = config.ranks_per_node > 0 ? config.ranks_per_node : machine;
    run.nodes_of_machine = (machine + cut - 1) / cut;
    const SharedMemoryRoom room = shared_memory_room(run.ranks_of_node);
    run.shared_free = room.free_bytes;
    world.min(std::span(&run.shared_free, 1));
    if (run.ranks_of_node > 1) run.shared_folder = room.folder;
    if (world.rank() != 0) return run;

    check_data(*data, config.model);
    const Planner planner(*data, config.plan);
    run.steps_per_epoch = planner.steps_per_epoch();
    run.train_iters = config.schedule.train_iters;
    const std::int64_t steps =
        std::min(run.steps_per_epoch, std::max<std::int64_t>(run.train_iters, 1));
    run.steps_seen = std::min(steps, most_steps_seen);
    const auto model = make_model<float>(config.model, table);
    Seen seen;
    // The first and the last, which may be short, are among them.
    for (std::int64_t i = 0; i < run.steps_seen; ++i)
        seen.look_at(planner.plan(run.steps_seen == 1 ? 0 : i * (steps - 1) / (run.steps_seen - 1)),
                     config.model, *model, topology);
    run.tokens_of_run = static_cast<std::int64_t>(
        std::accumulate(seen.tokens.begin(), seen.tokens.end(), 0.0) /
        static_cast<double>(run.steps_seen) * static_cast<double>(run.train_iters));
    run.step_micro_batches = Spread::of(seen.micro_batches);
    run.step_tokens = Spread::of(seen.tokens);
    run.step_loss_tokens = Spread::of(seen.loss_tokens);
    run.micro_batch_tokens = Spread::of(seen.micro_batch_tokens);
    run.micro_batch_loss_tokens = Spread::of(seen.micro_batch_loss_tokens);
    run.balance = Spread::of(seen.balance);
    run.reduction = config.plan.reduction;
    run.weight_ratio = seen.weight_ratio;
    run.mean_of_means = seen.mean_of_means;

    run.kinds = kinds_of(table);
    run.parameters = table.parameter_count();
    run.of_rows = config.model.is_mlp();
    run.initialization = describe(config.model.init());
    run.memory = memory_of(topology, ownership, table, moments, largest_node, seen.scratch);
    for (int rank = 0; rank < world.size(); ++rank)
        run.moments_per_rank =
            std::max(run.moments_per_rank, moment_bytes(ownership, rank, table, moments));
    run.data_memory = memory_of_data(*data, valid);
    run.tokens = data->tokens();
    run.sequences = planner.sequences().size();
    run.valid_tokens = valid ? valid->tokens() : 0;

    run.saves = !loop.save_dir.empty();
    CheckpointState state;
    state.options = loop.options;
    state.tokenizer = data->tokenizer()->spec();
    const std::int64_t evaluations = valid ? steps_of(loop.eval_interval, 0, run.train_iters) : 0;
    const std::int64_t recorded = statistics_steps(run.train_iters, config.stats_interval);
    const std::size_t layers = activation_layers(config.model).size();
    run.statistics = statistics_bytes(table, layers, recorded);
    run.statistics_memory = statistics_memory(table, layers, recorded);
    run.saved_gradients = std::ssize(config.save_gradients);
    run.checkpoint =
        checkpoint_bytes(table, moments, state, run.train_iters, evaluations) + run.statistics;
    const double micro_batches =
        std::accumulate(seen.micro_batches.begin(), seen.micro_batches.end(), 0.0) /
        static_cast<double>(run.steps_seen) * static_cast<double>(run.train_iters);
    run.ledger =
        ledger_bytes(run.train_iters, static_cast<std::int64_t>(micro_batches),
                     steps_of(loop.save_interval, valid ? loop.eval_interval : 0, run.train_iters));
    run.checkpoints_on_disk = most_checkpoints(loop, run.train_iters, valid != nullptr);
    return run;
}

namespace {

std::string bytes(std::size_t count) {
    return format_bytes(static_cast<double>(count));
}

/// Of all tensors, but for what files have around them.
std::size_t gradient_bytes(std::int64_t parameters) {
    return static_cast<std::size_t>(parameters) * sizeof(float);
}

std::string batch_line(const std::string& what, const Spread& spread) {
    return fmt::format("           {:<28} {:>12.0f} {:>12.0f} {:>12.0f}\n", what, spread.min,
                       spread.median, spread.max);
}

std::string memory_lines(const DryRun& run) {
    const Trainer::Memory& memory = run.memory;
    const std::size_t shared = memory.weights + memory.sums + memory.locks;
    std::string text =
        fmt::format("memory     of a node of {}: weights {} + gradient sums {} + locks {} = {}\n",
                    counted(run.ranks_of_node, "rank"), bytes(memory.weights), bytes(memory.sums),
                    bytes(memory.locks), bytes(shared));
    if (!run.shared_folder.empty()) {
        const auto needed = shared * static_cast<std::size_t>(run.nodes_of_machine);
        text += fmt::format(
            "           shared: {} needed{}, {} free in {}{}\n", bytes(needed),
            run.nodes_of_machine == 1 ? "" : fmt::format(" by {} nodes", run.nodes_of_machine),
            bytes(static_cast<std::size_t>(run.shared_free)), run.shared_folder,
            static_cast<std::int64_t>(needed) > run.shared_free ? ": TOO LITTLE" : "");
    }
    text += fmt::format("           of each rank: moments {}, scratch {}\n",
                        bytes(run.moments_per_rank), bytes(memory.scratch_per_rank));
    text += fmt::format(
        "           of rank 0 besides: data {}, snapshot for the checkpoint {}, statistics {}{}\n",
        bytes(run.data_memory), bytes(memory.snapshot), bytes(run.statistics_memory),
        run.saved_gradients > 0
            ? fmt::format(", gradient to save {}", bytes(gradient_bytes(run.parameters)))
            : "");
    return text;
}

}  // namespace

std::string dry_run_text(const DryRun& run) {
    std::string text =
        fmt::format("evengrad {}: dry run for {} on {}: nothing is trained or written\n", version,
                    counted(run.ranks, "rank"), counted(run.nodes, "node"));
    text += fmt::format("parameters {}\n", run.parameters);
    for (const DryRun::Kind& kind : run.kinds)
        text += fmt::format("           {:<32} {:>12} in {}\n", kind.name, kind.parameters,
                            counted(kind.tensors, "tensor"));
    text += fmt::format("           linear layers begin as {}\n", run.initialization);
    text += memory_lines(run);
    const auto iters = static_cast<double>(run.train_iters);
    const std::string unit = run.of_rows ? "row" : "token";
    text += fmt::format(
        "data       {}, {} held out\n"
        "steps      {} an epoch; {} are {:.3g} epochs, {}{:.4g} {}\n",
        run.of_rows
            ? counted(run.sequences, "row")
            : fmt::format("{} tokens in {}", run.tokens, counted(run.sequences, "sequence")),
        run.of_rows ? run.valid_tokens / 2 : run.valid_tokens, run.steps_per_epoch, run.train_iters,
        iters / static_cast<double>(run.steps_per_epoch),
        run.steps_seen < run.train_iters ? "about " : "", static_cast<double>(run.tokens_of_run),
        unit + "s");
    text += fmt::format("batches    {:<28} {:>12} {:>12} {:>12}\n",
                        fmt::format("of {} of an epoch", counted(run.steps_seen, "step")), "min",
                        "median", "max");
    text += batch_line("micro-batches a step", run.step_micro_batches);
    text += batch_line(unit + "s a step", run.step_tokens);
    text += batch_line("loss " + unit + "s a step", run.step_loss_tokens);
    text += batch_line(unit + "s a micro-batch", run.micro_batch_tokens);
    text += batch_line("loss " + unit + "s a micro-batch", run.micro_batch_loss_tokens);
    text += fmt::format(
        "balance    ranks busy {:.1f} % of the time (median; worst step {:.1f} %), by operations\n",
        100.0 * run.balance.median, 100.0 * run.balance.min);
    const std::string weights =
        run.weight_ratio > 1.0
            ? fmt::format("some {}s weigh {:.3g} times others in a step", unit, run.weight_ratio)
            : fmt::format("all {}s weigh the same", unit);
    text += fmt::format("weights    {}: {}", run.reduction.text(), weights);
    if (run.reduction.kind == LossReduction::Kind::token_mean && run.mean_of_means > 1.0)
        text += fmt::format("; a mean of micro-batch means would weigh some {:.3g} times others",
                            run.mean_of_means);
    text += '\n';
    text += fmt::format(
        "checkpoint {}{}{}\n", bytes(run.checkpoint),
        run.statistics > 0 ? fmt::format(", about {} of it statistics", bytes(run.statistics)) : "",
        run.saves
            ? fmt::format("; at most {} on disk at once: {}", run.checkpoints_on_disk,
                          bytes(run.checkpoint * static_cast<std::size_t>(run.checkpoints_on_disk)))
            : "");
    if (run.saves && run.saved_gradients > 0)
        text += fmt::format("gradients  {} of {}; all of them stay\n",
                            counted(run.saved_gradients, "file"),
                            bytes(gradient_bytes(run.parameters)));
    if (run.saves)
        text += fmt::format("ledger     about {} in the end; all of it stays\n", bytes(run.ledger));
    return text;
}

}  // namespace evengrad
