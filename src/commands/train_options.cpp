#include "commands/train_options.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "commands/recipe.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr const char* resume_here = "SAVE";

/// None for auto.
std::optional<double> parse_stall_timeout(const std::string& text,
                                          std::vector<std::string>& problems) {
    if (text == "auto") return std::nullopt;
    constexpr double least = 3.0;  // a sign of life comes every second
    double seconds = 0.0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, seconds);
    if (error != std::errc() || stop != end ||
        (seconds != 0.0 && !(seconds >= least && seconds <= 1e9)))
        problems.push_back(
            fmt::format("--stall-timeout must be auto, 0 or seconds between {} and 1e9, not '{}'",
                        least, text));
    return seconds;
}

}  // namespace

TrainOptions::TrainOptions() : TrainOptions("train", ScheduleConfig().train_iters, "steps") {}

TrainOptions::TrainOptions(const std::string& verb, std::int64_t train_iters,
                           const std::string& train_iters_help)
    : table("evengrad " + verb) {
    PlanConfig& plan = train.plan;
    ScheduleConfig& schedule = train.schedule;
    schedule.train_iters = train_iters;
    table.add("help", help, true, "this text");
    table.add("config", config_, "recipe: an INI file of these options; the command line beats it");
    table.add("print-config", print_config, true,
              "print the recipe of this very run, every option resolved, and don't train");
    table.add("dry-run", dry_run, true,
              "print parameters, memory, batches and disk of this run, and don't train");
    table.section("data");
    table.add_list(
        "data", data,
        "training data: prepared (FILE.h5), .txt, .jsonl or .bin for a gpt; .csv, .tsv, "
        "IDX images or generate:NAME for an mlp; each also with .gz; several files: each "
        "sequence once an epoch, or FILE:SHARE each, drawn so");
    table.add_list("valid-data", valid_data, "held-out data, same formats");
    table.add("tokenizer", tokenizer,
              "of raw files: byte, sentencepiece:FILE or ids:VOCABULARY:END_OF_TEXT; not given: "
              "that of the prepared files, or byte");
    table.add("valid-fraction", valid_fraction, "hold out the last part of --data, e.g. 0.1");
    add_table_options();
    table.section("saving");
    table.add("save", save_, "folder for checkpoints and metrics.jsonl");
    table.add("overwrite", loop.overwrite, true, "replace an earlier run in the --save folder");
    table.add(
        "resume", resume_, std::string(resume_here),
        verb == "train"
            ? "go on from this checkpoint or run folder; alone: from --save's latest"
            : "checkpoint or run folder whose weights are looked at; not given: initial ones");
    table.add_list("override", loop.overrides,
                   "options that may differ from the checkpoint's: NAME... of " +
                       fmt::format("{}", fmt::join(overridable_options, ", ")));
    table.add("save-interval", loop.save_interval, "steps between checkpoints; 0: only at the end");
    table.add("keep-last", loop.retention.keep_last, "newest checkpoints that stay; 0: all");
    table.add("keep-every", loop.retention.keep_every,
              "those of steps that this divides stay, too, for good; 0: none");
    table.add("exit-duration-in-mins", loop.exit_duration_in_mins,
              "save and exit with code 3 before rank 0's process is this old; 0: no limit");
    model_.add_to(table);
    table.add("seed", train.seed, "of initial weights, order of data, dropout; below 2^56");
    table.section("batches");
    table.add(
        "sequences", sequences_,
        "documents: each by itself, cut at seq-length; stream: end to end, cut at seq-length");
    table.add("global-batch-size", plan.global_batch_size, "sequences a step");
    table.add("micro-batch-size", plan.micro_batch_size, "sequences a micro-batch");
    table.add("micro-batch-tokens", plan.micro_batch_tokens,
              "instead: tokens a micro-batch at most (a longer sequence gets its own)");
    table.add("loss-reduction", loss_reduction_,
              "token-mean, sequence-mean, sum, constant:C (the sum by C tokens a sequence), or, to "
              "compare, the mistakes micro-batch-mean and rank-mean:R");
    optimizer_.add_to(table, train.optimizer, schedule, train_iters_help);
    table.section("unusual gradients");
    table.add("report-spike", train.report_spike,
              "when the gradient norm is so many standard deviations above the usual, say which "
              "text did it; 0: never");
    table.add("skip-on-spike", train.skip_on_spike,
              "and leave that update out when it is above so many; 0: never. Both begin once "
              "32 steps are known");
    table.section("evaluation and logs");
    table.add("eval-interval", loop.eval_interval, "steps between evaluations; 0: only at the end");
    table.add("eval-iters", loop.eval_iters,
              "global batches of held-out sequences that an evaluation looks at, always the same "
              "ones; 0: all");
    table.add("early-stop-patience", loop.early_stop_patience,
              "end after this many evaluations in a row without improvement; 0: don't");
    table.add("early-stop-min-delta", loop.early_stop_min_delta,
              "nats per token by which the held-out loss must fall to be an improvement");
    table.add(
        "stats-interval", train.stats_interval,
        "steps between statistics of each tensor's gradient and weights, which checkpoints and "
        "history.h5 have; the first step's too; 0: none");
    table.add("save-gradients", save_gradients_,
              "steps whose whole gradient, before clipping, is saved beside the checkpoints, e.g. "
              "1,100,1000");
    table.add("log-interval", log_interval, "steps between lines, when output is not a terminal");
    add_log_level(table, log_level_);
    table.section("machines");
    table.add("ranks-per-node", train.ranks_per_node,
              "cut each machine into nodes of this many ranks (one per NUMA domain); 0: don't");
    table.add("allow-mixed-cpus", train.allow_mixed_cpus, true,
              "go on when ranks don't compute the same bits");
    table.add(
        "stall-timeout", stall_timeout_,
        "end the job, and say which rank it is, when nothing gets on for so many seconds; auto: "
        "ten times the median step, at least 300; 0: wait forever");
    table.add("verify-interval", train.verify_interval,
              "every so many steps compare the weights in every node's memory with what was "
              "written, and have a second rank compute a micro-batch; 0: never");
    table.add_rivals("micro-batch-size", "micro-batch-tokens");
    table.add_rivals("valid-data", "valid-fraction");
    table.add_rivals("print-config", "dry-run");
    table.means_nothing_without({"eval-interval", "eval-iters", "early-stop-patience"},
                                {"valid-data", "valid-fraction"});
    table.means_nothing_without({"early-stop-patience"}, {"eval-interval"});
    table.means_nothing_without({"early-stop-min-delta"}, {"early-stop-patience"});
    table.means_nothing_without({"override"}, {"resume"});
    table.means_nothing_with({"log-interval"}, "log-level", {"warning", "error"});
    table.means_nothing_without({"keep-last"}, {"save-interval", "eval-interval"});
    table.means_nothing_without({"keep-every"}, {"save-interval"});
    table.only_on_command_line(
        {"help", "config", "print-config", "dry-run", "overwrite", "resume", "override"});
}

