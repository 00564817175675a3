#include "kernels/rows.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/exponential.hpp"
#include "kernels/lanes.hpp"

namespace evengrad {

namespace {

constexpr double layer_norm_eps = 1e-5;
/// Rows added up before they join the total: bounds the rounding error of long sums.
constexpr Index row_block = 64;

}  // namespace

template <class T>
void add_bias(T* y, const T* bias, Index rows, Index columns) {
    for (Index r = 0; r < rows; ++r) add_into(y + r * columns, bias, columns);
}

template <class T>
void column_sums(const T* x, Index rows, Index columns, T* sums) {
    // A strip of columns at a time, so that its partial sums stay in registers or the first cache.
    constexpr Index strip = 64;
    std::array<T, strip> partial;
    std::array<T, strip> total;
    for (Index j = 0; j < columns; j += strip) {
        const Index width = std::min(strip, columns - j);
        total.fill(T(0));
        for (Index first = 0; first < rows; first += row_block) {
            const Index last = std::min(rows, first + row_block);
            partial.fill(T(0));
            for (Index r = first; r < last; ++r)
                add_into(partial.data(), x + r * columns + j, width);
            add_into(total.data(), partial.data(), width);
        }
        std::copy_n(total.data(), width, sums + j);
    }
}

template <class T>
void layer_norm_statistics(const T* x, Index rows, Index columns, T* mean, T* rstd) {
    const T scale = T(1) / static_cast<T>(columns);
    for (Index r = 0; r < rows; ++r) {
        const T* row = x + r * columns;
        const T center = lane_sum<T>(columns, [&](Index j) { return row[j]; }) * scale;
        const T variance = lane_sum<T>(columns,
                                       [&](Index j) {
                                           const T d = row[j] - center;
                                           return d * d;
                                       }) *
                           scale;
        mean[r] = center;
        rstd[r] = T(1) / std::sqrt(variance + T(layer_norm_eps));
    }
}

template <class T>
void layer_norm_apply(const T* x, const T* mean, const T* rstd, const T* gain, const T* shift,
                      Index rows, Index columns, T* y) {
    for (Index r = 0; r < rows; ++r) {
        const T center = mean[r], scale = rstd[r];
        for (Index j = 0; j < columns; ++j)
            y[r * columns + j] = std::fma((x[r * columns + j] - center) * scale, gain[j], shift[j]);
    }
}

template <class T>
void layer_norm_backward(const T* x, const T* mean, const T* rstd, const T* gain, const T* dy,
                         Index rows, Index columns, T* dx, T* d_gain, T* d_shift, T* scratch) {
    T* block_gain = scratch;
    T* block_shift = scratch + columns;
    std::fill_n(d_gain, columns, T(0));
    std::fill_n(d_shift, columns, T(0));
    const T inverse = T(1) / static_cast<T>(columns);
    for (Index first = 0; first < rows; first += row_block) {
        const Index last = std::min(rows, first + row_block);
        std::fill_n(scratch, 2 * columns, T(0));
        for (Index r = first; r < last; ++r) {
            const T* xr = x + r * columns;
            const T* dyr = dy + r * columns;
            T* dxr = dx + r * columns;
            const T center = mean[r], scale = rstd[r];
            // dx = rstd (d - mean(d) - xhat mean(d xhat)) with d = dy * gain
            const T mean_d =
                inverse * lane_sum<T>(columns, [&](Index j) { return dyr[j] * gain[j]; });
            const T mean_dx = inverse * lane_sum<T>(columns, [&](Index j) {
                                  return dyr[j] * gain[j] * ((xr[j] - center) * scale);
                              });
            for (Index j = 0; j < columns; ++j) {
                const T normalized = (xr[j] - center) * scale;
                dxr[j] += scale * (dyr[j] * gain[j] - mean_d - normalized * mean_dx);
                block_gain[j] = std::fma(dyr[j], normalized, block_gain[j]);
                block_shift[j] += dyr[j];
            }
        }
        add_into(d_gain, block_gain, columns);
        add_into(d_shift, block_shift, columns);
    }
}

template <class T>
void multiply_into(T* y, const T* x, Index count) {
    for (Index i = 0; i < count; ++i) y[i] *= x[i];
}

template <class T>
void add_into(T* y, const T* x, Index count) {
    for (Index i = 0; i < count; ++i) y[i] += x[i];
}

template <class T>
LossSums cross_entropy(T* logits, const std::int32_t* targets, const float* weights, Index rows,
                       Index columns, bool gradient) {
    LossSums sums;
    for (Index r = 0; r < rows; ++r) {
        T* row = logits + r * columns;
        const T largest = lane_max(row, columns);
        const T total =
            lane_sum<T>(columns, [&](Index j) { return exponential(row[j] - largest); });
        const T log_total = std::log(total);
        // Differences first: loss keeps its precision where the logits are large.
        const auto weight = static_cast<double>(weights[r]);
        if (row[targets[r]] == largest) sums.correct += weight;
        sums.loss += weight * (static_cast<double>(log_total) + static_cast<double>(largest) -
                               static_cast<double>(row[targets[r]]));
        if (!gradient) continue;
        const T scale = static_cast<T>(weights[r]) / total;
        for (Index j = 0; j < columns; ++j) row[j] = exponential(row[j] - largest) * scale;
        row[targets[r]] -= static_cast<T>(weights[r]);
    }
    return sums;
}

template <class T>
LossSums mean_squared_error(T* outputs, const float* values, const float* weights, Index rows,
                            Index columns, bool gradient) {
    LossSums sums;
    const double share = 1.0 / static_cast<double>(columns);
    for (Index r = 0; r < rows; ++r) {
        T* row = outputs + r * columns;
        const float* value = values + r * columns;
        const double squares = lane_sum<double>(columns, [&](Index j) {
            const double d = static_cast<double>(row[j]) - static_cast<double>(value[j]);
            return d * d;
        });
        const auto weight = static_cast<double>(weights[r]);
        sums.loss += weight * (share * squares);
        if (!gradient) continue;
        const T scale = static_cast<T>(2.0 * share * weight);
        for (Index j = 0; j < columns; ++j) row[j] = scale * (row[j] - static_cast<T>(value[j]));
    }
    return sums;
}

std::uint64_t dropout_step_key(std::uint64_t seed, std::int64_t step) {
    const auto bits = static_cast<std::uint64_t>(step);
    const auto words = Philox(seed, RandomPurpose::dropout)(static_cast<std::uint32_t>(bits),
                                                            static_cast<std::uint32_t>(bits >> 32));
    return (static_cast<std::uint64_t>(words[1]) << 32 | words[0]) % seed_limit;
}

template <class T>
void dropout_factors(const DropoutKey& key, std::uint32_t site, std::uint32_t sequence,
                     std::uint32_t position, Index count, T* factors) {
    const Philox philox(key.step_key, RandomPurpose::dropout);
    const auto threshold = static_cast<std::uint32_t>(key.probability * 0x1p32);
    const T kept = static_cast<T>(1.0 / (1.0 - key.probability));
    for (Index i = 0; i < count; i += 4) {
        const auto words = philox(static_cast<std::uint32_t>(i / 4), position, sequence, site);
        for (Index l = 0; l < std::min<Index>(4, count - i); ++l)
            factors[i + l] = words[static_cast<std::size_t>(l)] < threshold ? T(0) : kept;
    }
}

#define EVENGRAD_INSTANTIATE(T)                                                                    \
    template void add_bias<T>(T*, const T*, Index, Index);                                         \
    template void column_sums<T>(const T*, Index, Index, T*);                                      \
    template void layer_norm_statistics<T>(const T*, Index, Index, T*, T*);                        \
    template void layer_norm_apply<T>(const T*, const T*, const T*, const T*, const T*, Index,     \
                                      Index, T*);                                                  \
    template void layer_norm_backward<T>(const T*, const T*, const T*, const T*, const T*, Index,  \
                                         Index, T*, T*, T*, T*);                                   \
    template void multiply_into<T>(T*, const T*, Index);                                           \
    template void add_into<T>(T*, const T*, Index);                                                \
    template LossSums cross_entropy<T>(T*, const std::int32_t*, const float*, Index, Index, bool); \
    template LossSums mean_squared_error<T>(T*, const float*, const float*, Index, Index, bool);   \
    template void dropout_factors<T>(const DropoutKey&, std::uint32_t, std::uint32_t,              \
                                     std::uint32_t, Index, T*);
EVENGRAD_INSTANTIATE(float)
EVENGRAD_INSTANTIATE(double)
#undef EVENGRAD_INSTANTIATE

}  // namespace evengrad
