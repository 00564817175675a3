#include "train/work.hpp"

namespace evengrad {

Evaluation Trainer::evaluate(const Dataset* data) {
    State& s = *state_;
    StepPlan plan;
    if (s.is_root()) {
        EVENGRAD_CHECK(data != nullptr, "an evaluation without data");
        check_tokens(*data, s.config.model.vocab_size);
        // One sequence a micro-batch: the result doesn't depend on --micro-batch-size (R15).
        PlanConfig config = s.config.plan;
        config.micro_batch_size = 1;
        config.micro_batch_tokens = 0;
        plan = Planner(*data, config).plan_all();
    }
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
    return {ledger.loss() / plan.denominator, ledger.tokens()};
}

}  // namespace evengrad
