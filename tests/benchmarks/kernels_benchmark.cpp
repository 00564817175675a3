// Time per element of the loops that a step spends its time in, beside matrix products.
#include <benchmark/benchmark.h>

#include "gradient/sums.hpp"
#include "kernels/activations.hpp"
#include "kernels/attention.hpp"
#include "kernels/rows.hpp"
#include "optimizer/optimizer.hpp"

namespace evengrad {
namespace {

AlignedBuffer<float> numbers(Index count, float scale) {
    AlignedBuffer<float> values(count);
    const Philox philox(1, RandomPurpose::test);
    for (Index i = 0; i < count; ++i)
        values[i] = scale * static_cast<float>(
                                uniform_open(philox(static_cast<std::uint32_t>(i))[0]) - 0.5);
    return values;
}

void per_element(benchmark::State& state, Index count) {
    state.counters["s/element"] =
        benchmark::Counter(static_cast<double>(count) * static_cast<double>(state.iterations()),
                           benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void add_rounded_sums(benchmark::State& state) {
    const Index count = state.range(0);
    const auto values = numbers(count, 1e-3f);
    AlignedBuffer<std::uint64_t> sums(count);
    for (auto _ : state)
        benchmark::DoNotOptimize(add_rounded(values.data(), count, 0x1p50, 0, sums.data()));
    per_element(state, count);
}
BENCHMARK(add_rounded_sums)->Arg(65536)->Arg(10'000'000);

void examine_sums(benchmark::State& state) {
    const Index count = state.range(0);
    const AlignedBuffer<std::uint64_t> sums(count);
    for (auto _ : state) benchmark::DoNotOptimize(examine(sums.data(), count, 0));
    per_element(state, count);
}
BENCHMARK(examine_sums)->Arg(65536)->Arg(10'000'000);

void activation(benchmark::State& state, bool derivative) {
    const Index count = 1 << 20;
    const auto kind = static_cast<Activation>(state.range(0));
    const auto z = numbers(count, 8.0f);
    AlignedBuffer<float> y(count), slopes(count);
    for (auto _ : state) {
        if (derivative)
            activate_with_derivative(kind, 0.01, z.data(), count, y.data(), slopes.data());
        else
            activate(kind, 0.01, z.data(), count, y.data());
        benchmark::ClobberMemory();
    }
    state.SetLabel(activation_names[static_cast<std::size_t>(kind)]);
    per_element(state, count);
}
BENCHMARK_CAPTURE(activation, alone, false)->DenseRange(0, activation_names.size() - 1);
BENCHMARK_CAPTURE(activation, with_derivative, true)->DenseRange(0, activation_names.size() - 1);

void layer_norm_both_ways(benchmark::State& state) {
    const Index rows = 2048, columns = state.range(0);
    const auto x = numbers(rows * columns, 2.0f), dy = numbers(rows * columns, 1.0f);
    const auto gain = numbers(columns, 1.0f);
    AlignedBuffer<float> mean(rows), rstd(rows), y(rows * columns), dx(rows * columns);
    AlignedBuffer<float> d_gain(columns), d_shift(columns), scratch(2 * columns);
    for (auto _ : state) {
        layer_norm_statistics(x.data(), rows, columns, mean.data(), rstd.data());
        layer_norm_apply(x.data(), mean.data(), rstd.data(), gain.data(), gain.data(), rows,
                         columns, y.data());
        layer_norm_backward(x.data(), mean.data(), rstd.data(), gain.data(), dy.data(), rows,
                            columns, dx.data(), d_gain.data(), d_shift.data(), scratch.data());
        benchmark::ClobberMemory();
    }
    per_element(state, rows * columns);
}
BENCHMARK(layer_norm_both_ways)->Arg(384);

void attention_forward_of_sequences(benchmark::State& state) {
    const Index length = state.range(0), count = 2048 / length;
    const AttentionShape shape{6, 64};
    const Index n = length * count;
    const auto qkv = numbers(n * 3 * shape.channels(), 1.0f);
    AlignedBuffer<float> out(n * shape.channels()), log_sum(n * shape.heads);
    const std::vector<std::int32_t> lengths(static_cast<std::size_t>(count),
                                            static_cast<std::int32_t>(length));
    const std::vector<std::int32_t> keys(lengths.size(), 0);
    Arena arena(attention_scratch<float>(length));
    for (auto _ : state) {
        attention_forward(qkv.data(), lengths, keys, shape, {}, 0, arena, out.data(),
                          log_sum.data());
        benchmark::ClobberMemory();
    }
    per_element(state, n * shape.channels());
}
BENCHMARK(attention_forward_of_sequences)->Arg(64)->Arg(256)->Arg(1024);

void adamw_update(benchmark::State& state) {
    const Index count = state.range(0);
    const auto gradient = numbers(count, 1e-2f);
    auto weights = numbers(count, 1.0f);
    AlignedBuffer<float> exp_avg(count), exp_avg_sq(count);
    const UpdateRule rule{OptimizerConfig{}, 1e-3, 10};
    for (auto _ : state) {
        update_elements(rule, true, count, gradient.data(), weights.data(), exp_avg.data(),
                        exp_avg_sq.data());
        benchmark::ClobberMemory();
    }
    per_element(state, count);
}
BENCHMARK(adamw_update)->Arg(65536)->Arg(10'000'000);

}  // namespace
}  // namespace evengrad
