#include "report/audit_report.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "report/progress.hpp"
#include "report/work_bar.hpp"

namespace evengrad {

namespace {

constexpr std::size_t name_width = 20, column_width = 18;
constexpr double rounding = 1e-6;  ///< smaller differences are those of weights rounded to float

std::string range(std::int64_t first, std::int64_t last) {
    return first == last ? std::to_string(first) : fmt::format("{} to {}", first, last);
}

std::string range(const Unevenness& unevenness) {
    return range(unevenness.shortest, unevenness.longest);
}

/// The weighings (by index) for which `differs` is true somewhere.
template <class Differs>
std::vector<std::size_t> those_that(const Cut& cut, const Differs& differs) {
    std::vector<std::size_t> chosen;
    for (std::size_t w = 0; w < cut.weighed.size(); ++w)
        if (differs(w)) chosen.push_back(w);
    return chosen;
}

/// "32", or "8 to 32": the last batch of an epoch may be short.
std::string sequences_of(const Audit& audit) {
    const auto [least, most] = std::minmax_element(
        audit.batches.begin(), audit.batches.end(),
        [](const AuditedBatch& a, const AuditedBatch& b) { return a.sequences < b.sequences; });
    return range(least->sequences, most->sequences);
}

std::string head(const AuditReport& report) {
    const Audit& audit = report.audit;
    const AuditedBatch& mean = audit.mean;
    const std::int64_t first = audit.batches.front().step, last = audit.batches.back().step;
    std::string text = fmt::format(
        "weights    {}: {} parameters\n"
        "data       {}; sequences of {} tokens at most\n"
        "batches    {} of {} sequences, steps {}: {} loss tokens, {} a sequence (median {:.0f})\n",
        audit.checkpoint.empty() ? fmt::format("initial, seed {}", report.config.train.seed)
                                 : fmt::format("{}, step {}", audit.checkpoint.string(), first - 1),
        audit.parameters, report.data.source(), report.config.train.model.seq_length(),
        audit.batches.size(), sequences_of(audit), range(first, last), mean.loss_tokens,
        range(mean.unevenness), mean.unevenness.median);
    if (audit.batches_without_loss > 0)
        text += fmt::format("           {} more without any loss token, which give no gradient\n",
                            audit.batches_without_loss);
    const Production& production = mean.production;
    return text +
           fmt::format(
               "reference  token mean of the whole batch, double precision, one process\n"
               "production the run's own gradient ({}, all ranks): error {:.2g}, cosine {:.9f}, "
               "loss off by {:.2g} of itself\n",
               report.config.train.plan.reduction.text(), production.gradient.error,
               production.gradient.cosine, production.loss_error);
}

std::string row(const std::string& name, const Weighed& weighed) {
    return fmt::format("{:<{}}  {:>9.3g}  {:>9.6f}  {:>9.4g}  {:>10.6g}  {:>+10.4g}  {:>9.4g}\n",
                       name, name_width, weighed.gradient.error, weighed.gradient.cosine,
                       weighed.gradient.norm_ratio, weighed.loss, weighed.loss_shift,
                       weighed.weight_ratio);
}

std::string by_reduction(const AuditReport& report) {
    const Cut& cut = report.audit.mean.cuts[report.audit.main_cut];
    std::string text = fmt::format(
        "\nmicro-batches of {} sequences, {} a step, of {} loss tokens; means over the batches\n"
        "{:<{}}  {:>9}  {:>9}  {:>9}  {:>10}  {:>10}  {:>9}\n",
        cut.micro_batch_size, cut.micro_batches, range(cut.unevenness), "", name_width, "error",
        "cosine", "length", "loss", "shift", "weights");
    for (const Weighed& weighed : cut.weighed) text += row(weighed.name, weighed);
    if (const auto& packed = report.audit.mean.packed) {
        text += fmt::format(
            "packed by --micro-batch-tokens {}, {} micro-batches a step, of {} loss tokens\n",
            report.config.train.plan.micro_batch_tokens, packed->micro_batches,
            range(packed->unevenness));
        for (const Weighed& weighed : packed->weighed)
            if (const auto& name = weighed.name;
                name == "micro-batch-mean" || name.starts_with("rank-mean"))
                text += row(name, weighed);
    }
    return text +
           "error    |v - r| / |r| of the gradient v from the reference r\n"
           "cosine   of the angle between them: 1 where they differ in length alone\n"
           "length   |v| / |r|\n"
           "weights  how many times as much as another of its step a token weighs at most\n"
           "Micro-batches hold a fixed number of sequences here: packing by tokens evens most of "
           "their counts\nout, which hides what averaging them does.\n";
}

/// Cells "error / ratio of weights" of the weighings `columns`.
std::string cells(const Cut& cut, const std::vector<std::size_t>& columns) {
    std::string text;
    for (const std::size_t w : columns)
        text += fmt::format("  {:>{}}",
                            fmt::format("{:.3g} / {:.3g}", cut.weighed[w].gradient.error,
                                        cut.weighed[w].weight_ratio),
                            column_width);
    return text + '\n';
}

std::string headings(const Cut& cut, const std::vector<std::size_t>& columns) {
    std::string text;
    for (const std::size_t w : columns)
        text += fmt::format("  {:>{}}", cut.weighed[w].name, column_width);
    return text + '\n';
}

std::string by_accumulation(const std::vector<Cut>& cuts) {
    const auto columns = those_that(cuts.front(), [&](std::size_t w) {
        return std::any_of(cuts.begin(), cuts.end(), [&](const Cut& cut) {
            return std::abs(cut.weighed[w].gradient.error -
                            cuts.front().weighed[w].gradient.error) > rounding;
        });
    });
    if (columns.empty()) return {};
    std::string text =
        fmt::format(
            "\nby accumulation steps: error / weights (others don't depend on them)\n"
            "{:>13}  {:>9}  {:>13}",
            "micro-batches", "sequences", "loss tokens") +
        headings(cuts.front(), columns);
    for (const Cut& cut : cuts)
        text += fmt::format("{:>13}  {:>9}  {:>13}", cut.micro_batches, cut.micro_batch_size,
                            range(cut.unevenness)) +
                cells(cut, columns);
    return text;
}

std::string by_unevenness(const AuditReport& report) {
    const auto& all = report.audit.mean.shortened;
    if (all.size() < 2) return {};
    const Cut& whole = all.back().cut;
    const auto columns = those_that(whole, [&](std::size_t w) {
        return std::any_of(all.begin(), all.end(), [&](const Shortened& shortened) {
            return shortened.cut.weighed[w].gradient.cosine < 1.0 - rounding;
        });
    });
    if (columns.empty()) return {};
    std::string text =
        fmt::format(
            "\nby unevenness, completions ended early: error / weights, micro-batches of "
            "{} sequences\n{:>13}  {:>9}  {:>13}",
            whole.micro_batch_size, "at most", "variation", "loss tokens") +
        headings(whole, columns);
    for (const Shortened& shortened : all)
        text += fmt::format("{:>13}  {:>9.2f}  {:>13}",
                            shortened.most == 0 ? "whole" : std::to_string(shortened.most),
                            shortened.unevenness.variation, range(shortened.unevenness)) +
                cells(shortened.cut, columns);
    return text + "variation: standard deviation / mean of a sequence's loss tokens\n";
}

std::string by_length(const AuditReport& report) {
    const auto& trained = report.audit.trained;
    if (trained.empty()) return {};
    const auto name_of = [&](const TrainedReduction& run) {
        return run.seed == report.config.train.seed ? run.reduction : "another seed";
    };
    const auto line = [&](const std::string& name, auto&& value) {
        std::string text = fmt::format("{:<14}", name);
        for (const TrainedReduction& run : trained)
            text +=
                fmt::format("  {:>{}}", value(run), std::max<std::size_t>(9, name_of(run).size()));
        return text + '\n';
    };
    std::string text = fmt::format(
        "\nheld-out loss after {} steps of each, from seed {}, micro-batches of {} sequences\n",
        report.config.train_iters, report.config.train.seed,
        report.config.train.plan.micro_batch_size);
    text += line("loss tokens", name_of);
    const auto& lengths = trained.front().evaluation.lengths;
    for (std::size_t i = 0; i < lengths.size(); ++i)
        if (lengths[i].sequences > 0)
            text += line(range(std::int64_t{1} << i, (std::int64_t{2} << i) - 1),
                         [&](const TrainedReduction& run) {
                             return format_optional(run.evaluation.lengths[i].loss());
                         });
    text += line("all", [](const TrainedReduction& run) {
        return format_optional(run.evaluation.total.loss());
    });
    return text +
           "another seed: token-mean from the next seed; smaller differences than its are chance\n";
}

/// Of the weighings that don't point where the reference does, the one that is worst; a mean of
/// means if there is one.
const Weighed* worst(const AuditReport& report) {
    const Cut& cut = report.audit.mean.cuts[report.audit.main_cut];
    const Weighed* found = nullptr;
    bool found_mistake = false;
    for (std::size_t w = 0; w < cut.weighed.size(); ++w) {
        const Weighed& weighed = cut.weighed[w];
        const bool mistake =
            weighed.name == "micro-batch-mean" || weighed.name.starts_with("rank-mean");
        if (weighed.weight_ratio < 1.0 + rounding || (found_mistake && !mistake)) continue;
        if (found && found_mistake == mistake && found->gradient.error >= weighed.gradient.error)
            continue;
        found = &weighed;
        found_mistake = mistake;
    }
    return found;
}

}  // namespace

std::string audit_conclusion(const AuditReport& report) {
    const Audit& audit = report.audit;
    const Cut& cut = audit.mean.cuts[audit.main_cut];
    const Weighed* weighed = worst(report);
    std::string text;
    if (audit.is_even())
        text = fmt::format(
            "All sequences of these batches have the same number of loss tokens ({}), so {}",
            range(audit.mean.unevenness),
            weighed ? fmt::format("there is nothing to see but that {} lets some tokens weigh "
                                  "{:.3g} times as much as others",
                                  weighed->name, weighed->weight_ratio)
                    : std::string("every reduction weighs all tokens of a step alike and there "
                                  "is nothing to see: audit data with uneven completions"));
    else if (!weighed)
        text = fmt::format(
            "On these batches of {} sequences, cut into micro-batches of {}, every reduction that "
            "was compared weighs all tokens of a step the same",
            sequences_of(audit), cut.micro_batch_size);
    else
        text = fmt::format(
            "On these batches {}, over micro-batches of {} sequences, gives a gradient that is "
            "{:.2g} % off and {:.0f} degrees astray and lets some tokens weigh {:.3g} times as "
            "much as others",
            weighed->name, cut.micro_batch_size, 100.0 * weighed->gradient.error,
            std::acos(weighed->gradient.cosine) * 180.0 / std::numbers::pi, weighed->weight_ratio);
    text += fmt::format(", while the run's own gradient is exact to {:.1g} %",
                        100.0 * audit.mean.production.gradient.error);
    if (weighed && !audit.trained.empty()) {
        const auto loss = [&](const TrainedReduction& run) {
            return format_optional(run.evaluation.total.loss());
        };
        const auto other = std::find_if(
            audit.trained.begin(), audit.trained.end(),
            [&](const TrainedReduction& run) { return run.reduction == weighed->name; });
        if (other != audit.trained.end())
            text += fmt::format(
                "; trained with it for {} steps, the model's held-out loss is {} nats a token, "
                "with token-mean it is {} ({} from another seed)",
                report.config.train_iters, loss(*other), loss(audit.trained.front()),
                loss(audit.trained.back()));
    }
    return text + ".";
}

std::string audit_tables(const AuditReport& report) {
    return head(report) + by_reduction(report) + by_accumulation(report.audit.mean.cuts) +
           by_unevenness(report) + by_length(report) + '\n' + audit_conclusion(report) + '\n';
}

std::string audit_line(const std::string& what, std::int64_t done, std::int64_t all,
                       double seconds) {
    const double share = static_cast<double>(done) / static_cast<double>(all);
    return fmt::format("{}  {}  {}/{}  left {}", progress_bar(share), what, done, all,
                       format_duration(seconds * (1.0 / share - 1.0)));
}

}  // namespace evengrad
