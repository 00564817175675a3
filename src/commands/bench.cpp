// How fast this machine trains, against what its BLAS could do.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <optional>

#include <fmt/core.h>

#include "base/check_within.hpp"
#include "base/philox.hpp"
#include "commands/model_options.hpp"
#include "commands/options.hpp"
#include "commands/verbs.hpp"
#include "kernels/matrix.hpp"
#include "lab/step_costs.hpp"
#include "report/prediction_report.hpp"
#include "train/state.hpp"
#include <evengrad/error.hpp>
#include <evengrad/train.hpp>

namespace evengrad {

namespace {

/// FLOP/s of this rank's sgemm while all ranks run theirs: median of several products of a size
/// that lives in the last cache. @collective
double sgemm_rate(const Communicator& world) {
    constexpr Index size = 768;
    constexpr int repetitions = 25;
    AlignedBuffer<float> a(size * size), b(size * size), c(size * size);
    std::fill_n(a.data(), a.size(), 0.5f);
    std::fill_n(b.data(), b.size(), 0.25f);
    std::vector<double> seconds;
    world.barrier();
    for (int r = 0; r < repetitions; ++r) {
        const double start = monotonic_seconds();
        multiply<float>(matrix(a.data(), size, size), Transpose::no, matrix(b.data(), size, size),
                        Transpose::yes, matrix(c.data(), size, size));
        seconds.push_back(monotonic_seconds() - start);
    }
    std::nth_element(seconds.begin(), seconds.begin() + repetitions / 2, seconds.end());
    return 2.0 * static_cast<double>(size) * static_cast<double>(size) * static_cast<double>(size) /
           seconds[repetitions / 2];
}

/// Documents of exactly seq_length inputs, of random bytes: speed doesn't depend on what they say.
Dataset random_data(Index seq_length, Index documents) {
    Documents data;
    data.source = "random bytes";
    const Philox philox(1, RandomPurpose::test);
    for (Index d = 0; d < documents; ++d) {
        for (Index i = 0; i <= seq_length; ++i) {
            const auto word =
                philox(static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(d))[0];
            data.tokens.push_back(static_cast<std::int32_t>(word & 0xffu));
            data.weights.push_back(i > 0 ? 1.0f : 0.0f);
        }
        data.offsets.push_back(static_cast<std::int64_t>(data.tokens.size()));
        data.lines.push_back(d + 1);
    }
    return Dataset(std::move(data));
}

double sum_of_ranks(const Communicator& world, double value) {
    const auto all = world.all_gather(value);
    return std::accumulate(all.begin(), all.end(), 0.0);
}

struct Measured {
    std::vector<double> step_seconds;
    std::array<double, phase_count> phases{};  ///< seconds, summed over ranks and steps
    double tokens = 0.0, flops = 0.0;          ///< of one step
};

void print_report(const Measured& m, double peak, double ranks, const Trainer& trainer,
                  const MachineSummary& machine, std::int64_t steps) {
    const double median = m.step_seconds[m.step_seconds.size() / 2];
    const double rate = m.flops / median;
    fmt::print("{}", machine_lines(machine));
    fmt::print("sgemm    {:.1f} GFLOP/s, all ranks at once\n", peak * 1e-9);
    fmt::print("step     {:.4f} s (median of {}; {:.4f} to {:.4f})\n", median, steps,
               m.step_seconds.front(), m.step_seconds.back());
    fmt::print("speed    {:.0f} tokens/s, {:.1f} GFLOP/s: {:.1f} % of the sgemm peak\n",
               m.tokens / median, rate * 1e-9, 100.0 * rate / peak);
    fmt::print("\n{:<12} {:>12} {:>8}\n", "phase", "s/step/rank", "share");
    const double total = std::accumulate(m.phases.begin(), m.phases.end(), 0.0);
    for (std::size_t p = 0; p < phase_count; ++p)
        fmt::print("{:<12} {:>12.5f} {:>6.2f} %\n", phase_names[p],
                   m.phases[p] / (ranks * static_cast<double>(steps)), 100.0 * m.phases[p] / total);
    const auto memory = trainer.memory();
    const auto parameters = static_cast<double>(trainer.parameters().parameter_count());
    const double fixed = static_cast<double>(memory.weights + memory.sums + memory.moments);
    fmt::print(
        "\nmemory   {:.1f} bytes a parameter ({} parameters) in weights, sums and moments of "
        "rank 0's node;\n         {} of scratch a rank\n",
        fixed / parameters, trainer.parameters().parameter_count(),
        format_bytes(static_cast<double>(memory.scratch_per_rank)));
}

/// What to predict from what is measured.
struct PredictOptions {
    bool predict = false;
    std::int64_t nodes = 1024, node_ranks = 0, global_batch_size = 0;
    std::string networks = "1:50,10:25,100:2";

