#include "gradient/ledger.hpp"

#include "mpi/words.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

void Ledger::combine(const Communicator& world) {
    sum_words(world, rows_);
}

void Ledger::verify(const StepPlan& plan) const {
    const auto fail = [&](std::size_t k, const std::string& what) {
        throw Error(fmt::format("step {}: micro-batch {} {}", plan.step + 1, k, what),
                    "this step's gradient can't be trusted; resume from the last checkpoint");
    };
    if (rows_.size() != plan.loss_tokens.size())
        throw Error(fmt::format("step {}: the ledger has {} rows for {} micro-batches",
                                plan.step + 1, rows_.size(), plan.loss_tokens.size()));
    for (std::size_t k = 0; k < rows_.size(); ++k) {
        const LedgerRow& row = rows_[k];
        if (row.entries != 1) fail(k, fmt::format("was computed {} times", row.entries));
        if (row.tokens != plan.loss_tokens[k])
            fail(k, fmt::format("has {} loss tokens, {} were planned", row.tokens,
                                plan.loss_tokens[k]));
        if (row.weight != plan.weight[k])
            fail(k, fmt::format("has token weight {}, {} was planned", row.weight, plan.weight[k]));
    }
}

double Ledger::loss() const {
    double sum = 0.0;
    for (const LedgerRow& row : rows_) sum += row.loss;
    return sum;
}

std::int64_t Ledger::tokens() const {
    std::int64_t sum = 0;
    for (const LedgerRow& row : rows_) sum += row.tokens;
    return sum;
}

std::uint64_t Ledger::checksum() const {
    std::uint64_t sum = 0;
    for (const LedgerRow& row : rows_) sum += row.checksum;
    return sum;
}

}  // namespace evengrad
