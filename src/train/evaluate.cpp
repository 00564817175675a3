#include <algorithm>

#include "train/state.hpp"

namespace evengrad {

Evaluation Trainer::evaluate(const Dataset* data) {
    State& s = *state_;
    StepPlan plan;
    if (s.is_root()) {
        EVENGRAD_CHECK(data != nullptr, "an evaluation without data");
        // One sequence a micro-batch: the result doesn't depend on --micro-batch-size (R15).
        PlanConfig config = s.config.plan;
        config.micro_batch_size = 1;
        config.micro_batch_tokens = 0;
        plan = Planner(*data, config).plan_all();
    }
    broadcast_plan(s.topology.world(), plan);
    std::vector<double> costs;
    MicroBatchSize largest;
    for (std::int64_t k = 0; k < plan.size(); ++k) {
        costs.push_back(micro_batch_cost(s.config.model, plan.micro_batch(k)));
        largest.include(MicroBatchSize::of(plan.micro_batch(k)));
    }
    std::vector<int> ranks;
    for (int node = 0; node < s.topology.node_count(); ++node)
        ranks.push_back(static_cast<int>(s.topology.ranks_of(node).size()));
    const auto dealt = deal_to_nodes(costs, ranks);
    const auto& mine = dealt[static_cast<std::size_t>(s.topology.node_index())];
    s.model.reserve(largest, false);

    Ledger ledger(plan.size());
    if (s.topology.node().rank() == 0) s.store.ticket().reset();
    s.store.barrier();
    const Ticket ticket = s.store.ticket();
    for (std::uint64_t drawn; (drawn = ticket.draw()) < mine.size();) {
        const std::int64_t k = mine[drawn];
        const MicroBatch batch = plan.micro_batch(k);
        LedgerRow row;
        row.loss = s.model.forward(s.store.weights().data(), batch);
        for (const float weight : batch.weights) {
            row.weight += static_cast<double>(weight);
            row.tokens += weight != 0.0f;
        }
        row.rank = s.topology.world().rank();
        ledger.record(k, row);
    }
    s.store.barrier();
    ledger.combine(s.topology.world());
    ledger.verify(plan);
    EVENGRAD_CHECK(plan.denominator > 0.0, "an evaluation without loss tokens");
    return {ledger.loss() / plan.denominator, ledger.tokens()};
}

}  // namespace evengrad
