// The engine's pieces put together as a step does it, for tests that look at the gradient itself.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "gradient/ledger.hpp"
#include "gradient/normalize.hpp"
#include "model/gpt.hpp"
#include "train/state.hpp"

namespace evengrad::test {

/// A gradient added up in the plainest way: no quanta, no blocks.
template <class T>
class PlainSink final : public GradientSink<T> {
  public:
    explicit PlainSink(const ParameterTable& table)
        : table_(table), sum(static_cast<std::size_t>(table.flat_size()), T{0}) {}
    void add(Index tensor, Index offset, std::span<const T> values) override {
        T* to = sum.data() + table_[tensor].offset + offset;
        for (std::size_t i = 0; i < values.size(); ++i) to[i] += values[i];
    }
    void add_cross_term(double) override {}

  private:
    const ParameterTable& table_;

  public:
    std::vector<T> sum;  ///< [flat size]
};

inline std::vector<float> initial_weights(const ParameterTable& table, std::uint64_t seed) {
    std::vector<float> weights(static_cast<std::size_t>(table.flat_size()), 0.0f);
    for (const Tensor& tensor : table.tensors())
        initialize(tensor, seed, tensor.offset, weights.data() + tensor.offset, tensor.count);
    return weights;
}

/// Loss (first) and gradient of the weighted sum over a whole plan, in double, in one process.
inline std::pair<double, std::vector<double>> reference(const ModelConfig& config,
                                                        const ParameterTable& table,
                                                        std::span<const float> weights,
                                                        const StepPlan& plan) {
    const std::vector<double> exact(weights.begin(), weights.end());
    Gpt<double> model(config.gpt(), table);
    PlainSink<double> sink(table);
    double loss = 0.0;
    for (std::int64_t k = 0; k < plan.size(); ++k) {
        const MicroBatch batch = plan.micro_batch(k);
        model.reserve(MicroBatchSize::of(batch), true);
        loss += model.forward_backward(exact.data(), batch, {}, sink).loss;
    }
    return {loss, std::move(sink.sum)};
}

/// Integer sums of a communicator's ranks, from contributions to a MeanGradient.
class SumsOfRanks {
  public:
    SumsOfRanks(const Communicator& world, int ranks_per_node, const ParameterTable& table)
        : topology(world, ranks_per_node),
          table_(table),
          ownership(topology, ranges(table)),
          store(topology, table),
          quanta(table.size()),
          accumulator(table, quanta, store.sum(), topology.node().rank(), topology.node().size()) {}

    /// @collective contribute(k) adds micro-batch k and returns its ledger row without checksum; it
    /// is called on rank owner(k). Twice when the quanta are not known yet.
    template <class Owner, class Contribute>
    void run(const StepPlan& plan, Owner owner, Contribute contribute) {
        for (int pass = 0; pass < 2; ++pass) {
            ledger = Ledger(plan.size());
            accumulator.begin_pass();
            std::vector<char> contributed(static_cast<std::size_t>(topology.node_count()), 0);
            for (std::int64_t k = 0; k < plan.size(); ++k) {
                contributed[static_cast<std::size_t>(topology.node_of(owner(k)))] = 1;
                if (owner(k) != topology.world().rank()) continue;
                accumulator.begin_micro_batch(k);
                LedgerRow row = contribute(k);
                row.checksum = accumulator.end_micro_batch().checksum;
                row.squared_norm = accumulator.end_micro_batch().squared_norm;
                row.rank = topology.world().rank();
                ledger.record(k, row);
            }
            ledger.combine(topology.world());
            auto largest = accumulator.largest();
            topology.world().max(largest);
            contributed_ = contributed;
            store.barrier();
            if (pass == 1) break;
            if (topology.node().rank() == 0)
                std::fill(store.sum().sums.begin(), store.sum().sums.end(), std::uint64_t{0});
            for (Index t = 0; t < table_.size(); ++t)
                quanta.follow(t, std::bit_cast<float>(largest[static_cast<std::size_t>(t)]));
            store.barrier();
        }
    }

