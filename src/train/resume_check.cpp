#include "train/resume_check.hpp"

#include <algorithm>
#include <map>
#include <sstream>

#include "base/log.hpp"
#include "checkpoint/schema.hpp"
#include "optimizer/kinds.hpp"
#include <evengrad/error.hpp>
#include <evengrad/loop.hpp>

namespace evengrad {

namespace {

/// The value of each option in overridable_options that is set, and of loss-reduction, as text.
std::map<std::string, std::string> deciding_options(const CheckpointState& state,
                                                    const ModelConfig& model) {
    std::map<std::string, std::string> values{{"seed", std::to_string(state.seed)},
                                              {"dropout", fmt::format("{}", model.dropout())},
                                              // Checkpoints from before there was a choice.
                                              {"loss-reduction", LossReduction().text()}};
    if (!state.data_digest.empty()) values["data"] = "tokens of digest " + state.data_digest;
    // "sequences stream, global-batch-size 32, ..."
    std::istringstream batches(state.batches);
    for (std::string name, value; batches >> name && std::getline(batches >> std::ws, value, ',');)
        values[name] = value;
    return values;
}

std::string name_of(const FeatureScaling& scaling) {
    return feature_scaling_names[static_cast<std::size_t>(scaling.kind)];
}

void must_be_same(const std::string& what, const std::string& checkpoint, const std::string& here,
                  std::vector<std::string>& problems) {
    if (checkpoint != here)
        problems.push_back(
            fmt::format("{} is {} in the checkpoint and {} here", what, checkpoint, here));
}

}  // namespace

void check_resume(const CheckpointInfo& checkpoint, const TrainConfig& config,
                  const CheckpointState& here, const std::vector<std::string>& overrides) {
    std::vector<std::string> problems;
    const auto fail = [&](const std::string& hint) {
        throw Error(
            fmt::format("--resume {}: {}", checkpoint.path.string(), fmt::join(problems, "; ")),
            hint);
    };
    if (const auto difference = schema::difference(checkpoint.model, config.model))
        must_be_same(fmt::format("the architecture ({})", difference->name), difference->first,
                     difference->second, problems);
    must_be_same("the optimizer", checkpoint.optimizer, facts_of(config.optimizer.kind).name,
                 problems);
    if (!here.data_digest.empty())
        must_be_same("the tokenizer", checkpoint.state.tokenizer.describe(),
                     here.tokenizer.describe(), problems);
    if (!here.data_digest.empty() && checkpoint.state.scaling.kind != here.scaling.kind)
        must_be_same("--input-normalization", name_of(checkpoint.state.scaling),
                     name_of(here.scaling), problems);
    const auto before = deciding_options(checkpoint.state, checkpoint.model);
    const auto now = deciding_options(here, config.model);
    must_be_same("--loss-reduction", before.at("loss-reduction"), now.at("loss-reduction"),
                 problems);
    if (!problems.empty()) fail("give the options of the run that is resumed");

    const auto value = [](const auto& values, const char* name) {
        const auto found = values.find(name);
        return found == values.end() ? std::string("unset") : found->second;
    };
    std::vector<std::string> changed, warnings;
    for (const char* name : overridable_options) {
        const std::string first = value(before, name), second = value(now, name);
        const bool compared = name != std::string("data") || !here.data_digest.empty();
        const bool named = std::find(overrides.begin(), overrides.end(), name) != overrides.end();
        const bool same = !compared || first == second;
        if (same && named)
            problems.push_back(
                fmt::format("--override {}: it is {} in the checkpoint, too", name, first));
        if (!same && !named) {
            must_be_same(fmt::format("--{}", name), first, second, problems);
            changed.emplace_back(name);
        }
        if (!same && named)
            warnings.push_back(fmt::format("--override {}: it was {} up to step {} and is {} now",
                                           name, first, checkpoint.state.step, second));
    }
    if (!problems.empty())
        fail(changed.empty()
                 ? "name only what changes"
                 : fmt::format("give the options of the run that is resumed, or say that they may "
                               "change: --override {}",
                               fmt::join(changed, " ")));
    for (const std::string& warning : warnings) log_warning(warning);
}

}  // namespace evengrad