void TrainOptions::add_table_options() {
    table.add_list("target-columns", tables_.target_columns,
                   "of tables: what is to be predicted, by name or number from 1; not given: the "
                   "last column; several with --loss mse");
    table.add("weight-column", tables_.weight_column,
              "of tables: how much each row's loss counts; not given: 1 each");
    table.add("header", header_,
              "of tables: whether the first row names the columns: auto, yes or no");
    table.add("input-normalization", input_normalization_,
              "of features, fitted on the training data: none, center (mean 0), standardize (and "
              "standard deviation 1) or minmax (0 to 1)");
    const std::vector<std::string> models{"gpt", "mlp"};
    table.means_something_with({"target-columns", "weight-column", "header", "input-normalization"},
                               "model", {"mlp"}, models);
    table.means_something_with({"tokenizer", "sequences", "micro-batch-tokens"}, "model", {"gpt"},
                               models);
}

void TrainOptions::read(const std::vector<std::string>& arguments,
                        std::vector<std::string>& problems) {
    table.parse(arguments, problems);
    const std::string recipe = table.given_value("config");
    if (!recipe.empty()) {
        if (!recipe_) recipe_ = read_recipe_file(recipe, problems);
        table.parse_recipe(*recipe_, recipe, problems);
    }
    table.finish(problems);
    if (help) return;
    interpret(problems);
    use_log_level(log_level_, problems);
    if (!(valid_fraction >= 0.0 && valid_fraction < 1.0))
        problems.push_back(
            fmt::format("--valid-fraction must be at least 0 and below 1, not {}", valid_fraction));
}

