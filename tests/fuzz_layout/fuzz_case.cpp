#include "fuzz_layout/fuzz_case.hpp"

#include <algorithm>
#include <csignal>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "optimizer/kinds.hpp"

namespace evengrad::fuzz {

namespace {

/// Other initial weights than an architecture's own, mostly.
void draw_init(Draw& draw, InitConfig& init) {
    if (draw.chance(0.4)) return;
    init.scheme = draw.one_of({InitScheme::uniform, InitScheme::normal,
                               InitScheme::truncated_normal, InitScheme::lecun, InitScheme::xavier,
                               InitScheme::he, InitScheme::orthogonal});
    if (draw.chance(0.5)) init.distribution = InitDistribution::uniform;
}

Activation draw_activation(Draw& draw) {
    return static_cast<Activation>(draw.between(0, std::ssize(activation_names) - 1));
}

MlpConfig draw_mlp(Draw& draw) {
    MlpConfig model;
    model.layer_widths.push_back(draw.skewed(2, 40));
    const Index width = draw.skewed(3, 60);
    for (Index layers = draw.between(1, 5); layers > 0; --layers)
        model.layer_widths.push_back(draw.chance(0.7) ? width : draw.skewed(3, 60));
    model.loss = draw.chance(0.6) ? MlpLoss::cross_entropy : MlpLoss::mse;
    model.layer_widths.push_back(model.loss == MlpLoss::mse ? draw.between(1, 3)
                                                            : draw.between(2, 6));
    model.activation = draw_activation(draw);
    model.residual = draw.chance(0.4);
    if (draw.chance(0.4)) model.norm = MlpNorm::layernorm;
    model.init.scheme = InitScheme::xavier;
    draw_init(draw, model.init);
    return model;
}

GptConfig draw_gpt(Draw& draw) {
    GptConfig model;
    model.num_layers = draw.skewed(1, 3);
    model.num_attention_heads = draw.between(1, 4);
    model.hidden_size = model.num_attention_heads * draw.one_of<Index>({2, 4, 7, 8, 12, 16});
    model.ffn_hidden_size = draw.chance(0.5) ? 0 : draw.skewed(4, 100);
    model.seq_length = draw.skewed(2, 64);
    model.init.std = draw.one_of({0.02, 0.05, 0.3});
    draw_init(draw, model.init);
    if (draw.chance(0.5)) model.activation = draw_activation(draw);
    model.dropout = draw.one_of({0.0, 0.0, 0.1, 0.5});
    return model;
}

PlanConfig draw_plan(Draw& draw, const ModelConfig& model) {
    PlanConfig plan;
    if (!model.is_mlp() && draw.chance(0.3)) plan.sequences = SequenceMode::stream;
    const Index seq_length = plan.seq_length = model.seq_length();
    plan.global_batch_size = draw.skewed(1, 24);
    plan.micro_batch_size = draw.skewed(1, 8);
    if (draw.chance(0.4)) plan.micro_batch_tokens = draw.skewed(1, 4 * seq_length);
    using Kind = LossReduction::Kind;
    plan.reduction.kind = draw.one_of({Kind::token_mean, Kind::token_mean, Kind::token_mean,
                                       Kind::token_mean, Kind::sequence_mean, Kind::sum,
                                       Kind::constant, Kind::micro_batch_mean, Kind::rank_mean});
    if (plan.reduction.kind == Kind::constant) plan.reduction.constant = draw.one_of({7.0, 1024.0});
    if (plan.reduction.kind == Kind::rank_mean) plan.reduction.ranks = draw.between(1, 5);
    return plan;
}

OptimizerConfig draw_optimizer(Draw& draw) {
    OptimizerConfig optimizer;
    std::vector<OptimizerKind> kinds(4, OptimizerKind::adamw);
    for (const OptimizerFacts& facts : optimizers()) kinds.push_back(facts.kind);
    optimizer.kind = kinds[static_cast<std::size_t>(draw.between(0, std::ssize(kinds) - 1))];
    optimizer.weight_decay = draw.one_of({0.0, 0.01, 0.1});
    optimizer.clip_grad = draw.one_of({0.0, 1.0, 0.05, 100.0});
    optimizer.adam_beta1 = draw.one_of({0.0, 0.9});
    optimizer.adam_beta2 = draw.one_of({0.95, 0.999});
    optimizer.adam_eps = draw.one_of({1e-8, 1e-6});
    return optimizer;
}

ScheduleConfig draw_schedule(Draw& draw) {
    ScheduleConfig schedule;
    schedule.train_iters = draw.skewed(3, 9);
    schedule.lr = draw.one_of({1e-4, 1e-3, 1e-2});
    schedule.decay = draw.one_of({LrDecay::constant, LrDecay::linear, LrDecay::cosine,
                                  LrDecay::step, LrDecay::inverse_square_root});
    schedule.step_size = draw.between(1, 3);
    schedule.warmup_iters = draw.between(0, 3);
    return schedule;
}

/// Ranks and what they do; how it ends is drawn by draw_layout.
Segment draw_segment(Draw& draw) {
    Segment segment;
    // Some of a job's processes, in any order.
    const int ranks = static_cast<int>(draw.chance(0.1) ? draw.between(5, 6) : draw.between(1, 4));
    segment.processes.resize(static_cast<std::size_t>(ranks));
    std::iota(segment.processes.begin(), segment.processes.end(), 0);
    if (draw.chance(0.5))
        for (int i = ranks - 1; i > 0; --i)
            std::swap(segment.processes[static_cast<std::size_t>(i)],
                      segment.processes[static_cast<std::size_t>(draw.between(0, i))]);
    segment.ranks_per_node = static_cast<int>(draw.between(0, std::max(1, ranks - 1)));
    segment.order = draw.one_of(
        {Order::as_dealt, Order::reversed, Order::rotated, Order::shuffled, Order::shuffled});
    segment.shuffle = draw.bits();
    if (ranks > 1 && draw.chance(0.25)) {
        segment.slow_rank = static_cast<int>(draw.between(0, ranks - 1));
        segment.slow_microseconds = draw.skewed(50, 3000);
    }
    return segment;
}

Layout draw_layout(Draw& draw, std::int64_t steps) {
    Layout layout;
    layout.segments.clear();
    layout.save_interval = draw.between(0, 3);
    std::int64_t first = 1;
    if (draw.chance(0.12)) {
        Segment killed = draw_segment(draw);
        killed.end = End::kill;
        killed.end_step = draw.between(1, steps);
        killed.end_rank = static_cast<int>(draw.between(-1, killed.ranks() - 1));
        killed.kill_microseconds = draw.skewed(1, 20000);
        layout.save_interval = draw.between(1, 2);  // or nothing would be there to go on from
        first = killed.end_step;  // where it goes on is not known; that a signal comes later is
        layout.segments.push_back(std::move(killed));
    }
    while (first < steps && draw.chance(0.3)) {
        Segment stopped = draw_segment(draw);
        stopped.end = End::signal;
        stopped.end_step = draw.between(first, steps - 1);
        stopped.end_rank = static_cast<int>(draw.between(0, stopped.ranks() - 1));
        stopped.end_signal = draw.one_of({SIGUSR1, SIGUSR2, SIGTERM});
        first = stopped.end_step + 1;
        layout.segments.push_back(std::move(stopped));
    }
    layout.segments.push_back(draw_segment(draw));
    return layout;
}

std::string describe(const Segment& segment) {
    std::string text = fmt::format("{} rank{}", segment.ranks(), segment.ranks() == 1 ? "" : "s");
    if (segment.ranks_per_node > 0) text += fmt::format(", {} per node", segment.ranks_per_node);
    if (!std::is_sorted(segment.processes.begin(), segment.processes.end()))
        text += fmt::format(", processes {}", fmt::join(segment.processes, " "));
    const std::string orders[] = {"", ", order reversed", ", order rotated", ", order shuffled"};
    text += orders[static_cast<std::size_t>(segment.order)];
    if (segment.slow_rank >= 0)
        text += fmt::format(", rank {} {} us late", segment.slow_rank, segment.slow_microseconds);
    if (segment.end == End::signal)
        text += fmt::format(", until rank {} gets signal {} in step {}", segment.end_rank,
                            segment.end_signal, segment.end_step);
    if (segment.end == End::kill)
        text += fmt::format(
            ", until SIGKILL of {}, {} us into step {}",
            segment.end_rank < 0 ? "all ranks" : fmt::format("rank {}", segment.end_rank),
            segment.kill_microseconds, segment.end_step);
    return text;
}

}  // namespace

int Layout::processes() const {
    int most = 1;
    for (const Segment& segment : segments)
        if (segment.end != End::kill) most = std::max(most, segment.ranks());
    return most;
}

Layout reference_layout() {
    Layout layout;
    layout.save_interval = 1;
    return layout;
}

FuzzCase draw_case(std::uint64_t seed, std::int64_t number) {
    Draw draw(seed, number);
    FuzzCase drawn;
    drawn.seed = seed;
    drawn.number = number;
    TrainConfig& config = drawn.config;
    const bool is_mlp = draw.chance(0.3);
    if (is_mlp)
        config.model = draw_mlp(draw);
    else
        config.model = draw_gpt(draw);
    config.plan = draw_plan(draw, config.model);
    config.optimizer = draw_optimizer(draw);
    // An undivided sum is a long step: one that leaves numbers that are none is no case.
    const OptimizerKind kind = config.optimizer.kind;
    if (config.plan.reduction.kind != LossReduction::Kind::token_mean &&
        (kind == OptimizerKind::sgd || kind == OptimizerKind::momentum ||
         kind == OptimizerKind::nesterov))
        config.optimizer.clip_grad = 1.0;
    config.schedule = draw_schedule(draw);
    config.seed = draw.bits() >> 8;  // as many as --seed takes
    if (is_mlp) {
        const MlpConfig& mlp = config.model.mlp();
        const bool values = mlp.loss == MlpLoss::mse;
        drawn.data =
            draw_rows(draw, mlp.features(), values ? 0 : mlp.outputs(), values ? mlp.outputs() : 0);
    } else {
        drawn.data = draw_data(draw, config.model.seq_length());
        Index& vocabulary = config.model.gpt().vocab_size;
        vocabulary = open_tokenizer(drawn.data.tokenizer)->vocabulary_size();
        if (draw.chance(0.2)) vocabulary += draw.between(1, 40);
    }
    if (!drawn.data.valid.empty()) {
        drawn.eval_interval = draw.between(0, 3);
        drawn.eval_iters = draw.between(0, 2);
        if (drawn.eval_interval > 0 && draw.chance(0.3)) {
            config.schedule.decay = LrDecay::reduce_on_plateau;
            config.schedule.plateau_patience = draw.between(0, 1);
            config.schedule.plateau_threshold = 0.5;  // so that there are falls
        }
    }
    if (draw.chance(0.2)) drawn.misfit_at_step = draw.between(2, drawn.steps());
    std::int64_t layouts = draw.between(5, 11);
    if (draw.chance(0.1)) {
        // Whether a norm is unusual is said after 32 steps. So many of them can only be small ones.
        config.schedule.train_iters = draw.between(34, 40);
        config.report_spike = config.skip_on_spike = draw.one_of({0.5, 1.0, 2.0});
        if (!is_mlp) config.model.gpt().num_layers = 1;
        config.plan.global_batch_size = std::min<std::int64_t>(config.plan.global_batch_size, 4);
        layouts = 5;
    }
    for (std::int64_t left = layouts; left > 0; --left)
        drawn.layouts.push_back(draw_layout(draw, drawn.steps()));
    return drawn;
}

std::string describe(const Layout& layout) {
    std::vector<std::string> segments;
    for (const Segment& segment : layout.segments) segments.push_back(describe(segment));
    return fmt::format("{}", fmt::join(segments, "; then "));
}

std::vector<std::string> describe(const FuzzCase& drawn) {
    const TrainConfig& config = drawn.config;
    const PlanConfig& plan = config.plan;
    std::vector<std::string> files;
    for (const auto* list : {&drawn.data.train, &drawn.data.valid})
        for (const GeneratedFile& file : *list)
            files.push_back(file.name + (file.share > 0.0 ? fmt::format(":{}", file.share) : ""));
    return {
        fmt::format("{}; {}; dropout {}", evengrad::describe(config.model),
                    evengrad::describe(config.model.init()), config.model.dropout()),
        fmt::format(
            "{}, {}", fmt::join(files, " "),
            drawn.data.tables
                ? fmt::format("features {}",
                              feature_scaling_names[static_cast<std::size_t>(drawn.data.scaling)])
                : fmt::format("tokenizer {}, {}", drawn.data.tokenizer,
                              plan.sequences == SequenceMode::stream ? "stream" : "documents")),
        fmt::format("loss reduction {}, global batches of {}, micro-batches of {} {}; seed {}",
                    plan.reduction.text(), plan.global_batch_size,
                    plan.micro_batch_tokens > 0 ? plan.micro_batch_tokens : plan.micro_batch_size,
                    plan.micro_batch_tokens > 0 ? "tokens" : "sequences", config.seed),
        fmt::format("{}, lr {} {}, weight decay {}, clip {}, {} steps{}",
                    facts_of(config.optimizer.kind).name, config.schedule.lr,
                    facts_of(config.schedule.decay).name, config.optimizer.weight_decay,
                    config.optimizer.clip_grad, drawn.steps(),
                    (drawn.misfit_at_step > 0
                         ? fmt::format(", quanta that don't fit in step {}", drawn.misfit_at_step)
                         : "") +
                        (config.skip_on_spike > 0.0
                             ? fmt::format(", spikes of {} left out", config.skip_on_spike)
                             : ""))};
}

std::vector<std::string> features(const FuzzCase& drawn, const Layout& layout,
                                  std::int64_t least_micro_batches) {
    std::vector<std::string> found;
    const auto note = [&](bool present, const std::string& feature) {
        if (present) found.push_back(feature);
    };
    const auto any = [&](auto&& holds) {
        return std::any_of(layout.segments.begin(), layout.segments.end(), holds);
    };
    int most = 0;
    for (const Segment& segment : layout.segments) most = std::max(most, segment.ranks());
    found.push_back(fmt::format("at most {} rank{}", most, most == 1 ? "" : "s"));
    note(any([](const Segment& s) { return s.ranks_per_node > 0 && s.ranks_per_node < s.ranks(); }),
         "several nodes");
    note(any([](const Segment& s) {
             return s.ranks_per_node > 1 && s.ranks() % s.ranks_per_node != 0;
         }),
         "nodes of unequal size");
    note(any([](const Segment& s) {
             return !std::is_sorted(s.processes.begin(), s.processes.end());
         }),
         "processes change places");
    note(any([](const Segment& s) { return s.order != Order::as_dealt; }), "another order of work");
    note(any([](const Segment& s) { return s.slow_rank >= 0; }), "a rank that is late");
    note(any([&](const Segment& s) { return s.ranks() > least_micro_batches; }),
         "ranks without work in some step");
    note(any([&](const Segment& s) {
             return s.ranks_per_node > 0 &&
                    (s.ranks() + s.ranks_per_node - 1) / s.ranks_per_node > least_micro_batches;
         }),
         "nodes without work in some step");
    note(any([](const Segment& s) { return s.end == End::signal; }), "stopped and resumed");
    note(layout.killed(), "killed and resumed");
    note(layout.segments.size() > 2, "resumed twice or more often");

    const TrainConfig& config = drawn.config;
    found.push_back("loss reduction " +
                    config.plan.reduction.text().substr(0, config.plan.reduction.text().find(':')));
    found.push_back(
        config.model.is_mlp()
            ? fmt::format("a perceptron, {}",
                          mlp_loss_names[static_cast<std::size_t>(config.model.mlp().loss)])
            : "a transformer");
    note(config.model.is_mlp() && config.model.mlp().residual, "a perceptron, residual");
    note(config.model.is_mlp() && config.model.mlp().norm != MlpNorm::none,
         "a perceptron, layernorm");
    note(drawn.data.scaling != FeatureScalingKind::none, "features scaled");
    note(config.model.dropout() > 0.0, "dropout");
    note(config.plan.sequences == SequenceMode::stream, "stream");
    note(config.plan.micro_batch_tokens > 0, "micro-batches by tokens");
    found.emplace_back(facts_of(config.optimizer.kind).name);
    note(config.schedule.decay == LrDecay::reduce_on_plateau,
         "a rate that follows held-out losses");
    note(config.optimizer.clip_grad > 0.0, "clipping");
    note(config.skip_on_spike > 0.0, "40 steps, updates left out on spikes");
    note(drawn.misfit_at_step > 0, "quanta that don't fit, planted");
    note(drawn.data.train.size() > 1, "several files");
    note(drawn.data.train.front().share > 0.0, "a mixture by shares");
    note(drawn.data.masked, "documents without loss");
    note(drawn.data.shortest, "sequences of one or two tokens");
    note(drawn.data.fractional, "fractional weights");
    note(drawn.data.zero, "weights of 0");
    note(drawn.data.giant, "a giant document");
    note(drawn.data.tokenizer.starts_with("ids"), "token ids and labels");
    note(!drawn.data.valid.empty(), "held-out losses");
    return found;
}

}  // namespace evengrad::fuzz
