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

    TrainConfig train;
    LoopConfig loop;
    std::string data, valid_data;
    double valid_fraction = 0.0;
    std::int64_t log_interval = 10;
    bool help = false, print_config = false;
    OptionTable table;

  private:
    /// What the table's plain values mean; adds problems that only show when all is known.
    void interpret(std::vector<std::string>& problems);

    std::string config_, sequences_ = "documents", optimizer_ = "adamw", decay_ = "cosine";
    std::string save_, resume_, log_level_ = "info";
};

/// Adds the options that describe a model's shape, for verbs that make one.
void add_model_options(OptionTable& table, GptConfig& model);

}  // namespace evengrad
