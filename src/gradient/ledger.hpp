// The ledger: one row per micro-batch, saying what it was and what it gave.
//
// It is the certificate that every planned token was counted once, and the source of the logged
// loss. One rank writes a row, all others leave zeros, and rows are combined as integers. A run's
// folder keeps it (checkpoint/ledger_file.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include <evengrad/communicator.hpp>
#include <evengrad/plan.hpp>

namespace evengrad {

struct LedgerRow {
    double loss = 0.0;                ///< sum of weight * loss, nats
    double correct = 0.0;             ///< sum of weights whose target was found likeliest
    double weight = 0.0;              ///< sum of token weights
    double squared_weight = 0.0;      ///< sum of their squares
    std::int64_t tokens = 0;          ///< positions with loss
    std::int64_t sequences = 0;       ///< in it
    std::int64_t loss_sequences = 0;  ///< of these, with a position with loss
    double squared_norm = 0.0;        ///< of the micro-batch's gradient of `loss`, unnormalized
    double probe = 0.0;               ///< of that gradient (gradient/probe.hpp)
    std::uint64_t checksum = 0;       ///< of what was added to the integer sums
    std::int64_t rank = 0;            ///< world rank that computed it
    std::int64_t nanoseconds = 0;     ///< it took that long
    std::int64_t entries = 0;         ///< 1 when written; anything else after combining is an error
};

class Ledger {
  public:
    explicit Ledger(std::int64_t micro_batches = 0)
        : rows_(static_cast<std::size_t>(micro_batches)) {}

    void record(std::int64_t micro_batch, LedgerRow row) {
        row.entries = 1;
        rows_[static_cast<std::size_t>(micro_batch)] = row;
    }

    /// @collective Every rank's rows on every rank; exact, since each row has one writer.
    void combine(const Communicator& world);

    /// @local Each micro-batch once, with the tokens and weight the plan gave it.
    /// @throws Error naming step and micro-batch otherwise: nothing of such a step may be used.
    void verify(const StepPlan& plan) const;

    const std::vector<LedgerRow>& rows() const { return rows_; }

    // Folded in plan order, so the same on every rank and layout.
    double loss() const;
    std::int64_t tokens() const;
    std::uint64_t checksum() const;

  private:
    std::vector<LedgerRow> rows_;
};

}  // namespace evengrad
