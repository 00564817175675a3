// Proves from a ledger that what was logged of a run follows from its micro-batches.
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>

#include "checkpoint/ledger_file.hpp"
#include <evengrad/plan.hpp>

namespace evengrad {

/// What was gone through without finding a fault.
struct LedgerFacts {
    std::int64_t first_step = 0;  ///< 0: none yet
    std::int64_t steps = 0, micro_batches = 0, loss_tokens = 0, updates = 0;
    /// Relative standard deviation of the weights of a step's loss tokens, in the worst step: 0
    /// proves that they weigh the same.
    double weight_spread = 0.0;
    /// The scale of the gradient that the optimizer took is that of its micro-batches (R3): to
    /// this, relatively, in the best step; and in so many steps closely enough that a factor of 2,
    /// or of a half, would have shown.
    double best_scale = std::numeric_limits<double>::infinity();
    std::int64_t proved_scales = 0;
};

/// Goes through a ledger, segment by segment, and throws at the first fault. Of each step it checks
///
/// - that it is the one after the step before, and each of its micro-batches is there once;
/// - token counts, checksums (modulo 2^64) and losses: those of the micro-batches, added up in the
///   order of the plan, the loss divided by the denominator, are the step's, bit for bit;
/// - that the denominator is what the loss reduction (evengrad/plan.hpp) makes of the
/// micro-batches,
///   bit for bit, and where it gives every group of tokens a weight of 1, that they have it;
/// - the scale of the gradient. With g_k the gradient of micro-batch k and D the denominator, the
///   norm |sum_k g_k| / D must be within the triangle inequality's bounds,
///       max(0, 2 max_k |g_k| - sum_k |g_k|) <= D * norm <= sum_k |g_k|,
///   give or take what rounding onto the grids changed at most;
/// - and, which sees any factor, that the probe (gradient/probe.hpp) of the gradient that the
/// optimizer
///   took is that of the micro-batches' gradients, added up, by the denominator, clipped: to what
///   rounding to float and onto the grids can have changed;
/// - that clipping is min(1, clip_grad / (norm + 1e-6)), bit for bit;
/// - that a step without a loss token has no loss, no gradient and no update, and an update that
/// was
///   left out no clipped gradient.
class LedgerCheck {
  public:
    /// Sees each step after its own checks, to compare it with what else is known of it. `fail`
    /// throws the error about this step.
    using Fail = std::function<void(const std::string& what)>;
    using Visitor =
        std::function<void(const LedgerStep&, std::span<const LedgerRecord>, const Fail&)>;

    explicit LedgerCheck(Visitor visit = {}) : visit_(std::move(visit)) {}

    /// `file` is where the part came from, for messages; steps after `last` are left out. @throws
    /// Error naming file, step, micro-batch and both values.
    void add(const LedgerPart& part, const std::filesystem::path& file,
             std::int64_t last = std::numeric_limits<std::int64_t>::max());

    const LedgerFacts& facts() const { return facts_; }
    /// What comes after the steps so far; 0 before the first segment.
    std::int64_t next_step() const {
        return facts_.first_step == 0 ? 0 : facts_.first_step + facts_.steps;
    }

  private:
    void check_order(const LedgerStep& step, const LedgerPart& part) const;
    std::span<const LedgerRecord> take_records(const LedgerStep& step,
                                               std::span<const LedgerRecord>& left) const;
    void check_record(const LedgerRecord& record) const;
    void check_sums(const LedgerStep& step, std::span<const LedgerRecord> records);
    void check_denominator(const LedgerStep& step, std::span<const LedgerRecord> records) const;
    void check_scale(const LedgerStep& step, std::span<const LedgerRecord> records) const;
    void check_update(const LedgerStep& step, double clip_grad) const;
    void check_probe(const LedgerStep& step, std::span<const LedgerRecord> records,
                     const LedgerPart& part);
    [[noreturn]] void fail(const std::string& what) const;
    [[noreturn]] void fail_at(const LedgerRecord& record, const std::string& what) const;

    Visitor visit_;
    LedgerFacts facts_;
    std::filesystem::path file_;
    std::int64_t step_ = 0;  ///< that is being checked
    std::optional<LossReduction> reduction_;
};

}  // namespace evengrad