void TrainOptions::parse(const std::vector<std::string>& arguments) {
    std::vector<std::string> problems;
    read(arguments, problems);
    if (help) return;
    if (data.empty() && !print_config) problems.push_back("--data is missing: what to train on");
    if (save_.empty() && !print_config && !dry_run)
        problems.push_back("--save is missing: where to put checkpoints");
    check_plateau(problems);
    fail_on(problems, "train");
}

void TrainOptions::leave_out_of_measurements() {
    table.leave_out({"print-config", "dry-run", "save", "overwrite", "save-interval", "keep-last",
                     "keep-every", "exit-duration-in-mins", "early-stop-patience",
                     "early-stop-min-delta", "log-interval", "report-spike", "stall-timeout",
                     "verify-interval", "save-gradients"});
}

void TrainOptions::check_plateau(std::vector<std::string>& problems) const {
    if (train.schedule.decay == LrDecay::reduce_on_plateau &&
        (loop.eval_interval < 1 || !has_held_out_data()))
        problems.push_back(
            "--lr-decay-style reduce-on-plateau follows held-out losses: it needs --eval-interval, "
            "and --valid-data or --valid-fraction");
}

void TrainOptions::parse_resolved(const std::string& text) {
    std::vector<std::string> problems;
    table.parse_resolved(text, problems);
    table.finish(problems);
    interpret(problems);
    EVENGRAD_CHECK(problems.empty(), "the resolved options of rank 0: {}",
                   fmt::join(problems, "; "));
}

Dataset TrainOptions::open(const std::vector<std::string>& files,
                           std::shared_ptr<const Tokenizer> known) const {
    if (train.model.is_mlp()) return open_table(files, tables_, std::move(known));
    if (!known && !tokenizer.empty()) known = open_tokenizer(tokenizer);
    return open_dataset(files, std::move(known));
}

RunData TrainOptions::open_unscaled_data() const {
    RunData run;
    run.data = open(data, nullptr);
    if (!valid_data.empty()) {
        run.valid = open(valid_data, run.data.tokenizer());
        if (!run.valid->shares().empty())
            throw UsageError("--valid-data: a share means nothing, all of it is evaluated",
                             "leave the shares out");
    }
    if (valid_fraction > 0.0) {
        auto [training, held_out] = run.data.split_tail(valid_fraction);
        run = {std::move(training), std::move(held_out)};
    }
    return run;
}

RunData TrainOptions::open_data() const {
    RunData run = open_unscaled_data();
    if (train.model.is_mlp())
        scale_features(normalization_, run.data, run.valid ? &*run.valid : nullptr);
    return run;
}

bool TrainOptions::share(const Communicator& world, const RunData& held, bool runs) {
    const bool root = world.rank() == 0;
    std::string resolved = root && runs ? table.resolved() : "";
    world.broadcast(resolved, 0);
    if (resolved.empty()) return false;
    std::int64_t vocabulary = root ? held.data.tokenizer()->vocabulary_size() : 0;
    world.broadcast(std::span(&vocabulary, 1), 0);
    if (!root) parse_resolved(resolved);
    if (!train.model.is_mlp()) train.model.gpt().vocab_size = vocabulary;
    return true;
}

void TrainOptions::parse_known(const std::string& recipe) {
    std::vector<std::string> ignored;
    table.parse_resolved(recipe, ignored);
    table.finish(ignored);
    interpret(ignored);
}

