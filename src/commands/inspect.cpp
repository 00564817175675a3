#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "base/log.hpp"
#include "base/text.hpp"
#include "commands/options.hpp"
#include "commands/verbs.hpp"
#include "model/layer_sink.hpp"
#include "report/certificate.hpp"
#include "report/moving_line.hpp"
#include "report/prepare_report.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// Prints texts from a file, which anybody may have made.
template <class... Values>
void print(fmt::format_string<Values...> format, Values&&... values) {
    fmt::print("{}", printable(fmt::format(format, std::forward<Values>(values)...)));
}

/// Of the last sample, if there is one.
void print_layers(const CheckpointInfo& info) {
    const auto layers = activation_layers(info.model);
    if (info.history.statistics.samples.empty() || layers.empty()) return;
    print("\n{:<32} {:>12} {:>12} {:>12} {:>12} {:>8}\n", "layer", "forward std", "backward std",
          "E[f'^2]", "saturated %", "dead %");
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const LayerStatistics& last = info.history.statistics.samples.back().layers[l];
        print("{:<32} {:>12.3g} {:>12.3g} {:>12.3g} {:>12.3g} {:>8.3g}\n", layers[l].name,
              std::sqrt(last.forward_variance), std::sqrt(last.backward_variance),
              last.derivative_mean_square, 100.0 * last.saturated_fraction,
              100.0 * last.dead_fraction);
    }
}

void print_summary(const CheckpointInfo& info) {
    const ParameterTable table(info.model);
    print("checkpoint {}\n", info.path.string());
    print("written    {} by evengrad {}\n", info.file_time, info.creator_version);
    print("model      {}\n", describe(info.model));
    print("           {} parameters in {} tensors\n", table.parameter_count(), table.size());
    print("optimizer  {}, {} a parameter\n", info.optimizer, counted(info.moments, "moment"));
    print("batches    {}\n", info.state.batches);
    const bool is_mlp = info.model.is_mlp();
    print("{}  {}\n", is_mlp ? "targets  " : "tokenizer", info.state.tokenizer.describe());
    print("state      step {}, epoch {}, {}, seed {}\n", info.state.step, info.state.epoch,
          counted(info.state.updates, "update"), info.state.seed);
    const TrainingHistory& history = info.history;
    if (!history.step.empty())
        print("training   loss {:.4f} at step {}, {:.4f} at step {}\n", history.loss.front(),
              history.step.front(), history.loss.back(), history.step.back());
    const auto skipped =
        std::accumulate(history.skipped.begin(), history.skipped.end(), std::int64_t{0});
    if (skipped > 0) print("           {} left out\n", counted(skipped, "update"));
    if (!history.step.empty() && !std::isnan(history.noise_scale.back()))
        print("           gradient noise scale {:.3g} +- {:.2g} {}; the last step had {}\n",
              history.noise_scale.back(), history.noise_scale_error.back(),
              is_mlp ? "rows" : "tokens", history.loss_tokens.back());
    if (!history.validation_step.empty())
        print("held out   loss {:.4f} at step {}\n", history.validation_loss.back(),
              history.validation_step.back());
    if (const BestEvaluation best = best_evaluation(history); best.since > 0 && best.step > 0)
        print("           the best was {:.4f} at step {}\n", best.loss, best.step);
    const auto& samples = history.statistics.samples;
    if (!samples.empty())
        print("statistics of {}step {}\n",
              samples.back().merged > 1
                  ? counted(samples.back().merged, "recorded step") + " up to "
                  : "",
              samples.back().step);
    print("\n{:<32} {:>16} {:>12} {:>9}", "tensor", "shape", "parameters", "quantum");
    if (!samples.empty())
        print(" {:>10} {:>9} {:>8} {:>8}", "|gradient|", "|dW|/|W|", "zeros %", "lost %");
    print("\n");
    for (Index t = 0; t < table.size(); ++t) {
        const std::int32_t exponent = info.state.quantum_exponents[static_cast<std::size_t>(t)];
        const bool set = exponent != std::numeric_limits<std::int32_t>::min();
        print("{:<32} {:>16} {:>12} {:>9}", table[t].name, fmt::format("{}", table[t].shape),
              table[t].count, set ? fmt::format("2^{}", exponent) : "-");
        if (!samples.empty()) {
            const TensorStatistics& last = samples.back().tensors[static_cast<std::size_t>(t)];
            print(" {:>10.3g} {:>9.2g} {:>8.3g} {:>8.2g}", last.gradient.norm_l2, last.update_ratio,
                  100.0f * last.gradient.zero_fraction, 100.0f * last.rounded_to_zero_fraction);
        }
        print("\n");
    }
    print_layers(info);
}

