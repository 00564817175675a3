#include "report/certificate.hpp"

#include <bit>
#include <cmath>
#include <optional>

#include <nlohmann/json.hpp>

#include "data/lines.hpp"
#include "report/progress.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace fs = std::filesystem;

namespace {

using Fail = LedgerCheck::Fail;

/// Undefined is equal to undefined.
bool same(double a, double b) {
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b) ||
           (std::isnan(a) && std::isnan(b));
}

/// There was a gradient, and it was not used.
bool left_out(const LedgerStep& step) {
    return step.denominator > 0.0 && step.updated == 0;
}

/// The lines about steps of a metrics.jsonl, in their order.
class MetricsLines {
  public:
    explicit MetricsLines(const fs::path& file) : name_(file.string()) {
        std::error_code failed;
        if (!fs::exists(file, failed)) return;
        stream_.emplace(file);
        lines_.emplace(*stream_);
        advance();
        first_ = step_;
    }

    /// The first step that it is about; 0: none.
    std::int64_t first() const { return first_; }

    /// After the last step that was compared. @throws Error when the file is there and says nothing
    /// of steps, or goes back to one of them.
    void finish(std::int64_t last) {
        if (!lines_) return;
        if (first_ == 0 && last > 0)
            throw Error(fmt::format("{}: has no line about a step", name_));
        for (; step_ != 0; advance())
            if (step_ <= last)
                throw Error(fmt::format("{}, line {}: is about step {}, which was before", name_,
                                        lines_->number(), step_));
    }

    /// Compares the line of this step, when the file has begun by then.
    void check(const LedgerStep& step, std::span<const LedgerRecord> records, const Fail& fail) {
        if (first_ == 0 || step.step < first_) return;
        // The ledger of a run begun from a checkpoint without one begins later than its metrics.
        while (!compared_ && step_ != 0 && step_ < step.step) advance();
        compared_ = true;
        if (step_ != step.step)
            fail(step_ == 0 ? fmt::format("{} ends before it", name_)
                            : fmt::format("{}, line {}: is about step {}", name_, lines_->number(),
                                          step_));
        std::int64_t sequences = 0;
        for (const LedgerRecord& record : records) sequences += record.sequences;
        const auto compare = [&](const char* key, auto expected) {
            const auto found = read(key);
            const bool equal = std::is_integral_v<decltype(expected)>
                                   ? json_[key].is_number_integer() &&
                                         json_[key] == static_cast<std::int64_t>(expected)
                                   : found && same(*found, static_cast<double>(expected));
            if (!equal)
                fail(fmt::format("{}, line {}: \"{}\" is {}, the ledger has {}", name_,
                                 lines_->number(), key, shown(key), expected));
        };
        compare("loss", step.loss);
        compare("loss_tokens", step.loss_tokens);
        // Lines that resuming made from a checkpoint's curves know nothing of these.
        if (json_.contains("sequences")) compare("sequences", sequences);
        if (json_.contains("micro_batches")) compare("micro_batches", step.micro_batches);
        compare("grad_norm", step.grad_norm);
        compare("clipped_grad_norm", step.clipped_grad_norm);
        compare("lr", step.lr);
        if (const auto skipped = json_.find("skipped"); skipped != json_.end()) {
            const bool expected = left_out(step);
            if (*skipped != expected)
                fail(fmt::format("{}, line {}: \"skipped\" is {}, the ledger has {}", name_,
                                 lines_->number(), skipped->dump(), expected));
        }
        advance();
    }

  private:
    /// A number, NaN for null; nothing for anything else.
    std::optional<double> read(const char* key) const {
        const auto value = json_.find(key);
        if (value == json_.end()) return std::nullopt;
        if (value->is_null()) return std::nan("");
        if (value->is_number()) return value->get<double>();
        return std::nullopt;
    }
    std::string shown(const char* key) const {
        const auto value = json_.find(key);
        if (value == json_.end()) return "missing";
        return value->is_number() || value->is_null() ? value->dump() : "not a number";
    }
    /// To the next line about a step; lines about evaluations have no loss_tokens.
    void advance() {
        step_ = 0;
        for (std::string line; lines_->next(line);) {
            json_ = nlohmann::json::parse(line, nullptr, false);
            const bool object = json_.is_object();
            if (object && !json_.contains("loss_tokens")) continue;
            if (!object || !json_.contains("step") || !json_["step"].is_number_integer()) {
                std::string rest;
                if (!object && !lines_->next(rest)) return;  // cut off while it was written
                throw Error(fmt::format("{}, line {}: is not what training writes", name_,
                                        lines_->number() - (object ? 0 : 1)));
            }
            step_ = json_["step"].get<std::int64_t>();
            return;
        }
    }

