#include "gradient/normalize.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "gradient/probe.hpp"

namespace evengrad {

GlobalSum GlobalSum::reduce(const NodeSum& node_sum, const Topology& topology,
                            const Ownership& ownership, std::span<const char> contributed,
                            std::int64_t step) {
    reduce_to_owners(topology, ownership, node_sum.sums, contributed);
    return {node_sum.sums, ownership.of_rank(topology.world().rank()), step};
}

MeanGradient MeanGradient::normalize(GlobalSum&& sum, const ParameterTable& table,
                                     const QuantumTable& quanta, Denominator denominator,
                                     std::uint64_t ledger_checksum, const Communicator& world) {
    EVENGRAD_CHECK(denominator.value > 0.0, "a gradient can't be divided by {}", denominator.value);
    EVENGRAD_CHECK(denominator.step == sum.step_, "the sums of step {} and the denominator of {}",
                   sum.step_ + 1, denominator.step + 1);
    MeanGradient mean;
    mean.sums_ = sum.sums_;
    mean.owned_ = sum.owned_;
    mean.quanta_ = &quanta;
    mean.denominator_ = denominator.value;
    mean.table_ = &table;
    mean.probes_.assign(static_cast<std::size_t>(table.size()), 0.0);

    // One word per block, written by its owner, zeros elsewhere; the last word is the checksum.
    std::vector<std::uint64_t> words(table.blocks().size() + 1, 0);
    for (Index b = mean.owned_.begin; b < mean.owned_.end; ++b) {
        const Block& block = table.blocks()[static_cast<std::size_t>(b)];
        const SumFacts facts = examine(mean.sums_.data() + block.begin, block.count, block.begin);
        const double scale =
            quanta.is_set(block.tensor) ? quanta.quantum(block.tensor) / denominator.value : 0.0;
        words[static_cast<std::size_t>(b)] =
            std::bit_cast<std::uint64_t>(facts.squared * scale * scale);
        words.back() += facts.checksum;
    }
    world.sum(words);
    if (words.back() != ledger_checksum)
        throw Error(
            fmt::format("step {}: the checksum of the gradient sums is {:016x}, that of all "
                        "contributions {:016x}: memory or a message was corrupted",
                        sum.step_ + 1, words.back(), ledger_checksum),
            "nothing of this step was used; check the machines' memory and resume from the last "
            "checkpoint");
    double squared = 0.0;
    for (std::size_t b = 0; b + 1 < words.size(); ++b) squared += std::bit_cast<double>(words[b]);
    mean.norm_ = std::sqrt(squared);
    mean.checksum_ = words.back();
    return mean;
}

void MeanGradient::add_products(const ParameterTable& table, Index tensor, Index begin,
                                std::span<const float> values, std::span<double> by_block) const {
    if (!quanta_->is_set(tensor)) return;
    const double scale = quanta_->quantum(tensor) / denominator_;
    const Index end = begin + std::ssize(values);
    const Index last = std::min(owned_.end, table[tensor].first_block + table[tensor].block_count);
    for (Index b = std::max(owned_.begin, table[tensor].first_block); b < last; ++b) {
        const Block& block = table.blocks()[static_cast<std::size_t>(b)];
        double sum = 0.0;
        for (Index i = std::max(begin, block.begin); i < std::min(end, block.begin + block.count);
             ++i)
            sum += sum_to_double(sums_[static_cast<std::size_t>(i)]) *
                   static_cast<double>(values[static_cast<std::size_t>(i - begin)]);
        by_block[static_cast<std::size_t>(b)] += sum * scale;
    }
}

void MeanGradient::look(Index tensor, Index begin, Index count, float* out) const {
    const std::uint64_t* sums = sums_.data() + begin;
    const double scale = quanta_->is_set(tensor) ? quanta_->quantum(tensor) / denominator_ : 0.0;
    for (Index i = 0; i < count; ++i) out[i] = static_cast<float>(sum_to_double(sums[i]) * scale);
}

void MeanGradient::take(Index tensor, Index begin, Index count, double factor, float* out) const {
    std::uint64_t* sums = sums_.data() + begin;
    if (!quanta_->is_set(tensor)) {  // never had a gradient
        std::fill_n(out, count, 0.0f);
        return;
    }
    const double scale = quanta_->quantum(tensor) / denominator_ * factor;
    for (Index i = 0; i < count; ++i) out[i] = static_cast<float>(sum_to_double(sums[i]) * scale);
    std::fill_n(sums, count, std::uint64_t{0});
    if (is_probed((*table_)[tensor]))
        probes_[static_cast<std::size_t>(tensor)] += probe(out, count, begin);
}

double MeanGradient::probe_of_taken(const Communicator& world) const {
    // A probed tensor is one block, so one rank's; zeros elsewhere.
    std::vector<std::uint64_t> words;
    for (const double value : probes_) words.push_back(std::bit_cast<std::uint64_t>(value));
    world.sum(words);
    double sum = 0.0;
    for (const std::uint64_t word : words) sum += std::bit_cast<double>(word);
    return sum;
}

double clip_factor(const MeanGradient& gradient, double largest) {
    if (largest <= 0.0) return 1.0;
    return std::min(1.0, largest / (gradient.norm() + 1e-6));
}

}  // namespace evengrad
