#include "model/model.hpp"

#include <algorithm>
#include <new>

#include <fmt/format.h>

#include "model/gpt.hpp"
#include "model/mlp.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

MicroBatchSize MicroBatchSize::of(const MicroBatch& batch) {
    MicroBatchSize size;
    size.tokens = static_cast<Index>(batch.tokens.size());
    for (const std::int32_t length : batch.lengths)
        size.longest_sequence = std::max<Index>(size.longest_sequence, length);
    size.loss_rows = static_cast<Index>(std::count_if(batch.weights.begin(), batch.weights.end(),
                                                      [](float weight) { return weight != 0.0f; }));
    return size;
}

void MicroBatchSize::include(const MicroBatchSize& other) {
    tokens = std::max(tokens, other.tokens);
    longest_sequence = std::max(longest_sequence, other.longest_sequence);
    loss_rows = std::max(loss_rows, other.loss_rows);
}

template <class T>
void Model<T>::reserve(const MicroBatchSize& size, bool backward) {
    const std::size_t bytes = scratch_bytes(size, backward);
    if (bytes > arena().capacity()) {
        arena() = Arena();  // the old room goes before the new one comes
        try {
            arena() = Arena(bytes);
        } catch (const std::bad_alloc&) {
            throw Error(
                fmt::format("{} bytes ({:.1f} MiB) of memory can't be had: the scratch of a "
                            "micro-batch of {} tokens or rows",
                            bytes, static_cast<double>(bytes) / (1 << 20), size.tokens),
                "fewer ranks a machine, smaller micro-batches, a shorter --seq-length or a smaller "
                "model need less; train --dry-run shows the memory of each part");
        }
    }
}
template void Model<float>::reserve(const MicroBatchSize&, bool);
template void Model<double>::reserve(const MicroBatchSize&, bool);

template <class T>
std::unique_ptr<Model<T>> make_model(const ModelConfig& config, const ParameterTable& table) {
    if (config.is_mlp()) return std::make_unique<Mlp<T>>(config.mlp(), table);
    return std::make_unique<Gpt<T>>(config.gpt(), table);
}
template std::unique_ptr<Model<float>> make_model(const ModelConfig&, const ParameterTable&);
template std::unique_ptr<Model<double>> make_model(const ModelConfig&, const ParameterTable&);

}  // namespace evengrad