    std::string name_;
    std::optional<ByteStream> stream_;
    std::optional<Lines> lines_;
    nlohmann::json json_;
    std::int64_t step_ = 0;  ///< of the current line; 0: there is none
    std::int64_t first_ = 0;
    bool compared_ = false;  ///< a line
};

/// The curves of a checkpoint are about steps 1, 2, ... up to its own.
void check_curves(const CheckpointInfo& info) {
    const TrainingHistory& history = info.history;
    if (std::ssize(history.step) != info.state.step)
        throw Error(fmt::format("{}: is at step {}, and has curves of {} steps", info.path.string(),
                                info.state.step, history.step.size()));
    for (std::size_t i = 0; i < history.step.size(); ++i)
        if (history.step[i] != static_cast<std::int64_t>(i) + 1)
            throw Error(fmt::format("{}: its curves have step {} where {} comes",
                                    info.path.string(), history.step[i], i + 1));
}

void compare_with_curves(const CheckpointInfo& info, const LedgerStep& step, const Fail& fail) {
    const TrainingHistory& history = info.history;
    const auto i = static_cast<std::size_t>(step.step - 1);
    const auto compare = [&](const char* name, auto logged, auto expected) {
        if (!same(static_cast<double>(logged), static_cast<double>(expected)))
            fail(fmt::format("{}: its {} is {}, the ledger has {}", info.path.string(), name,
                             logged, expected));
    };
    compare("loss", history.loss[i], step.loss);
    compare("number of loss tokens", history.loss_tokens[i], step.loss_tokens);
    compare("gradient norm", history.grad_norm[i], step.grad_norm);
    compare("clipped gradient norm", history.clipped_grad_norm[i], step.clipped_grad_norm);
    compare("learning rate", history.lr[i], step.lr);
    compare("mark of a skipped update", history.skipped[i], left_out(step) ? 1 : 0);
}

/// The run's loss reduction as its batches are described; "" in old checkpoints.
std::string reduction_of(const CheckpointInfo& info) {
    constexpr std::string_view key = "loss-reduction ";
    const std::string& text = info.state.batches;
    const auto begin = text.find(key);
    if (begin == std::string::npos) return "";
    const auto value = begin + key.size();
    return text.substr(value, text.find(',', value) - value);
}

}  // namespace

Certificate verify_run(const fs::path& path,
                       const std::function<void(const std::string&, const std::string&)>& report,
                       const std::function<void(std::int64_t, std::int64_t)>& progress) {
    const CheckpointInfo info = open_checkpoint(path, report);
    check_curves(info);
    Certificate certificate;
    certificate.ledger = info.path.parent_path();
    certificate.checkpoint = info.path;
    MetricsLines metrics(certificate.ledger / "metrics.jsonl");
    certificate.first_of_metrics = metrics.first();
    const std::int64_t last = info.state.step;
    LedgerCheck check(
        [&](const LedgerStep& step, std::span<const LedgerRecord> records, const Fail& fail) {
            compare_with_curves(info, step, fail);
            metrics.check(step, records, fail);
        });
    for (const std::int64_t segment : ledger_segments(certificate.ledger)) {
        // What comes after the checkpoint is of a run that was killed before the next one.
        if (check.next_step() > last) break;
        const fs::path file = certificate.ledger / ledger_name(segment);
        read_ledger(file, [&](const LedgerPart& part) {
            if (part.steps.empty() || part.steps.back().step != segment)
                throw Error(fmt::format("{}: ends with step {}, not with that of its name",
                                        file.string(),
                                        part.steps.empty() ? 0 : part.steps.back().step));
            certificate.loss_reduction = part.loss_reduction;
            check.add(part, file, last);
        });
        progress(std::min(segment, last), last);
    }
    certificate.facts = check.facts();
    const LedgerFacts& facts = certificate.facts;
    if (last > 0 && check.next_step() <= last)
        throw Error(
            fmt::format("{}: the ledger of steps {} to {} is missing", certificate.ledger.string(),
                        std::max<std::int64_t>(check.next_step(), 1), last),
            facts.steps > 0 ? fmt::format("steps {} to {} follow from their micro-batches",
                                          facts.first_step, check.next_step() - 1)
                            : "only runs of this version and later write one");
    const std::string reduction = reduction_of(info);
    if (!reduction.empty() && facts.steps > 0 && reduction != certificate.loss_reduction)
        throw Error(fmt::format("{}: its loss reduction is {}, that of the ledger {}",
                                info.path.string(), reduction, certificate.loss_reduction));
    if (facts.first_step == 1 && facts.updates != info.state.updates)
        throw Error(fmt::format("{}: counts {} updates, the ledger {}", info.path.string(),
                                info.state.updates, facts.updates));
    metrics.finish(last);
    return certificate;
}

