// Options of models: architecture, shape, activation, initial weights.
#pragma once

#include <string>
#include <vector>

#include "commands/options.hpp"
#include <evengrad/model.hpp>

namespace evengrad {

class ModelOptions {
  public:
    /// Adds the section "model", and says which option means something to which architecture.
    void add_to(OptionTable& table);
    /// What the values mean, once the table is finished. Of a gpt the vocabulary is the data's to
    /// say. Options that were left to follow from --model are decided.
    ModelConfig interpret(OptionTable& table, std::vector<std::string>& problems) const;

  private:
    void add_init_options(OptionTable& table);
    InitConfig interpret_init(OptionTable& table, bool is_mlp,
                              std::vector<std::string>& problems) const;

    std::string model_ = "gpt", activation_;
    double negative_slope_ = GptConfig().negative_slope;
    GptConfig gpt_;
    std::string layer_widths_, norm_ = "none", loss_ = "cross-entropy";
    bool residual_ = false;
    InitConfig init_;
    std::string init_scheme_, init_distribution_ = "normal", init_fan_ = "in";
};

/// Adds the options that describe a gpt's shape, for verbs that make one.
void add_gpt_options(OptionTable& table, GptConfig& model);

}  // namespace evengrad
