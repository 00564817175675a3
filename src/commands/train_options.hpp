// Options of `evengrad train`, as a configuration, and what other verbs share of them.
#pragma once

#include <optional>
#include <string>

#include "commands/optimizer_options.hpp"
#include <evengrad/loop.hpp>

namespace evengrad {

/// What a run is trained and evaluated on.
struct RunData {
    Dataset data;
    std::optional<Dataset> valid;  ///< held out
};

struct TrainOptions {
    TrainOptions();
    virtual ~TrainOptions() = default;

    /// From the command line and the recipe it names; puts --log-level in force. @throws UsageError
    /// with all problems.
    void parse(const std::vector<std::string>& arguments);
    /// From the text of `table.resolved()`: how other ranks get rank 0's.
    void parse_resolved(const std::string& text);

    /// Options that aren't as they were in the run that wrote a checkpoint, from the recipe in it:
    /// "--lr 0.1 -> 0.2, ...", but for those that --override names.
    std::string changes_since(const std::string& recipe) const;

    /// @collective Rank 0's options and vocabulary, of which its `data` are, on every rank; false,
    /// everywhere, when rank 0 has nothing to run. @throws Error
    bool share(const Communicator& world, const RunData& data, bool runs);

    bool has_held_out_data() const { return !valid_data.empty() || valid_fraction > 0.0; }
    /// Opens --data, --valid-data or --valid-fraction, with --tokenizer. @throws Error
    RunData open_data() const;

    TrainConfig train;
    LoopConfig loop;
    std::vector<std::string> data, valid_data;
    std::string tokenizer;
    double valid_fraction = 0.0;
    std::int64_t log_interval = 10;
    bool help = false, print_config = false, dry_run = false;
    OptionTable table;

  protected:
    /// For a verb whose recipes are those of `train`; what --train-iters is there, and means.
    TrainOptions(const std::string& verb, std::int64_t train_iters, const std::string& help);
    /// From the command line and the recipe, all that verbs have in common.
    void read(const std::vector<std::string>& arguments, std::vector<std::string>& problems);
    /// What the table's plain values mean; adds problems that only show when all is known.
    virtual void interpret(std::vector<std::string>& problems);
    /// Gives options that were left to follow from others the value that does.
    void decide_the_rest();

  private:
    void add_init_options();
    void say_what_init_uses();  ///< which of them mean something, by --init

    OptimizerOptions optimizer_;
    std::string config_, sequences_ = "documents";
    std::string loss_reduction_ = "token-mean";
    std::string init_ = "gpt2", init_distribution_ = "normal", init_fan_ = "in";
    std::string save_, resume_, log_level_ = "info";
};

/// Adds the options that describe a model's shape, for verbs that make one.
void add_model_options(OptionTable& table, GptConfig& model);

}  // namespace evengrad