Certificate verify_segment(const fs::path& file) {
    LedgerCheck check;
    const LedgerPart read = read_ledger(file, [&](const LedgerPart& part) {
        if (part.steps.empty()) throw Error(fmt::format("{}: has no step", file.string()));
        LedgerPart alone = part;
        alone.first_step = part.steps.front().step;
        check.add(alone, file);
    });
    return {file, {}, read.loss_reduction, check.facts(), 0};
}

std::string certificate_text(const Certificate& certificate) {
    const LedgerFacts& facts = certificate.facts;
    const bool whole = !certificate.checkpoint.empty();
    std::string text = fmt::format("verified   {}\n",
                                   (whole ? certificate.checkpoint : certificate.ledger).string());
    if (facts.steps == 0) return text + "           it is at step 0: there is nothing to prove\n";
    const std::int64_t last = facts.first_step + facts.steps - 1;
    text += fmt::format(
        "           steps {} to {}: {} micro-batches, {} loss tokens, {} updates, loss reduction "
        "{}\n",
        facts.first_step, last, facts.micro_batches, facts.loss_tokens, facts.updates,
        certificate.loss_reduction);
    text += facts.weight_spread > 0.0
                ? fmt::format(
                      "weights    loss tokens of a step weigh differently, with a standard "
                      "deviation of up to {:.3g} of the mean\n",
                      facts.weight_spread)
                : "weights    all loss tokens of a step weigh the same\n";
    text +=
        "proved     no step and no micro-batch is missing or there twice\n"
        "           each step's loss, loss tokens, denominator, checksum and clipping are what "
        "its\n"
        "           micro-batches make of it, bit for bit\n";
    if (whole)
        text += fmt::format(
            "           the checkpoint's curves{} have the same losses, counts,\n"
            "           norms, learning rates and left out updates, bit for bit\n",
            certificate.first_of_metrics == 0 ? ""
            : certificate.first_of_metrics <= facts.first_step
                ? " and metrics.jsonl"
                : fmt::format(" and, from step {} on, metrics.jsonl",
                              certificate.first_of_metrics));
    text += fmt::format(
        "           the gradient that the optimizer took has the scale of its micro-batches', by "
        "the\n"
        "           denominator and clipped: to {:.1g} in the best step, and in {} of {} a factor "
        "of 2\n"
        "           or of a half would have shown\n",
        facts.best_scale, facts.proved_scales, facts.updates);
    text +=
        "not proved that a micro-batch's own loss and gradient are right, and that the weights "
        "follow\n           from the gradients: evengrad audit and a second run show that\n";
    if (whole && facts.first_step > 1)
        text += fmt::format(
            "           and nothing of steps 1 to {}: the run was begun from a checkpoint without "
            "a ledger\n",
            facts.first_step - 1);
    if (whole && certificate.first_of_metrics == 0)
        text += "           and nothing of metrics.jsonl, which is not there\n";
    return text;
}

}  // namespace evengrad