    /// @collective
    MeanGradient mean(double denominator, std::int64_t step_of_denominator = 0) {
        GlobalSum sum = GlobalSum::reduce(store.sum(), topology, ownership,
                                          std::span<const char>(contributed_), 0);
        return MeanGradient::normalize(std::move(sum), table_, quanta,
                                       {denominator, step_of_denominator}, ledger.checksum(),
                                       topology.world());
    }

    /// @collective The whole mean gradient on rank 0 (elsewhere zeros), as the optimizer gets it.
    std::vector<float> take_all(const MeanGradient& gradient, double factor = 1.0) {
        std::vector<float> owned;
        for (Index b = gradient.owned().begin; b < gradient.owned().end; ++b) {
            const Block& block = table_.blocks()[static_cast<std::size_t>(b)];
            std::vector<float> values(static_cast<std::size_t>(block.count));
            gradient.take(block.tensor, block.begin, block.count, factor, values.data());
            owned.insert(owned.end(), values.begin(), values.end());
        }
        const bool root = topology.world().rank() == 0;
        std::vector<float> packed(root ? static_cast<std::size_t>(table_.parameter_count())
                                       : std::size_t{0});
        gather_owned(topology, ownership, owned,
                     {0, static_cast<std::int64_t>(table_.blocks().size())}, packed);
        std::vector<float> flat(static_cast<std::size_t>(table_.flat_size()), 0.0f);
        std::size_t at = 0;
        if (root) {
            for (const Block& block : table_.blocks()) {
                const auto count = static_cast<std::size_t>(block.count);
                std::copy_n(packed.data() + at, count, flat.data() + block.begin);
                at += count;
            }
        }
        return flat;
    }

    Topology topology;

  private:
    static std::vector<ElementRange> ranges(const ParameterTable& table) {
        std::vector<ElementRange> all;
        for (const Block& block : table.blocks()) all.push_back({block.begin, block.count});
        return all;
    }
    const ParameterTable& table_;
    std::vector<char> contributed_;

  public:
    Ownership ownership;
    NodeStore store;
    QuantumTable quanta;
    Accumulator accumulator;
    Ledger ledger;
};

/// The row that the plan wants for micro-batch k.
inline LedgerRow planned_row(const StepPlan& plan, std::int64_t k, double loss = 0.0) {
    LedgerRow row;
    row.loss = loss;
    row.weight = plan.weight[static_cast<std::size_t>(k)];
    row.tokens = plan.loss_tokens[static_cast<std::size_t>(k)];
    return row;
}

/// |a - b| and |b| over elements [begin, begin + count).
template <class A, class B>
std::pair<double, double> difference(const A& a, const B& b, Index begin, Index count) {
    double apart = 0.0, size = 0.0;
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(begin + count);
         ++i) {
        const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
        apart += (x - y) * (x - y);
        size += y * y;
    }
    return {std::sqrt(apart), std::sqrt(size)};
}

struct GradientError {
    double overall = 0.0;  ///< |a - b| / |b|
    double tensor = 0.0;   ///< the largest of |a - b| / max(|b|, 1e-6 |all|) of one tensor
    std::string name;      ///< of that tensor
};

template <class A, class B>
GradientError gradient_error(const ParameterTable& table, const A& a, const B& b) {
    const auto [apart, all] = difference(a, b, 0, table.flat_size());
    GradientError error{apart / all, 0.0, ""};
    for (const Tensor& tensor : table.tensors()) {
        const auto [d, size] = difference(a, b, tensor.offset, tensor.count);
        const double relative = d / std::max(size, 1e-6 * all);
        if (relative > error.tensor) error = {error.overall, relative, tensor.name};
    }
    return error;
}

}  // namespace evengrad::test
