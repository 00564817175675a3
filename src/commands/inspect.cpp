#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "base/log.hpp"
#include "commands/options.hpp"
#include "commands/verbs.hpp"
#include "report/prepare_report.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

void print_summary(const CheckpointInfo& info) {
    const ParameterTable table(info.model);
    const GptConfig& model = info.model;
    fmt::print("checkpoint {}\n", info.path.string());
    fmt::print("written    {} by evengrad {}\n", info.file_time, info.creator_version);
    fmt::print("model      gpt, {} layers x {}, {} heads, MLP {}, sequences of {}, vocabulary {}\n",
               model.num_layers, model.hidden_size, model.num_attention_heads, model.ffn_size(),
               model.seq_length, model.vocab_size);
    fmt::print("           {} parameters in {} tensors\n", table.parameter_count(), table.size());
    fmt::print("optimizer  {}, {} moments a parameter\n", info.optimizer, info.moments);
    fmt::print("state      step {}, epoch {}, {} updates, seed {}\n", info.state.step,
               info.state.epoch, info.state.updates, info.state.seed);
    const TrainingHistory& history = info.history;
    if (!history.step.empty())
        fmt::print("training   loss {:.4f} at step {}, {:.4f} at step {}\n", history.loss.front(),
                   history.step.front(), history.loss.back(), history.step.back());
    const auto skipped =
        std::accumulate(history.skipped.begin(), history.skipped.end(), std::int64_t{0});
    if (skipped > 0)
        fmt::print("           {} update{} left out\n", skipped, skipped == 1 ? "" : "s");
    if (!history.step.empty() && !std::isnan(history.noise_scale.back()))
        fmt::print(
            "           gradient noise scale {:.3g} +- {:.2g} tokens; the last step had {}\n",
            history.noise_scale.back(), history.noise_scale_error.back(),
            history.loss_tokens.back());
    if (!history.validation_step.empty())
        fmt::print("held out   loss {:.4f} at step {}\n", history.validation_loss.back(),
                   history.validation_step.back());
    if (const BestEvaluation best = best_evaluation(history); best.since > 0 && best.step > 0)
        fmt::print("           the best was {:.4f} at step {}\n", best.loss, best.step);
    fmt::print("\n{:<32} {:>16} {:>12} {:>9}\n", "tensor", "shape", "parameters", "quantum");
    for (Index t = 0; t < table.size(); ++t) {
        const std::int32_t exponent = info.state.quantum_exponents[static_cast<std::size_t>(t)];
        const bool set = exponent != std::numeric_limits<std::int32_t>::min();
        fmt::print("{:<32} {:>16} {:>12} {:>9}\n", table[t].name, fmt::format("{}", table[t].shape),
                   table[t].count, set ? fmt::format("2^{}", exponent) : "-");
    }
}

/// `digest`: only that.
void print_prepared(const PreparedStore& store, bool digest) {
    if (digest) {
        fmt::print("{}\n", store.digest());
        return;
    }
    constexpr std::size_t most_files = 20;
    fmt::print("{}\n{:>12} {:>14}  file\n", prepared_summary(store), "documents", "tokens");
    const auto& first = store.first_documents();
    for (std::size_t s = 0; s < std::min(first.size(), most_files); ++s) {
        const std::int64_t end = s + 1 < first.size() ? first[s + 1] : store.documents();
        const auto offset = [&](std::int64_t document) {
            return store.offsets()[static_cast<std::size_t>(document)];
        };
        fmt::print("{:>12} {:>14}  {}\n", end - first[s], offset(end) - offset(first[s]),
                   store.sources()[s]);
    }
    if (first.size() > most_files) fmt::print("and {} more files\n", first.size() - most_files);
}

}  // namespace

int inspect_command(const Arguments& arguments) {
    bool help = false, digest = false, print_config = false;
    OptionTable table("evengrad inspect CHECKPOINT, or DATA.h5 that prepare wrote: what is in it");
    table.add("help", help, true, "this text");
    table.add("digest", digest, true,
              "only the digest of weights, moments and resume state: equal for equal runs on any "
              "layout (of prepared data: of tokens and weights)");
    table.add("print-config", print_config, true, "only the recipe of the run that wrote it");
    table.add_rivals("digest", "print-config");
    std::vector<std::string> problems, options, paths;
    for (const std::string& argument : arguments)
        (argument.starts_with("--") ? options : paths).push_back(argument);
    table.parse(options, problems);
    table.finish(problems);
    if (help) {
        fmt::print("{}", table.help());
        return 0;
    }
    if (paths.size() != 1)
        problems.push_back(fmt::format(
            "one checkpoint, run folder or prepared file is needed, not {}", paths.size()));
    fail_on(problems, "inspect");
    if (is_prepared_file(paths.front())) {
        if (print_config) throw UsageError("--print-config: prepared data have no recipe");
        print_prepared(PreparedStore(paths.front()), digest);
        return 0;
    }
    const CheckpointInfo info =
        open_checkpoint(paths.front(), [](const std::string& what) { log_warning(what); });
    if (digest)
        fmt::print("{}\n", checkpoint_digest(info));
    else if (print_config)
        fmt::print("{}", info.state.options);
    else
        print_summary(info);
    return 0;
}

}  // namespace evengrad