std::string TrainOptions::changes_since(const std::string& recipe) const {
    TrainOptions before;
    before.parse_known(recipe);
    std::vector<std::string> without = loop.overrides;
    // Restoring knows data by their digest only; here are their names.
    without.erase(std::remove(without.begin(), without.end(), "data"), without.end());
    return fmt::format("{}", fmt::join(table.changes_since(before.table, without), ", "));
}

void TrainOptions::interpret(std::vector<std::string>& problems) {
    choose("sequences", sequences_, train.plan.sequences,
           {{"documents", SequenceMode::documents}, {"stream", SequenceMode::stream}}, problems);
    train.model = model_.interpret(table, problems);
    if (train.model.is_mlp())
        tables_.targets =
            train.model.mlp().loss == MlpLoss::mse ? TableTargets::values : TableTargets::classes;
    choose("header", header_, tables_.header, choices_of<TableHeader>(table_header_names),
           problems);
    choose("input-normalization", input_normalization_, normalization_,
           choices_of<FeatureScalingKind>(feature_scaling_names), problems);
    optimizer_.interpret(train.optimizer, train.schedule, problems);
    try {
        train.plan.reduction = LossReduction::parse(loss_reduction_);
    } catch (const Error& error) {
        problems.emplace_back(error.what());
    }
    if (const auto steps = whole_numbers(save_gradients_)) {
        train.save_gradients = *steps;
        std::sort(train.save_gradients.begin(), train.save_gradients.end());
    } else {
        problems.push_back(fmt::format("--save-gradients {}: steps, whole numbers between commas",
                                       save_gradients_));
    }
    loop.save_dir = save_;
    loop.resume = resume_ == resume_here ? save_ : resume_;
    if (loop.overwrite && !loop.resume.empty() && loop.resume == loop.save_dir)
        problems.emplace_back("--resume and --overwrite contradict each other: give one");
    for (const std::string& name : loop.overrides)
        if (std::find(overridable_options.begin(), overridable_options.end(), name) ==
            overridable_options.end())
            problems.push_back(fmt::format("--override {}: can be {}", name,
                                           fmt::join(overridable_options, ", ")));
    for (const auto& [name, value] : {std::pair{"save-interval", loop.save_interval},
                                      {"log-interval", log_interval},
                                      {"eval-interval", loop.eval_interval},
                                      {"eval-iters", loop.eval_iters},
                                      {"early-stop-patience", loop.early_stop_patience},
                                      {"keep-last", loop.retention.keep_last},
                                      {"keep-every", loop.retention.keep_every}})
        if (value < 0)
            problems.push_back(fmt::format("--{} must be at least 0, not {}", name, value));
    if (!(loop.exit_duration_in_mins >= 0.0 && loop.exit_duration_in_mins <= 1e9))
        problems.push_back(fmt::format("--exit-duration-in-mins must be between 0 and 1e9, not {}",
                                       loop.exit_duration_in_mins));
    loop.stall_timeout = parse_stall_timeout(stall_timeout_, problems);
    // Times a global batch it must be a number.
    if (loop.eval_iters > std::numeric_limits<std::int32_t>::max())
        problems.push_back(fmt::format("--eval-iters must be at most {}, not {}",
                                       std::numeric_limits<std::int32_t>::max(), loop.eval_iters));
    if (!(loop.early_stop_min_delta >= 0.0 && std::isfinite(loop.early_stop_min_delta)))
        problems.push_back(fmt::format("--early-stop-min-delta must be at least 0, not {}",
                                       loop.early_stop_min_delta));
    const auto more = train.validate();
    problems.insert(problems.end(), more.begin(), more.end());
    if (!problems.empty()) return;
    decide_the_rest();
    loop.options = table.recipe();
}

void TrainOptions::decide_the_rest() {
    // Prepared files bring theirs, for which there is no option.
    if (train.model.is_mlp() || !tokenizer.empty() || data.empty() ||
        std::any_of(data.begin(), data.end(), names_prepared_file))
        return;
    tokenizer = "byte";
    table.decide("tokenizer", tokenizer);
}

}  // namespace evengrad
