// How well a checkpoint predicts data: by file, and by length of completion.
#include <optional>

#include <fmt/core.h>

#include "base/log.hpp"
#include "base/output_file.hpp"
#include "base/text.hpp"
#include "commands/outputs.hpp"
#include "commands/train_options.hpp"
#include "commands/verbs.hpp"
#include "report/evaluation_report.hpp"
#include "report/work_bar.hpp"
#include "train/state.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

struct EvaluateOptions {
    std::string checkpoint, sequences, json;
    std::vector<std::string> data;
    int ranks_per_node = 0;
    bool allow_mixed_cpus = false, help = false;

    /// Prints the help text on rank 0 when that is asked for. @throws UsageError with all problems.
    EvaluateOptions(const Arguments& arguments, bool root);
};

EvaluateOptions::EvaluateOptions(const Arguments& arguments, bool root) {
    std::string log_level = "info";
    OptionTable table(
        "evengrad evaluate: loss, accuracy, perplexity and bits per byte of a checkpoint");
    table.add("help", help, true, "this text");
    table.add("checkpoint", checkpoint, "checkpoint file or run folder");
    table.add_list("data", data,
                   "prepared (FILE.h5), .txt, .jsonl or .bin, each also with .gz; raw files are "
                   "read with the checkpoint's tokenizer; for an mlp tables as it was trained on");
    table.add("sequences", sequences,
              "documents or stream, as in training; not given: what the checkpoint was trained on");
    table.add("json", json, "file for the results as JSON, every digit, too");
    table.add("ranks-per-node", ranks_per_node,
              "cut each machine into nodes of this many ranks (one per NUMA domain); 0: don't");
    table.add("allow-mixed-cpus", allow_mixed_cpus, true,
              "go on when ranks don't compute the same bits");
    add_log_level(table, log_level);
    std::vector<std::string> problems;
    table.parse(arguments, problems);
    table.finish(problems);
    if (help) {
        if (root) fmt::print("{}", table.help());
        return;
    }
    if (root) use_log_level(log_level, problems);
    if (root) check_outputs(table, {"json"}, problems);
    if (checkpoint.empty()) problems.push_back("--checkpoint is missing: what to evaluate");
    if (data.empty()) problems.push_back("--data is missing: what to evaluate on");
    if (ranks_per_node < 0)
        problems.push_back(
            fmt::format("--ranks-per-node must be at least 0, not {}", ranks_per_node));
    if (SequenceMode unused; !sequences.empty())
        choose("sequences", sequences, unused,
               {{"documents", SequenceMode::documents}, {"stream", SequenceMode::stream}},
               problems);
    fail_on(problems, "evaluate");
}

/// Tables have the columns and the scaling of those that the checkpoint was trained on.
Dataset open_data(const EvaluateOptions& options, const CheckpointInfo& checkpoint) {
    auto tokenizer = make_tokenizer(checkpoint.state.tokenizer);
    if (!checkpoint.model.is_mlp()) return open_dataset(options.data, std::move(tokenizer));
    TrainOptions run;
    run.parse_known(checkpoint.state.options);
    const Dataset rows = open_table(options.data, run.tables(), std::move(tokenizer));
    return checkpoint.state.scaling.kind == FeatureScalingKind::none
               ? rows
               : rows.scaled(std::make_shared<const FeatureScaling>(checkpoint.state.scaling));
}

}  // namespace

int evaluate_command(const Communicator& world, const Arguments& arguments) {
    const bool root = world.rank() == 0;
    const EvaluateOptions options(arguments, root);
    if (options.help) return 0;
    prepare_machine();
    // Rank 0 alone touches files; what can be refused is refused before anything is computed.
    CheckpointInfo checkpoint;
    Dataset data;
    EvaluateConfig config;
    std::optional<OutputFile> output;
    if (root) {
        checkpoint = open_checkpoint(options.checkpoint, log_warning);
        data = open_data(options, checkpoint);
        if (!data.shares().empty())
            throw UsageError("--data FILE:SHARE: an evaluation counts every token once",
                             "leave the shares out");
        config.sequences = sequence_mode_of(checkpoint);
        if (checkpoint.model.is_mlp() && !options.sequences.empty())
            throw UsageError("--sequences means nothing to rows of numbers", "leave it out");
        if (!options.sequences.empty())
            config.sequences =
                options.sequences == "stream" ? SequenceMode::stream : SequenceMode::documents;
        if (!options.json.empty()) output.emplace(options.json);
    }
    std::optional<WorkBar> bar;
    if (root) bar.emplace();
    const Evaluation evaluation = evaluate_checkpoint(
        world, checkpoint, root ? &data : nullptr, config, options.ranks_per_node,
        options.allow_mixed_cpus, [&](std::int64_t done, std::int64_t all, std::int64_t positions) {
            bar->draw(done == all, [&](double seconds) {
                return evaluation_line(done, all, positions, seconds);
            });
        });
    if (!root) return 0;
    bar->clear();
    bar.reset();
    const EvaluationReport report{checkpoint, data, config.sequences, evaluation};
    fmt::print("{}", printable(evaluation_tables(report)));
    if (output) {
        output->write(evaluation_json(report));
        output->publish();
    }
    return 0;
}

}  // namespace evengrad
