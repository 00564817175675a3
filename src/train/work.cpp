#include "train/work.hpp"

#include <algorithm>
#include <array>
#include <numeric>

namespace evengrad {

void broadcast_plan(const Communicator& world, StepPlan& plan) {
    std::array<std::int64_t, 2> numbers{plan.step, plan.epoch};
    world.broadcast(std::span<std::int64_t>(numbers), 0);
    plan.step = numbers[0];
    plan.epoch = numbers[1];
    world.broadcast(std::span(&plan.denominator, 1), 0);
    world.broadcast_resized(plan.sequence_begin, 0);
    world.broadcast_resized(plan.token_begin, 0);
    world.broadcast_resized(plan.loss_tokens, 0);
    world.broadcast_resized(plan.weight, 0);
    world.broadcast_resized(plan.sequence_ids, 0);
    world.broadcast_resized(plan.lengths, 0);
    world.broadcast_resized(plan.keys, 0);
    world.broadcast_resized(plan.tokens, 0);
    world.broadcast_resized(plan.targets, 0);
    world.broadcast_resized(plan.weights, 0);
    world.broadcast_resized(plan.features, 0);
    world.broadcast_resized(plan.values, 0);
}

void check_data(const Dataset& data, const ModelConfig& model) {
    const RowShape shape = data.row_shape();
    const TokenizerSpec& spec = data.tokenizer()->spec();
    if (!model.is_mlp()) {
        if (shape.features > 0)
            throw Error(fmt::format("{}: rows of numbers, and the model reads text", data.source()),
                        "--model mlp takes rows of numbers");
        if (spec.vocabulary_size > model.classes())
            throw Error(fmt::format("{}: its tokenizer ({}) has more tokens than the model's "
                                    "vocabulary of {}",
                                    data.source(), spec.describe(), model.classes()),
                        "give data of the model's tokenizer");
        return;
    }
    const MlpConfig& mlp = model.mlp();
    if (shape.features == 0)
        throw Error(fmt::format("{}: text, and the model takes rows of numbers", data.source()),
                    "--model gpt reads text");
    if (shape.features != mlp.features())
        throw Error(fmt::format("{}: rows have {} features, the model takes {}", data.source(),
                                shape.features, mlp.features()),
                    "--layer-widths begins with the number of features");
    const bool by_class = mlp.loss == MlpLoss::cross_entropy;
    if (by_class != (shape.values == 0))
        throw Error(fmt::format("{}: rows have {}, and the model's loss is {}", data.source(),
                                by_class ? "values" : "classes",
                                mlp_loss_names[static_cast<std::size_t>(mlp.loss)]),
                    "--loss cross-entropy is for classes, mse for values");
    const std::int64_t wanted = by_class ? spec.vocabulary_size : shape.values;
    if (by_class ? wanted > mlp.outputs() : wanted != mlp.outputs())
        throw Error(fmt::format("{}: rows have {} {}, the model {} outputs", data.source(), wanted,
                                by_class ? "classes" : "values", mlp.outputs()),
                    "--layer-widths ends with the number of classes or values");
}

double micro_batch_cost(const ModelConfig& config, const MicroBatch& batch) {
    double flops = 0.0;
    std::size_t row = 0;
    for (const std::int32_t length : batch.lengths) {
        const auto weights = batch.weights.subspan(row, static_cast<std::size_t>(length));
        const auto rows = std::count_if(weights.begin(), weights.end(),
                                        [](float weight) { return weight != 0.0f; });
        flops += config.training_flops(length, static_cast<Index>(rows));
        row += static_cast<std::size_t>(length);
    }
    return flops;
}

Deal deal(const NodeSpeeds& speeds, const ModelConfig& config, const StepPlan& plan) {
    Deal result;
    for (std::int64_t k = 0; k < plan.size(); ++k) {
        const MicroBatch batch = plan.micro_batch(k);
        result.costs.push_back(micro_batch_cost(config, batch));
        result.largest.include(MicroBatchSize::of(batch));
    }
    result.of_node = deal_to_nodes(result.costs, speeds.of_nodes());
    return result;
}

LedgerRow begin_row(int rank, const MicroBatch& batch) {
    LedgerRow row;
    std::size_t position = 0;
    for (const std::int32_t length : batch.lengths) {
        const std::int64_t before = row.tokens;
        for (const std::size_t end = position + static_cast<std::size_t>(length); position < end;
             ++position) {
            const auto weight = static_cast<double>(batch.weights[position]);
            row.weight += weight;
            row.squared_weight += weight * weight;
            row.tokens += weight != 0.0;
        }
        ++row.sequences;
        row.loss_sequences += row.tokens > before;
    }
    row.rank = rank;
    return row;
}

LedgerRow compute_micro_batch(Trainer::State& s, const StepPlan& plan, std::int64_t k,
                              Accumulator& accumulator, GradientSink<float>& sink,
                              LayerSink<float>* layers) {
    const MicroBatch batch = plan.micro_batch(k);
    const DropoutKey dropout{dropout_step_key(s.config.seed, s.steps_done),
                             s.config.model.dropout()};
    LedgerRow row = begin_row(s.topology.world().rank(), batch);
    accumulator.begin_micro_batch(k);
    const LossSums sums =
        s.model->forward_backward(s.store.weights().data(), batch, dropout, sink, layers);
    const MicroBatchFacts facts = accumulator.end_micro_batch();
    row.loss = sums.loss;
    row.correct = sums.correct;
    row.squared_norm = facts.squared_norm;
    row.checksum = facts.checksum;
    row.probe = facts.probe;
    return row;
}

void describe_work(const Ledger& ledger, double seconds, StepRecord& record) {
    std::vector<double> busy(record.idle.size(), 0.0);
    for (const LedgerRow& row : ledger.rows())
        busy[static_cast<std::size_t>(row.rank)] += static_cast<double>(row.nanoseconds) * 1e-9;
    const auto [least, most] = std::minmax_element(busy.begin(), busy.end());
    const double mean =
        std::accumulate(busy.begin(), busy.end(), 0.0) / static_cast<double>(busy.size());
    const double whole = std::max({seconds, *most, 1e-9});
    record.busy = {*least / whole, mean / whole, *most / whole};
    std::transform(busy.begin(), busy.end(), record.idle.begin(),
                   [&](double of_rank) { return whole - of_rank; });
}

}  // namespace evengrad
