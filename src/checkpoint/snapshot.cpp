#include "checkpoint/snapshot.hpp"

#include <new>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

AlignedBuffer<float> room_for(const ParameterTable& table, int moments) {
    try {
        return AlignedBuffer<float>((1 + moments) * table.flat_size());
    } catch (const std::bad_alloc&) {
        throw Error(fmt::format("rank 0 can't have the {} bytes of memory from which checkpoints "
                                "are written",
                                snapshot_bytes(table, moments)),
                    "a machine with more memory for rank 0, fewer ranks on it, a smaller model, or "
                    "--optimizer sgd, which has no moments to save");
    }
}

}  // namespace

std::size_t snapshot_bytes(const ParameterTable& table, int moments) {
    return static_cast<std::size_t>((1 + moments) * table.flat_size()) * sizeof(float);
}

Snapshot::Snapshot(const ParameterTable& table, int moments)
    : table_(table), moments_(moments), values_(room_for(table, moments)) {}

void gather_tensors(const RunTensors& tensors, Snapshot* snapshot) {
    for (const Tensor& tensor : tensors.table.tensors()) {
        if (snapshot) {
            const auto from = tensors.weights.subspan(static_cast<std::size_t>(tensor.offset),
                                                      static_cast<std::size_t>(tensor.count));
            std::copy(from.begin(), from.end(),
                      snapshot->values(tensor, TensorPart::weights).begin());
        }
        for (int which = 0; which < tensors.optimizer.moments(); ++which) {
            const auto whole = snapshot
                                   ? snapshot->values(tensor, static_cast<TensorPart>(which + 1))
                                   : std::span<float>();
            gather_owned(tensors.topology, tensors.ownership, tensors.optimizer.moment(which),
                         {tensor.first_block, tensor.first_block + tensor.block_count}, whole);
        }
    }
}

}  // namespace evengrad
