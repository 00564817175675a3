#include "gradient/accumulator.hpp"

#include <algorithm>

#include "gradient/probe.hpp"
#include "mpi/node.hpp"

namespace evengrad {

namespace {
constexpr std::uint32_t infinity_bits = 0x7f800000u;
}

Accumulator::Accumulator(const ParameterTable& table, const QuantumTable& quanta, NodeSum node_sum,
                         int rank, int ranks)
    : table_(table),
      quanta_(quanta),
      node_sum_(node_sum),
      rank_(rank),
      ranks_(ranks),
      largest_(static_cast<std::size_t>(table.size()), 0),
      lost_(static_cast<std::size_t>(table.size()), 0) {
    Index most = 1;
    for (const Tensor& tensor : table.tensors()) most = std::max(most, tensor.block_count);
    block_squares_.resize(static_cast<std::size_t>(most));
    if (node_sum.sums.empty()) nowhere_.resize(ParameterTable::block_size);
}

void Accumulator::begin_pass() {
    std::fill(largest_.begin(), largest_.end(), 0u);
    std::fill(lost_.begin(), lost_.end(), std::uint64_t{0});
    first_non_finite_ = NonFinite::none;
}

void Accumulator::begin_micro_batch(std::int64_t index) {
    micro_batch_ = index;
    facts_ = {};
}

void Accumulator::add(Index tensor_index, Index offset, std::span<const float> values) {
    const Tensor& tensor = table_[tensor_index];
    const auto count = static_cast<Index>(values.size());
    EVENGRAD_CHECK(offset >= 0 && offset + count <= tensor.count, "{} values at {} of {}", count,
                   offset, tensor.name);
    if (count == 0) return;
    if (is_probed(tensor)) facts_.probe += probe(values.data(), count, tensor.offset + offset);
    const bool has_quantum = quanta_.is_set(tensor_index);
    const double inverse = has_quantum ? 1.0 / quanta_.quantum(tensor_index) : 0.0;
    const Index first = offset / ParameterTable::block_size;
    const Index blocks = (offset + count - 1) / ParameterTable::block_size - first + 1;
    const Index start = blocks * rank_ / ranks_;
    std::uint32_t largest = 0;
    for (Index turn = 0; turn < blocks; ++turn) {
        const Index local = first + (start + turn) % blocks;
        const Index begin = std::max(offset, local * ParameterTable::block_size);
        const Index end = std::min(offset + count, (local + 1) * ParameterTable::block_size);
        const float* piece = values.data() + (begin - offset);
        PieceFacts facts;
        if (has_quantum && !nowhere_.empty()) {
            facts =
                add_rounded(piece, end - begin, inverse, tensor.offset + begin, nowhere_.data());
        } else if (has_quantum) {
            const Index flat = tensor.offset + begin;
            const SpinLock lock(node_sum_.locks[static_cast<std::size_t>(
                (tensor.first_block + local) * NodeSum::lock_stride)]);
            facts = add_rounded(piece, end - begin, inverse, flat, node_sum_.sums.data() + flat);
        } else {
            facts = observe(piece, end - begin);
        }
        facts_.checksum += facts.checksum;
        lost_[static_cast<std::size_t>(tensor_index)] += facts.lost;
        // Blocks are visited in an order of this rank's own; their squares are added in one order.
        block_squares_[static_cast<std::size_t>(local - first)] = facts.squared;
        largest = std::max(largest, facts.largest);
    }
    for (Index b = 0; b < blocks; ++b)
        facts_.squared_norm += block_squares_[static_cast<std::size_t>(b)];
    if (largest >= infinity_bits) {
        first_non_finite_ = std::min(first_non_finite_, NonFinite::key(micro_batch_, tensor_index));
    } else {
        auto& seen = largest_[static_cast<std::size_t>(tensor_index)];
        seen = std::max(seen, largest);
    }
}

}  // namespace evengrad
