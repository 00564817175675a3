#include "checkpoint/ledger_check.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// Relative error of sums and square roots in double, with much to spare.
constexpr double slack = 1e-9;
/// Of a float, which every weight of a reduction was rounded to.
constexpr double float_rounding = 0x1p-24;

bool same_bits(double a, double b) {
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

/// What the formula of the reduction makes of a step's micro-batches.
double denominator_of(const LossReduction& reduction, std::span<const LedgerRecord> records) {
    double weight = 0.0;
    std::int64_t loss_tokens = 0, sequences = 0, loss_sequences = 0, loss_micro_batches = 0;
    for (const LedgerRecord& record : records) {
        weight += record.weight;
        loss_tokens += record.loss_tokens;
        sequences += record.sequences;
        loss_sequences += record.loss_sequences;
        loss_micro_batches += record.loss_tokens > 0;
    }
    if (loss_tokens == 0) return 0.0;
    switch (reduction.kind) {
        case LossReduction::Kind::token_mean:
            return weight;
        case LossReduction::Kind::sequence_mean:
            return static_cast<double>(loss_sequences);
        case LossReduction::Kind::sum:
            return 1.0;
        case LossReduction::Kind::constant:
            return reduction.constant * static_cast<double>(sequences);
        case LossReduction::Kind::micro_batch_mean:
            return static_cast<double>(loss_micro_batches);
        case LossReduction::Kind::rank_mean:
            break;
    }
    std::int64_t loss_ranks = 0;
    const auto ranks = std::min(static_cast<std::size_t>(reduction.ranks), records.size());
    for (std::size_t rank = 0; rank < ranks; ++rank) {
        bool has_loss = false;
        for (std::size_t k = rank; k < records.size(); k += ranks)
            has_loss |= records[k].loss_tokens > 0;
        loss_ranks += has_loss;
    }
    return static_cast<double>(loss_ranks);
}

/// As PyTorch's clip_grad_norm_.
double clip_factor_of(const LedgerStep& step, double clip_grad) {
    return clip_grad > 0.0 ? std::min(1.0, clip_grad / (step.grad_norm + 1e-6)) : 1.0;
}

/// What the weights of a micro-batch must add up to, under a reduction that gives each sequence, or
/// each micro-batch, a weight of 1.
std::optional<double> weight_of(const LossReduction& reduction, const LedgerRecord& record) {
    if (reduction.kind == LossReduction::Kind::sequence_mean)
        return static_cast<double>(record.loss_sequences);
    if (reduction.kind == LossReduction::Kind::micro_batch_mean)
        return record.loss_tokens > 0 ? 1.0 : 0.0;
    return std::nullopt;
}

}  // namespace

void LedgerCheck::fail(const std::string& what) const {
    std::string hint;
    if (facts_.steps > 0)
        hint = fmt::format(
            "steps {} to {} follow from their micro-batches; nothing is proved of "
            "later ones",
            facts_.first_step, next_step() - 1);
    throw Error(fmt::format("{}: step {}: {}", file_.string(), step_, what), hint);
}

void LedgerCheck::fail_at(const LedgerRecord& record, const std::string& what) const {
    fail(fmt::format("micro-batch {}: {}", record.micro_batch, what));
}

void LedgerCheck::check_order(const LedgerStep& step, const LedgerPart& part) const {
    const std::int64_t expected = facts_.first_step == 0 ? part.first_step : next_step();
    if (step.step < expected)
        fail(
            fmt::format("is there twice, or before the step it follows; "
                        "step {} comes next",
                        expected));
    if (step.step > expected)
        fail(fmt::format("follows step {}: what is between them is missing", expected - 1));
    if (step.micro_batches < 1) fail(fmt::format("has {} micro-batches", step.micro_batches));
}

/// The step's micro-batches, off the front of what is `left`.
std::span<const LedgerRecord> LedgerCheck::take_records(const LedgerStep& step,
                                                        std::span<const LedgerRecord>& left) const {
    const auto count = static_cast<std::size_t>(step.micro_batches);
    for (std::size_t k = 0; k < count; ++k) {
        const auto expected = static_cast<std::int64_t>(k);
        if (k < left.size() && left[k].step == step.step && left[k].micro_batch == expected)
            continue;
        if (k < left.size() && left[k].step == step.step && left[k].micro_batch < expected)
            fail_at(left[k], "is there twice");
        fail(fmt::format("micro-batch {} of {} is missing", k, count));
    }
    if (left.size() > count && left[count].step == step.step)
        fail_at(left[count], left[count].micro_batch < step.micro_batches
                                 ? "is there twice"
                                 : fmt::format("the step has {}", step.micro_batches));
    const auto records = left.first(count);
    left = left.subspan(count);
    return records;
}

