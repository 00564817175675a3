// The micro-batches of a plan, dealt to nodes and drawn by ranks: what steps and evaluations share.
#pragma once

#include <optional>
#include <vector>

#include "base/pulse.hpp"
#include "train/state.hpp"

namespace evengrad {

/// So many addends fit into a sum with room to spare: two of each micro-batch (the tied embedding).
constexpr std::int64_t most_micro_batches_of_step = 1 << 18;

/// @collective The plan of rank 0 on every rank.
void broadcast_plan(const Communicator& world, StepPlan& plan);

/// @local Tokens and classes index: one outside the vocabulary would read and write elsewhere (a
/// dataset's are inside its tokenizer's); rows have as many numbers as the model takes and gives.
/// @throws Error naming the data and both numbers.
void check_data(const Dataset& data, const ModelConfig& model);

/// Relative time that a micro-batch takes: its floating-point operations.
double micro_batch_cost(const ModelConfig& config, const MicroBatch& batch);

/// Who gets what: the same on every rank.
struct Deal {
    std::vector<std::vector<std::int64_t>> of_node;  ///< micro-batches, by falling cost
    std::vector<double> costs;                       ///< [micro-batches]
    MicroBatchSize largest;                          ///< of all of them
};
Deal deal(const NodeSpeeds& speeds, const ModelConfig& config, const StepPlan& plan);

/// The ledger's row for a micro-batch of `rank`, without what computing it gives.
LedgerRow begin_row(int rank, const MicroBatch& batch);

/// @local Forward and backward of a micro-batch of the step at hand: the gradient goes into `sink`,
/// which leads to `accumulator`. @returns its row, without a time.
LedgerRow compute_micro_batch(Trainer::State& state, const StepPlan& plan, std::int64_t k,
                              Accumulator& accumulator, GradientSink<float>& sink,
                              LayerSink<float>* layers);

/// @local Into the record: who was busy for how long, of a pass that took `seconds`.
void describe_work(const Ledger& ledger, double seconds, StepRecord& record);

/// @collective Calls work(k) for those of the node's micro-batches `mine` that this rank draws,
/// each on one rank of the node, between two node barriers.
template <class Function>
void draw_micro_batches(const Topology& topology, const NodeStore& store,
                        const std::vector<std::int64_t>& mine, Function&& work) {
    const Ticket ticket = store.ticket();
    if (topology.node().rank() == 0) ticket.reset();
    store.barrier();
    for (std::uint64_t drawn; (drawn = ticket.draw()) < mine.size();) {
        work(mine[drawn]);
        pulse.beat();
    }
    store.barrier();
}

/// The gradient of one step, and nothing done with it.
struct StepGradient {
    std::optional<double> loss;  ///< as StepRecord's
    std::vector<float> values;   ///< [flat size] on rank 0, as the optimizer gets it before
                                 ///< clipping; none elsewhere, or when no token had a loss
};

/// @collective What step `step` (0 for the first) would come to with the weights as they are: plan,
/// compute, sum, normalize, the very code of Trainer::step(). The trainer stays as it was, but for
/// its ledger. @throws Error as a step does.
StepGradient gradient_of_step(Trainer& trainer, std::int64_t step);

/// What passes through the layers in one step, and nothing done with it.
struct StepLayers {
    std::int64_t loss_tokens = 0;
    std::vector<LayerStatistics> layers;  ///< as StepStatistics'; empty when no token had a loss
    std::vector<StuckUnits> stuck;        ///< [layers]
};

/// @collective The same, of the layers with an activation. @throws Error as a step does.
StepLayers layers_of_step(Trainer& trainer, std::int64_t step);

}  // namespace evengrad
