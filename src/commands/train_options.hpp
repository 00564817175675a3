// Options of `evengrad train`, as a configuration, and what other verbs share of them.
#pragma once

#include <optional>
#include <string>

#include "commands/model_options.hpp"
#include "commands/optimizer_options.hpp"
#include <evengrad/feature_scaling.hpp>
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

    /// From the recipe in a checkpoint, which may be another version's: what this version knows.
    void parse_known(const std::string& recipe);

    /// Options that aren't as they were in the run that wrote a checkpoint, from the recipe in it:
    /// "--lr 0.1 -> 0.2, ...", but for those that --override names.
    std::string changes_since(const std::string& recipe) const;

    /// @collective Rank 0's options and vocabulary, of which its `data` are, on every rank; false,
    /// everywhere, when rank 0 has nothing to run. @throws Error
    bool share(const Communicator& world, const RunData& data, bool runs);

    bool has_held_out_data() const { return !valid_data.empty() || valid_fraction > 0.0; }
    /// Opens --data, --valid-data or --valid-fraction, with --tokenizer or as tables, features
    /// normalized. @throws Error
    RunData open_data() const;
    /// The same, features as they are in the files.
    RunData open_unscaled_data() const;
    /// What a run's recipe says of its tables, for other data of the same columns.
    const TableOptions& tables() const { return tables_; }
    FeatureScalingKind input_normalization() const { return normalization_; }

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
    /// From the command line and the recipe, all that verbs have in common. The recipe's file is
    /// read unless its text is in `recipe_`, where it is then: what is read once only (a pipe) can
    /// be parsed again.
    void read(const std::vector<std::string>& arguments, std::vector<std::string>& problems);
    /// What the table's plain values mean; adds problems that only show when all is known.
    virtual void interpret(std::vector<std::string>& problems);
    /// For a verb that only measures: without what a run saves, shows and stops by.
    void leave_out_of_measurements();
    /// That a schedule which follows held-out losses gets any.
    void check_plateau(std::vector<std::string>& problems) const;
    /// Gives options that were left to follow from others the value that does.
    void decide_the_rest();

    std::optional<std::string> recipe_;

  private:
    void add_table_options();
    /// Files of what the model takes: text, or tables whose classes are `known`.
    Dataset open(const std::vector<std::string>& files,
                 std::shared_ptr<const Tokenizer> known) const;

    ModelOptions model_;
    OptimizerOptions optimizer_;
    TableOptions tables_;
    FeatureScalingKind normalization_ = FeatureScalingKind::none;
    std::string header_ = "auto", input_normalization_ = "none";
    std::string config_, sequences_ = "documents";
    std::string loss_reduction_ = "token-mean";
    std::string save_, resume_, save_gradients_, log_level_ = "info", stall_timeout_ = "auto";
};

}  // namespace evengrad
