#include "train/step_statistics.hpp"

#include <limits>

namespace evengrad {

StepCollector::StepCollector(const Trainer::State& state)
    : s_(state), tensors_(state.table, state.owned()) {}

void StepCollector::begin_pass(std::int64_t micro_batches) {
    micro_batches_ = micro_batches;
    layers_.emplace(activation_layers(s_.config.model), micro_batches);
}

LayerSink<float>* StepCollector::layers_of(std::int64_t k) {
    layers_->begin_micro_batch(k);
    return &*layers_;
}

StepStatistics StepCollector::combine(std::span<const std::uint64_t> lost) {
    const Communicator& world = s_.topology.world();
    StepStatistics out = tensors_.combine(world);
    out.layers = combine_layers();
    for (Index t = 0; t < s_.table.size(); ++t) {
        const auto at = static_cast<std::size_t>(t);
        TensorStatistics& tensor = out.tensors[at];
        tensor.quantum_exponent = s_.quanta.is_set(t) ? static_cast<float>(s_.quanta.exponent(t))
                                                      : std::numeric_limits<float>::quiet_NaN();
        tensor.rounded_to_zero_fraction = static_cast<float>(
            static_cast<double>(lost[at]) /
            static_cast<double>(s_.table[t].contributions * micro_batches_ * s_.table[t].count));
    }
    return out;
}

}  // namespace evengrad
