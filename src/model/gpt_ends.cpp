// The two ends of a Gpt, which share one matrix: the vocabulary head and the embedding.
#include <algorithm>
#include <numeric>

#include "kernels/lanes.hpp"
#include "model/gpt_pass.hpp"

namespace evengrad {

/// Loss of the rows that carry one; with `backward` also d_residual, and the head's contributions.
template <class T>
LossSums Gpt<T>::head(Pass& pass, bool backward) {
    const Index c = config_.hidden_size, v = config_.vocab_size;
    const Index count = MicroBatchSize::of(pass.batch).loss_rows;
    const Arena::Frame frame(arena_);
    Index* rows = arena_.take<Index>(count);
    T* x = arena_.take<T>(count * c);
    T* normalized = arena_.take<T>(count * c);
    T* mean = arena_.take<T>(count);
    T* rstd = arena_.take<T>(count);
    auto* targets = arena_.take<std::int32_t>(count);
    float* weights = arena_.take<float>(count);
    Index row = 0;
    for (Index i = 0; i < pass.tokens; ++i) {
        const auto at = static_cast<std::size_t>(i);
        if (pass.batch.weights[at] == 0.0f) continue;
        rows[row] = i;
        targets[row] = pass.batch.targets[at];
        weights[row] = pass.batch.weights[at];
        std::copy_n(pass.output + i * c, c, x + row++ * c);
    }
    layer_norm_statistics(x, count, c, mean, rstd);
    norm(pass, ln_f_, x, mean, rstd, count, normalized);

    const auto embedding = matrix(pass.parameter(wte_), v, c);
    const Index chunk = std::min(count, head_chunk());
    T* logits = arena_.take<T>(chunk * v);
    T* d_normalized = backward ? arena_.take<T>(count * c) : nullptr;
    LossSums sums;
    for (Index first = 0; first < count; first += chunk) {
        const Index size = std::min(chunk, count - first);
        const auto scores = matrix(logits, size, v);
        const auto inputs = matrix(normalized + first * c, size, c);
        multiply<T>(inputs, Transpose::no, embedding, Transpose::yes, scores);
        const LossSums chunk_sums =
            cross_entropy(logits, targets + first, weights + first, size, v, backward);
        sums.loss += chunk_sums.loss;
        sums.correct += chunk_sums.correct;
        if (!backward) continue;
        multiply<T>(scores, Transpose::yes, inputs, Transpose::no, matrix(pass.gradient, v, c),
                    first == 0 ? T(0) : T(1));
        multiply<T>(scores, Transpose::no, embedding, Transpose::no,
                    matrix(d_normalized + first * c, size, c));
    }
    if (!backward) return sums;
    pass.emit(wte_, pass.gradient, v * c);

    // The rows that the embedding will add to again, for the micro-batch's exact norm.
    std::iota(pass.order, pass.order + pass.tokens, Index{0});
    const auto token = [&](Index i) { return pass.batch.tokens[static_cast<std::size_t>(i)]; };
    std::sort(pass.order, pass.order + pass.tokens,
              [&](Index a, Index b) { return token(a) != token(b) ? token(a) < token(b) : a < b; });
    Index distinct = 0;
    for (Index i = 0; i < pass.tokens; ++i)
        if (i == 0 || token(pass.order[i]) != token(pass.order[i - 1]))
            std::copy_n(pass.gradient + token(pass.order[i]) * c, c,
                        pass.head_rows + distinct++ * c);

    // Back through the final norm, then to the rows' places; other rows carry no gradient.
    T* d_x = arena_.take<T>(count * c);
    std::fill_n(d_x, count * c, T(0));
    norm_backward(pass, ln_f_, x, mean, rstd, d_normalized, count, d_x);
    std::fill_n(pass.d_residual, pass.tokens * c, T(0));
    for (Index r = 0; r < count; ++r) std::copy_n(d_x + r * c, c, pass.d_residual + rows[r] * c);
    return sums;
}

template <class T>
void Gpt<T>::backward_embedding(Pass& pass) {
    const Index c = config_.hidden_size;
    drop_rows(pass, 0, pass.d_residual);

    const auto longest = *std::max_element(pass.batch.lengths.begin(), pass.batch.lengths.end());
    std::fill_n(pass.gradient, longest * c, T(0));
    Index row = 0;
    for (const std::int32_t length : pass.batch.lengths) {
        add_into(pass.gradient, pass.d_residual + row * c, length * c);
        row += length;
    }
    pass.emit(wpe_, pass.gradient, longest * c);

    const auto token = [&](Index i) { return pass.batch.tokens[static_cast<std::size_t>(i)]; };
    const T* head_row = pass.head_rows;
    double cross = 0.0;
    for (Index i = 0; i < pass.tokens;) {
        const Index current = token(pass.order[i]);
        T* sum = pass.gradient;
        std::fill_n(sum, c, T(0));
        for (; i < pass.tokens && token(pass.order[i]) == current; ++i)
            add_into(sum, pass.d_residual + pass.order[i] * c, c);
        cross += lane_sum<double>(c, [&](Index j) {
            return static_cast<double>(head_row[j]) * static_cast<double>(sum[j]);
        });
        head_row += c;
        pass.emit(wte_, sum, c, current * c);
    }
    pass.sink->add_cross_term(2.0 * cross);
}

/// Logits of one of the trunk's rows. logits: [vocab_size]
template <class T>
void Gpt<T>::row_logits(const Pass& pass, Index row, T* logits) {
    const Index c = config_.hidden_size, v = config_.vocab_size;
    const T* x = pass.output + row * c;
    T mean, rstd;
    layer_norm_statistics(x, 1, c, &mean, &rstd);
    norm(pass, ln_f_, x, &mean, &rstd, 1, pass.normalized);
    multiply<T>(matrix(static_cast<const T*>(pass.normalized), 1, c), Transpose::no,
                matrix(pass.parameter(wte_), v, c), Transpose::yes, matrix(logits, 1, v));
}

template <class T>
void Gpt<T>::logits(const T* weights, const MicroBatch& batch, T* logits) {
    const Arena::Frame frame(arena_);
    Pass pass(*table_, weights, batch, DropoutKey{}, nullptr);
    forward_trunk(pass);
    for (Index i = 0; i < pass.tokens; ++i) {
        if (batch.weights[static_cast<std::size_t>(i)] == 0.0f) continue;
        row_logits(pass, i, logits);
        logits += config_.vocab_size;
    }
}

template <class T>
void Gpt<T>::extend(const T* weights, KeyValueCache<T>& cache, std::span<const std::int32_t> tokens,
                    T* logits) {
    const auto count = static_cast<std::int32_t>(tokens.size());
    EVENGRAD_CHECK(count > 0 && count <= cache.capacity() - cache.length(),
                   "{} tokens behind {} in a cache for {}", count, cache.length(),
                   cache.capacity());
    const Arena::Frame frame(arena_);
    Pass pass(*table_, weights, {{&count, 1}, {}, {}, tokens, {}, {}}, DropoutKey{}, nullptr);
    pass.cache = &cache;
    forward_trunk(pass);
    cache.advance(count);
    row_logits(pass, count - 1, logits);
}

template LossSums Gpt<float>::head(Pass&, bool);
template LossSums Gpt<double>::head(Pass&, bool);
template void Gpt<float>::backward_embedding(Pass&);
template void Gpt<double>::backward_embedding(Pass&);
template void Gpt<float>::logits(const float*, const MicroBatch&, float*);
template void Gpt<double>::logits(const double*, const MicroBatch&, double*);
template void Gpt<float>::extend(const float*, KeyValueCache<float>&, std::span<const std::int32_t>,
                                 float*);
template void Gpt<double>::extend(const double*, KeyValueCache<double>&,
                                  std::span<const std::int32_t>, double*);

}  // namespace evengrad