void LedgerCheck::check_record(const LedgerRecord& r) const {
    const auto not_a_number = [&](const char* name, double value) {
        if (!std::isfinite(value)) fail_at(r, fmt::format("its {} is {}", name, value));
    };
    not_a_number("loss", r.loss);
    not_a_number("weight", r.weight);
    not_a_number("squared weight", r.squared_weight);
    not_a_number("squared norm", r.squared_norm);
    not_a_number("probe", r.probe);
    if (r.sequences < 1 || r.loss_tokens < 0 || r.loss_sequences < 0 ||
        r.loss_sequences > std::min(r.sequences, r.loss_tokens) ||
        (r.loss_tokens > 0) != (r.loss_sequences > 0))
        fail_at(r, fmt::format("{} loss tokens, {} sequences, {} of them with loss tokens",
                               r.loss_tokens, r.sequences, r.loss_sequences));
    // Weights are positive: (sum w)^2 / n <= sum w^2 <= (sum w)^2, the first by Cauchy and Schwarz.
    const double square = r.weight * r.weight;
    if (r.weight < 0.0 || (r.loss_tokens > 0) != (r.weight > 0.0) ||
        r.squared_weight > square * (1.0 + slack) ||
        r.squared_weight * static_cast<double>(r.loss_tokens) < square * (1.0 - slack))
        fail_at(r, fmt::format("{} loss tokens of weight {} in all, {} squared", r.loss_tokens,
                               r.weight, r.squared_weight));
    if (r.loss_tokens == 0 &&
        (r.loss != 0.0 || r.squared_norm != 0.0 || r.probe != 0.0 || r.checksum != 0))
        fail_at(r, fmt::format("no loss tokens, but a loss of {}, a squared norm of {}, a probe of "
                               "{}, a checksum of {:016x}",
                               r.loss, r.squared_norm, r.probe, r.checksum));
    const auto weight = weight_of(*reduction_, r);
    if (weight && std::abs(r.weight - *weight) > *weight * 2.0 * float_rounding)
        fail_at(r, fmt::format("its weight is {}, under {} it must be {}", r.weight,
                               reduction_->text(), *weight));
}

void LedgerCheck::check_sums(const LedgerStep& step, std::span<const LedgerRecord> records) {
    std::int64_t loss_tokens = 0;
    std::uint64_t checksum = 0;
    double loss = 0.0, weight = 0.0, squared_weight = 0.0;
    for (const LedgerRecord& record : records) {
        loss_tokens += record.loss_tokens;
        weight += record.weight;
        squared_weight += record.squared_weight;
        checksum += record.checksum;
        loss += record.loss;
    }
    if (step.loss_tokens != loss_tokens)
        fail(fmt::format("has {} loss tokens, its micro-batches have {}", step.loss_tokens,
                         loss_tokens));
    if (loss_tokens == 0) return;
    if (step.checksum != checksum)
        fail(
            fmt::format("the checksum of its gradient sums is {:016x}, that of its micro-batches "
                        "{:016x}",
                        step.checksum, checksum));
    if (!same_bits(step.loss, loss / step.denominator))
        fail(fmt::format("its loss is {}, its micro-batches' is {} / {} = {}", step.loss, loss,
                         step.denominator, loss / step.denominator));
    // n sum w^2 / (sum w)^2 - 1 is the variance by the square of the mean.
    const double variance =
        static_cast<double>(loss_tokens) * squared_weight / (weight * weight) - 1.0;
    if (variance > slack)
        facts_.weight_spread = std::max(facts_.weight_spread, std::sqrt(variance));
}

void LedgerCheck::check_denominator(const LedgerStep& step,
                                    std::span<const LedgerRecord> records) const {
    const double expected = denominator_of(*reduction_, records);
    if (!same_bits(step.denominator, expected))
        fail(fmt::format("its denominator is {}, {} of its micro-batches makes {}",
                         step.denominator, reduction_->text(), expected));
    if (reduction_->kind != LossReduction::Kind::rank_mean) return;
    const auto ranks = std::min(static_cast<std::size_t>(reduction_->ranks), records.size());
    for (std::size_t rank = 0; rank < ranks; ++rank) {
        double weight = 0.0;
        for (std::size_t k = rank; k < records.size(); k += ranks) weight += records[k].weight;
        if (weight != 0.0 && std::abs(weight - 1.0) > 2.0 * float_rounding)
            fail(
                fmt::format("micro-batches of pretended rank {} weigh {}, under {} they must "
                            "weigh 1",
                            rank, weight, reduction_->text()));
    }
}

