#include "kernels/attention.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/exponential.hpp"
#include "kernels/lanes.hpp"

namespace evengrad {

namespace {

/// Queries taken at a time: keys beyond the block's last query are never touched, so a long
/// sequence costs little more than the causal half of the square.
constexpr Index query_block = 64;

/// One head of one sequence: where its rows lie. Query i is that of key past + i, where past is how
/// many more keys there are than queries.
template <class T>
struct Head {
    ConstMatrixView<T> q, k, v;
};

template <class T>
Head<T> head_of(const T* qkv, Index first_row, Index length, AttentionShape shape, Index head) {
    const Index stride = 3 * shape.channels();
    const T* q = qkv + first_row * stride + head * shape.head_size;
    return {matrix(q, length, shape.head_size, stride),
            matrix(q + shape.channels(), length, shape.head_size, stride),
            matrix(q + 2 * shape.channels(), length, shape.head_size, stride)};
}

/// out = softmax(q k^T / sqrt(head_size), causal) v of one head, a block of queries at a time.
/// `see(i, row, seen, log_sum)` may change query i's probabilities row[0 .. seen) before their use.
/// scores: scratch, [query_block, keys].
template <class T, class Function>
void attend(const Head<T>& head, T* scores, MatrixOut<T> out, Function&& see) {
    const Index queries = head.q.rows(), past = head.k.rows() - queries;
    const T scale = T(1) / std::sqrt(static_cast<T>(head.q.cols()));
    for (Index begin = 0; begin < queries; begin += query_block) {
        const Index count = std::min(query_block, queries - begin);
        const Index reach = past + begin + count;  // keys that any query of the block sees
        MatrixView<T> p = matrix(scores, count, reach);
        multiply<T>(head.q.middleRows(begin, count), Transpose::no, head.k.middleRows(0, reach),
                    Transpose::yes, p, T(0), scale);
        for (Index i = 0; i < count; ++i) {
            T* row = scores + i * reach;
            const Index seen = past + begin + i + 1;
            const T largest = lane_max(row, seen);
            for (Index j = 0; j < seen; ++j) row[j] = exponential(row[j] - largest);
            const T total = lane_sum<T>(seen, [&](Index j) { return row[j]; });
            const T inverse = T(1) / total;
            for (Index j = 0; j < seen; ++j) row[j] *= inverse;
            std::fill(row + seen, row + reach, T(0));
            see(begin + i, row, seen, largest + std::log(total));
        }
        multiply<T>(p, Transpose::no, head.v.middleRows(0, reach), Transpose::no,
                    out.middleRows(begin, count));
    }
}

std::uint32_t dropout_site(Index layer, Index head) {
    // Bit 31 sets attention apart from the sites of rows (model/gpt.cpp).
    return 0x80000000u | static_cast<std::uint32_t>(layer << 16 | head);
}

}  // namespace

template <class T>
std::size_t attention_scratch(Index longest) {
    return 3 * arena_bytes<T>(query_block * longest) + arena_bytes<T>(longest);
}

template <class T>
void attention_forward(const T* qkv, std::span<const std::int32_t> lengths,
                       std::span<const std::int32_t> keys, AttentionShape shape,
                       const DropoutKey& dropout, Index layer, Arena& arena, T* out, T* log_sum) {
    Index tokens = 0;
    for (const std::int32_t length : lengths) tokens += length;
    const bool drops = dropout.probability > 0.0;
    Index first_row = 0;
    for (std::size_t s = 0; s < lengths.size(); ++s) {
        const Index length = lengths[s];
        const Arena::Frame frame(arena);
        T* scores = arena.take<T>(query_block * length);
        T* factors = drops ? arena.take<T>(length) : nullptr;
        for (Index h = 0; h < shape.heads; ++h)
            attend<T>(head_of(qkv, first_row, length, shape, h), scores,
                      matrix(out + first_row * shape.channels() + h * shape.head_size, length,
                             shape.head_size, shape.channels()),
                      [&](Index i, T* row, Index seen, T row_log_sum) {
                          log_sum[h * tokens + first_row + i] = row_log_sum;
                          if (!drops) return;
                          dropout_factors(dropout, dropout_site(layer, h),
                                          static_cast<std::uint32_t>(keys[s]),
                                          static_cast<std::uint32_t>(i), seen, factors);
                          multiply_into(row, factors, seen);
                      });
        first_row += length;
    }
}

template <class T>
void attention_extend(const T* queries, Index stride, Index n, const T* keys, const T* values,
                      Index past, AttentionShape shape, Arena& arena, T* out) {
    const Arena::Frame frame(arena);
    const Index c = shape.channels(), width = shape.head_size;
    T* scores = arena.take<T>(std::min(query_block, n) * (past + n));
    for (Index h = 0; h < shape.heads; ++h) {
        const Head<T> head{matrix(queries + h * width, n, width, stride),
                           matrix(keys + h * width, past + n, width, c),
                           matrix(values + h * width, past + n, width, c)};
        attend<T>(head, scores, matrix(out + h * width, n, width, c), [](Index, T*, Index, T) {});
    }
}

template <class T>
void attention_backward(const T* qkv, const T* out, const T* log_sum, const T* d_out,
                        std::span<const std::int32_t> lengths, std::span<const std::int32_t> keys,
                        AttentionShape shape, const DropoutKey& dropout, Index layer, Arena& arena,
                        T* d_qkv) {
    Index tokens = 0;
    for (const std::int32_t length : lengths) tokens += length;
    std::fill_n(d_qkv, tokens * 3 * shape.channels(), T(0));
    const T scale = T(1) / std::sqrt(static_cast<T>(shape.head_size));
    const bool drops = dropout.probability > 0.0;
    const Index width = shape.head_size, channels = shape.channels();
    Index first_row = 0;
    for (std::size_t s = 0; s < lengths.size(); ++s) {
        const Index length = lengths[s];
        const Arena::Frame frame(arena);
        T* probabilities = arena.take<T>(query_block * length);
        T* gradients = arena.take<T>(query_block * length);
        T* factors = drops ? arena.take<T>(query_block * length) : nullptr;
        for (Index h = 0; h < shape.heads; ++h) {
            const Head<T> head = head_of(qkv, first_row, length, shape, h);
            T* dq = d_qkv + first_row * 3 * channels + h * width;
            auto d_k = matrix(dq + channels, length, width, 3 * channels);
            auto d_v = matrix(dq + 2 * channels, length, width, 3 * channels);
            for (Index begin = 0; begin < length; begin += query_block) {
                const Index count = std::min(query_block, length - begin);
                const Index reach = begin + count;
                const Index at = (first_row + begin) * channels + h * width;
                const auto out_rows = matrix(out + at, count, width, channels);
                const auto d_out_rows = matrix(d_out + at, count, width, channels);
                MatrixView<T> p = matrix(probabilities, count, reach);
                MatrixView<T> dp = matrix(gradients, count, reach);
                multiply<T>(head.q.middleRows(begin, count), Transpose::no,
                            head.k.middleRows(0, reach), Transpose::yes, p, T(0), scale);
                multiply<T>(d_out_rows, Transpose::no, head.v.middleRows(0, reach), Transpose::yes,
                            dp);
                for (Index i = 0; i < count; ++i) {
                    T* row = probabilities + i * reach;
                    T* d_row = gradients + i * reach;
                    const Index seen = begin + i + 1;
                    const T log_total = log_sum[h * tokens + first_row + begin + i];
                    const T* o = out_rows.data() + i * channels;
                    const T* d_o = d_out_rows.data() + i * channels;
                    // sum_j p_ij dp_ij, which equals the product of the output and its gradient
                    const T inner = lane_sum<T>(width, [&](Index c) { return o[c] * d_o[c]; });
                    T* factor_row = nullptr;
                    if (drops) {
                        factor_row = factors + i * reach;
                        dropout_factors(dropout, dropout_site(layer, h),
                                        static_cast<std::uint32_t>(keys[s]),
                                        static_cast<std::uint32_t>(begin + i), seen, factor_row);
                        multiply_into(d_row, factor_row, seen);
                    }
                    for (Index j = 0; j < seen; ++j) {
                        const T probability = exponential(row[j] - log_total);
                        row[j] = probability;
                        d_row[j] = probability * (d_row[j] - inner) * scale;
                    }
                    if (drops) multiply_into(row, factor_row, seen);
                    std::fill(row + seen, row + reach, T(0));
                    std::fill(d_row + seen, d_row + reach, T(0));
                }
                multiply<T>(p, Transpose::yes, d_out_rows, Transpose::no, d_v.middleRows(0, reach),
                            T(1));
                multiply<T>(dp, Transpose::no, head.k.middleRows(0, reach), Transpose::no,
                            matrix(dq + begin * 3 * channels, count, width, 3 * channels));
                multiply<T>(dp, Transpose::yes, head.q.middleRows(begin, count), Transpose::no,
                            d_k.middleRows(0, reach), T(1));
            }
        }
        first_row += length;
    }
}

#define EVENGRAD_INSTANTIATE(T)                                                          \
    template std::size_t attention_scratch<T>(Index);                                    \
    template void attention_forward<T>(const T*, std::span<const std::int32_t>,          \
                                       std::span<const std::int32_t>, AttentionShape,    \
                                       const DropoutKey&, Index, Arena&, T*, T*);        \
    template void attention_extend<T>(const T*, Index, Index, const T*, const T*, Index, \
                                      AttentionShape, Arena&, T*);                       \
    template void attention_backward<T>(                                                 \
        const T*, const T*, const T*, const T*, std::span<const std::int32_t>,           \
        std::span<const std::int32_t>, AttentionShape, const DropoutKey&, Index, Arena&, T*);
EVENGRAD_INSTANTIATE(float)
EVENGRAD_INSTANTIATE(double)
#undef EVENGRAD_INSTANTIATE

}  // namespace evengrad
