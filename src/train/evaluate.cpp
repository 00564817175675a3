#include <algorithm>

#include "train/work.hpp"

namespace evengrad {

namespace {

/// Sequences at a time, so that held-out data may be larger than memory.
constexpr std::int64_t window = 4096;

/// @collective The losses of rank 0's plan.
Ledger evaluate_plan(Trainer::State& s, StepPlan& plan) {
    broadcast_plan(s.topology.world(), plan);
    const Deal dealt = deal(s, plan);
    s.model.reserve(dealt.largest, false);
    Ledger ledger(plan.size());
    draw_micro_batches(s, dealt.of_node[static_cast<std::size_t>(s.topology.node_index())],
                       [&](std::int64_t k) {
                           const MicroBatch batch = plan.micro_batch(k);
                           LedgerRow row = begin_row(s, batch);
                           row.loss = s.model.forward(s.store.weights().data(), batch);
                           ledger.record(k, row);
                       });
    ledger.combine(s.topology.world());
    ledger.verify(plan);
    return ledger;
}

}  // namespace

Evaluation Trainer::evaluate(const Dataset* data) {
    State& s = *state_;
    std::optional<Planner> planner;
    std::int64_t sequences = 0;
    if (s.is_root()) {
        EVENGRAD_CHECK(data != nullptr, "an evaluation without data");
        check_vocabulary(*data, s.config.model.vocab_size);
        // One sequence a micro-batch: the result doesn't depend on --micro-batch-size (R15).
        PlanConfig config = s.config.plan;
        config.micro_batch_size = 1;
        config.micro_batch_tokens = 0;
        planner.emplace(*data, config);
        sequences = planner->sequences().size();
    }
    s.topology.world().broadcast(std::span(&sequences, 1), 0);
    Evaluation result;
    double loss = 0.0, weight = 0.0;
    for (std::int64_t first = 0; first < sequences; first += window) {
        StepPlan plan;
        if (planner) plan = planner->plan_range(first, std::min(first + window, sequences));
        const Ledger ledger = evaluate_plan(s, plan);
        loss += ledger.loss();
        weight += plan.denominator;
        result.loss_tokens += ledger.tokens();
    }
    result.loss = loss / weight;
    return result;
}

}  // namespace evengrad