void LedgerCheck::check_scale(const LedgerStep& step, std::span<const LedgerRecord> records) const {
    double sum = 0.0, largest = 0.0;
    for (const LedgerRecord& record : records) {
        // The two contributions of a tied embedding may cancel, down to less than nothing.
        const double norm = std::sqrt(std::max(record.squared_norm, 0.0));
        sum += norm;
        largest = std::max(largest, norm);
    }
    const double most = sum * (1.0 + slack) + step.rounding;
    const double least = std::max(2.0 * largest - sum * (1.0 + slack) - step.rounding, 0.0);
    const double found = step.grad_norm * step.denominator;
    // Not a number is in no range.
    if (!(step.rounding >= 0.0) || !(found >= least && found <= most))
        fail(
            fmt::format("its gradient norm {} times the denominator {} is {}, its micro-batches' "
                        "norms allow {} to {}",
                        step.grad_norm, step.denominator, found, least, most));
}

void LedgerCheck::check_update(const LedgerStep& step, double clip_grad) const {
    if (step.updated > 1) fail(fmt::format("'updated' is {}, not 0 or 1", step.updated));
    if (step.loss_tokens == 0) {
        if (!std::isnan(step.loss) || step.grad_norm != 0.0 || step.clipped_grad_norm != 0.0 ||
            step.checksum != 0 || step.updated)
            fail(
                fmt::format("has no loss tokens, but a loss of {}, a gradient norm of {}, a "
                            "checksum of {:016x}, or an update",
                            step.loss, step.grad_norm, step.checksum));
        return;
    }
    const double factor = step.updated == 0 ? 0.0 : clip_factor_of(step, clip_grad);
    if (!same_bits(step.clipped_grad_norm, step.grad_norm * factor))
        fail(fmt::format("its clipped gradient norm is {}, {} {} is {}", step.clipped_grad_norm,
                         step.grad_norm,
                         step.updated == 0 ? "of an update that was left out"
                                           : fmt::format("clipped to {}", clip_grad),
                         step.grad_norm * factor));
}

void LedgerCheck::check_probe(const LedgerStep& step, std::span<const LedgerRecord> records,
                              const LedgerPart& part) {
    if (step.updated == 0) {
        if (step.probe != 0.0)
            fail(fmt::format("was no update, but the probe of its gradient is {}", step.probe));
        return;
    }
    double sum = 0.0, norms = 0.0;
    for (const LedgerRecord& record : records) {
        sum += record.probe;
        norms += std::sqrt(std::max(record.squared_norm, 0.0));
    }
    const double scale = clip_factor_of(step, part.clip_grad) / step.denominator;
    const double expected = sum * scale;
    // The probe of an error is at most its norm times the square root of the number of elements.
    // The elements were rounded to float, before that onto the grids, and sums in double.
    const auto elements = static_cast<double>(part.probed_elements);
    const double tolerance =
        std::sqrt(elements) * (2.0 * float_rounding * step.clipped_grad_norm +
                               (step.rounding + slack * norms) * scale) +
        elements * static_cast<double>(std::numeric_limits<float>::denorm_min());
    if (!(std::abs(step.probe - expected) <= tolerance))
        fail(
            fmt::format("the gradient that the optimizer took has the probe {}, its micro-batches' "
                        "by the denominator and clipped have {}: {:.6g} times as much",
                        step.probe, expected, step.probe / expected));
    if (expected == 0.0) return;
    const double relative = tolerance / std::abs(expected);
    facts_.best_scale = std::min(facts_.best_scale, relative);
    facts_.proved_scales += relative < 0.5;
}

void LedgerCheck::add(const LedgerPart& part, const std::filesystem::path& file,
                      std::int64_t last) {
    file_ = file;
    LossReduction reduction;
    try {
        reduction = LossReduction::parse(part.loss_reduction);
    } catch (const Error& error) {
        throw Error(fmt::format("{}: {}", file.string(), error.what()), "the file is damaged");
    }
    if (reduction_ && reduction.text() != reduction_->text())
        throw Error(fmt::format("{}: its loss reduction is {}, that of the steps before it {}",
                                file.string(), reduction.text(), reduction_->text()));
    reduction_ = reduction;
    if (part.probed_elements < 0)
        throw Error(fmt::format("{}: {} probed elements", file.string(), part.probed_elements),
                    "the file is damaged");
    std::span<const LedgerRecord> left = part.records;
    for (const LedgerStep& step : part.steps) {
        if (step.step > last) return;
        step_ = step.step;
        check_order(step, part);
        if (facts_.first_step == 0) facts_.first_step = step.step;
        const auto records = take_records(step, left);
        for (const LedgerRecord& record : records) check_record(record);
        check_denominator(step, records);
        check_sums(step, records);
        check_scale(step, records);
        check_update(step, part.clip_grad);
        check_probe(step, records, part);
        if (visit_) visit_(step, records, [this](const std::string& what) { fail(what); });
        ++facts_.steps;
        facts_.micro_batches += step.micro_batches;
        facts_.loss_tokens += step.loss_tokens;
        facts_.updates += step.updated;
    }
    if (!left.empty()) {
        step_ = left.front().step;
        fail_at(left.front(), "belongs to no step of this file");
    }
}

}  // namespace evengrad