    void add_to(OptionTable& table);
    void check(std::vector<std::string>& problems) const;
    PredictionReport report(StepModel model, std::int64_t micro_batches_per_rank) const;
};

void PredictOptions::add_to(OptionTable& table) {
    table.section("prediction");
    table.add("predict", predict, true, "say how fast 1, 2, 4 ... nodes like these would be");
    table.add("nodes", nodes, "so many at most");
    table.add("node-ranks", node_ranks, "ranks of each; 0: as many as measured here");
    table.add("networks", networks,
              "GBIT:MICROSECONDS,...: speed of a node's link, and what a small message takes");
    table.add("global-batch-size", global_batch_size,
              "sequences a step, on however many nodes; 0: micro-batches-per-rank for each rank");
    table.means_nothing_without({"nodes", "node-ranks", "networks", "global-batch-size"},
                                {"predict"});
}

/// None for what isn't GBIT:MICROSECONDS,...
std::optional<std::vector<Network>> networks_of(const std::string& text) {
    std::vector<Network> networks;
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto number = [&](double& value, char then) {
        const auto [stop, error] = std::from_chars(at, end, value);
        const bool ends = stop == end;
        at = ends ? end : stop + 1;
        return error == std::errc() && std::isfinite(value) && (ends ? then == ',' : *stop == then);
    };
    do {
        Network network;
        double microseconds = 0.0;
        if (!number(network.gigabits, ':') || !number(microseconds, ',')) return std::nullopt;
        if (!(network.gigabits > 0.0) || microseconds < 0.0) return std::nullopt;
        network.latency = microseconds * 1e-6;
        networks.push_back(network);
    } while (at != end);
    return text.ends_with(',') ? std::nullopt : std::optional(networks);
}

void PredictOptions::check(std::vector<std::string>& problems) const {
    check_within(nodes, 1, 10'000, "nodes", problems);
    check_within(node_ranks, 0, 1000, "node-ranks", problems);
    check_within(global_batch_size, 0, 1'000'000'000, "global-batch-size", problems);
    if (!networks_of(networks))
        problems.push_back(fmt::format(
            "--networks: '{}' is not GBIT:MICROSECONDS,... as in 1:50,10:25", networks));
}

PredictionReport PredictOptions::report(StepModel model,
                                        std::int64_t micro_batches_per_rank) const {
    if (node_ranks > 0) model.shape.ranks = node_ranks;
    const std::int64_t sequences = model.shape.sequences;
    return {std::move(model), *networks_of(networks), nodes, micro_batches_per_rank,
            (global_batch_size + sequences - 1) / sequences};
}

}  // namespace

int bench_command(const Communicator& world, const Arguments& arguments) {
    MachineSummary machine = prepare_machine();
    TrainConfig config;
    GptConfig& model = config.model.gpt();
    model.num_layers = 6;
    model.hidden_size = 384;
    model.num_attention_heads = 6;
    model.seq_length = 256;
    config.plan.micro_batch_size = 8;
    bool help = false;
    std::int64_t steps = 5, micro_batches = 2;
    OptionTable table("evengrad bench: speed of this machine");
    table.add("help", help, true, "this text");
    add_gpt_options(table, model);
    table.add("micro-batch-size", config.plan.micro_batch_size, "sequences a micro-batch");
    table.add("micro-batches-per-rank", micro_batches, "micro-batches a rank and step");
    table.add("ranks-per-node", config.ranks_per_node, "cut machines into nodes; 0: don't");
    table.add("steps", steps, "steps timed, after two that aren't");
    PredictOptions options;
    options.add_to(table);
    std::vector<std::string> problems;
    table.parse(arguments, problems);
    table.finish(problems);
    if (help) {
        if (world.rank() == 0) fmt::print("{}", table.help());
        return 0;
    }
    check_within(steps, 1, 100'000, "steps", problems);
    check_within(micro_batches, 1, 1000, "micro-batches-per-rank", problems);
    if (config.plan.micro_batch_size > 1'000'000)
        problems.push_back("--micro-batch-size must be at most 1000000");
    options.check(problems);
    fail_on(problems, "bench");
    config.plan.global_batch_size =
        std::max<std::int64_t>(1, config.plan.micro_batch_size) * micro_batches * world.size();
    const auto more = config.validate();
    problems.insert(problems.end(), more.begin(), more.end());
    fail_on(problems, "bench");

    const Dataset data = random_data(model.seq_length, config.plan.global_batch_size);
    Trainer trainer(world, config, &data);
    machine.ranks = world.size();
    machine.nodes = trainer.node_count();
    // The first step is computed twice (no quanta yet), the second meets warm caches.
    trainer.step();
    trainer.step();
    const double peak = sum_of_ranks(world, sgemm_rate(world));
    Measured measured;
    StepCostsMeter meter(trainer);
    for (std::int64_t s = 0; s < steps; ++s) {
        const StepRecord record = trainer.step();
        measured.step_seconds.push_back(record.seconds);
        meter.add(record);
        for (std::size_t p = 0; p < phase_count; ++p) measured.phases[p] += record.phases[p];
    }
    for (double& seconds : measured.phases) seconds = sum_of_ranks(world, seconds);
    std::sort(measured.step_seconds.begin(), measured.step_seconds.end());
    const auto sequences = static_cast<double>(config.plan.global_batch_size);
    measured.tokens = sequences * static_cast<double>(model.seq_length);
    measured.flops = sequences * model.training_flops(model.seq_length, model.seq_length);
    if (world.rank() == 0) print_report(measured, peak, world.size(), trainer, machine, steps);
    if (options.predict) {
        const PredictionReport report = options.report(meter.result(), micro_batches);
        if (world.rank() == 0) fmt::print("{}", prediction_tables(report));
    }
    return 0;
}

}  // namespace evengrad
