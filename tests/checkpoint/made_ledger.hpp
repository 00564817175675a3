// Ledgers of runs that never were: their numbers follow from one another as a run's do.
#pragma once

#include <cmath>

#include "checkpoint/ledger_file.hpp"

namespace evengrad::test {

/// Steps `first` to `last` of a ledger, of 1 to 4 micro-batches each. Every fifth step, and some
/// micro-batches of others, have no loss token.
inline LedgerPart made_ledger(std::int64_t first, std::int64_t last, double clip_grad = 0.5) {
    LedgerPart part;
    part.clip_grad = clip_grad;
    part.probed_elements = 100;
    for (std::int64_t step = first; step <= last; ++step) {
        LedgerStep row;
        row.step = step;
        row.micro_batches = 1 + step % 4;
        double loss = 0.0, norms = 0.0, probe = 0.0;
        for (std::int64_t k = 0; k < row.micro_batches; ++k) {
            LedgerRecord record;
            record.step = step;
            record.micro_batch = k;
            record.sequences = 2 + k;
            if (step % 5 != 0 && k != 2) {
                record.loss_tokens = 3 + 7 * k + step % 3;
                record.loss_sequences = 1 + k;
                record.weight = 0.5 * static_cast<double>(record.loss_tokens);
                record.squared_weight = 0.25 * static_cast<double>(record.loss_tokens);
                record.loss = 1.1 * record.weight / static_cast<double>(step + k);
                record.squared_norm = 0.3 + static_cast<double>(k) / static_cast<double>(step);
                record.probe = k == 1 ? -0.3 : 0.8;
                record.checksum = 0x9e3779b97f4a7c15 * static_cast<std::uint64_t>(step + 100 * k);
            }
            record.rank = k % 2;
            record.seconds = 0.25;
            row.loss_tokens += record.loss_tokens;
            row.denominator += record.weight;
            row.checksum += record.checksum;
            loss += record.loss;
            norms += std::sqrt(record.squared_norm);
            probe += record.probe;
            part.records.push_back(record);
        }
        row.lr = 1e-3;
        row.loss = loss / row.denominator;  // NaN without loss tokens
        if (row.loss_tokens > 0) {
            row.grad_norm = (row.micro_batches == 1 ? 1.0 : 0.9) * norms / row.denominator;
            row.clipped_grad_norm =
                row.grad_norm *
                (clip_grad > 0.0 ? std::min(1.0, clip_grad / (row.grad_norm + 1e-6)) : 1.0);
            row.rounding = 1e-9;
            row.probe = probe / row.denominator * (row.clipped_grad_norm / row.grad_norm);
            row.updated = 1;
        }
        part.steps.push_back(row);
    }
    return part;
}

}  // namespace evengrad::test