/// `digest`: only that.
void print_prepared(const PreparedStore& store, bool digest) {
    if (digest) {
        print("{}\n", store.digest());
        return;
    }
    constexpr std::size_t most_files = 20;
    print("{}\n{:>12} {:>14}  file\n", prepared_summary(store), "documents", "tokens");
    const auto& first = store.first_documents();
    for (std::size_t s = 0; s < std::min(first.size(), most_files); ++s) {
        const std::int64_t end = s + 1 < first.size() ? first[s + 1] : store.documents();
        const auto offset = [&](std::int64_t document) {
            return store.offsets()[static_cast<std::size_t>(document)];
        };
        print("{:>12} {:>14}  {}\n", end - first[s], offset(end) - offset(first[s]),
              store.sources()[s]);
    }
    if (first.size() > most_files)
        print("and {}\n",
              counted(static_cast<std::int64_t>(first.size() - most_files), "more file"));
}

Certificate verify(const std::filesystem::path& path) {
    if (is_ledger_file(path)) return verify_segment(path);
    std::optional<MovingLine> line;
    if (output_is_terminal()) line.emplace(stdout);
    const Certificate certificate =
        verify_run(path, log_warning, [&](std::int64_t step, std::int64_t last) {
            if (line) line->draw(fmt::format("verifying  step {} of {}", step, last));
        });
    if (line) line->clear();
    return certificate;
}

}  // namespace

int inspect_command(const Arguments& arguments) {
    bool help = false, digest = false, print_config = false, verifies = false;
    OptionTable table(
        "evengrad inspect CHECKPOINT, a run's folder, its ledger-....h5, or DATA.h5 that prepare "
        "wrote: what is in it");
    table.add("help", help, true, "this text");
    table.add("digest", digest, true,
              "only the digest of weights, moments and resume state: equal for equal runs on any "
              "layout (of prepared data: of tokens and weights; of a ledger: of what doesn't "
              "depend on the "
              "layout)");
    table.add("print-config", print_config, true, "only the recipe of the run that wrote it");
    table.add("verify", verifies, true,
              "of a run's folder: prove from its ledger that the logged loss, token counts and "
              "gradient scale of every step follow from its micro-batches, or name the first step "
              "where they don't");
    table.add_rivals("digest", "print-config");
    table.add_rivals("digest", "verify");
    table.add_rivals("print-config", "verify");
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
        if (print_config)
            throw UsageError("--print-config: prepared data have no recipe",
                             "name a checkpoint, or leave the option out");
        if (verifies)
            throw UsageError("--verify: prepared data have no ledger", "name the folder of a run");
        print_prepared(PreparedStore(paths.front()), digest);
        return 0;
    }
    const bool ledger = is_ledger_file(paths.front());
    if (ledger && print_config)
        throw UsageError("--print-config: a ledger has no recipe",
                         "name a checkpoint, or leave the option out");
    if (ledger && digest) {
        print("{}\n", ledger_digest(read_ledger(paths.front())));
        return 0;
    }
    if (ledger || verifies) {
        print("{}", certificate_text(verify(paths.front())));
        return 0;
    }
    const CheckpointInfo info = open_checkpoint(paths.front(), log_warning);
    if (digest)
        print("{}\n", checkpoint_digest(info));
    else if (print_config)
        print("{}", info.state.options);
    else
        print_summary(info);
    return 0;
}

}  // namespace evengrad
