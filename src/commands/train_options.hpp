// Options of `evengrad train`, as a configuration.
#pragma once

#include <string>

#include "commands/options.hpp"
#include <evengrad/loop.hpp>

namespace evengrad {

struct TrainOptions {
    TrainOptions();

    /// From the command line and the recipe it names; puts --log-level in force. @throws UsageError
    /// with all problems.
    void parse(const std::vector<std::string>& arguments);
    /// From the text of `table.resolved()`: how other ranks get rank 0's.
    void parse_resolved(const std::string& text);

    /// Options that aren't as they were in the run that wrote a checkpoint, from the recipe in it:
    /// "--lr 0.1 -> 0.2, ...", but for those that --override names.
    std::string changes_since(const std::string& recipe) const;

    TrainConfig train;
    LoopConfig loop;
    std::vector<std::string> data, valid_data;
    std::string tokenizer;
    double valid_fraction = 0.0;
    std::int64_t log_interval = 10;
    bool help = false, print_config = false, dry_run = false;
    OptionTable table;

  private:
    /// What the table's plain values mean; adds problems that only show when all is known.
    void interpret(std::vector<std::string>& problems);
    /// Gives options that were left to follow from others the value that does.
    void decide_the_rest();

    std::string config_, sequences_ = "documents", optimizer_ = "adamw", decay_ = "cosine";
    std::string loss_reduction_ = "token-mean";
    std::string save_, resume_, log_level_ = "info";
};

/// Adds the options that describe a model's shape, for verbs that make one.
void add_model_options(OptionTable& table, GptConfig& model);

}  // namespace evengrad
