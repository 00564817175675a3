// Kernels that work row by row: bias, normalization, losses, dropout.
// Each forward stands beside its backward. Matrices are [rows, columns], dense unless said.
#pragma once

#include <cstdint>

#include "base/philox.hpp"
#include "kernels/matrix.hpp"

namespace evengrad {

/// y += bias in each row. bias: [columns]
template <class T>
void add_bias(T* y, const T* bias, Index rows, Index columns);

/// sums[j] = sum over rows of x[., j]; rows are added up in blocks, then the blocks, so the error
/// grows with the square root of the rows at most. sums: [columns]
template <class T>
void column_sums(const T* x, Index rows, Index columns, T* sums);

/// Layer normalization (Ba, Kiros and Hinton 2016), eps 1e-5 as in GPT-2.
/// y = (x - mean) * rstd * gain + shift; mean, rstd: [rows], kept for the way back.
template <class T>
void layer_norm_statistics(const T* x, Index rows, Index columns, T* mean, T* rstd);
template <class T>
void layer_norm_apply(const T* x, const T* mean, const T* rstd, const T* gain, const T* shift,
                      Index rows, Index columns, T* y);
/// dx += gradient by x. d_gain, d_shift: [columns], overwritten. `scratch`: [2 * columns].
template <class T>
void layer_norm_backward(const T* x, const T* mean, const T* rstd, const T* gain, const T* dy,
                         Index rows, Index columns, T* dx, T* d_gain, T* d_shift, T* scratch);

/// y *= x, element by element.
template <class T>
void multiply_into(T* y, const T* x, Index count);
/// y += x, element by element.
template <class T>
void add_into(T* y, const T* x, Index count);

/// What rows came to, each times its weight, added up in row order.
struct LossSums {
    double loss = 0.0;     ///< nats; squared distance under mse
    double correct = 0.0;  ///< those whose target has the largest logit (of equal ones, any)
};

/// Softmax cross-entropy of rows of logits, in place. logits[r] becomes
/// weight[r] * (softmax(logits[r]) - onehot(target[r])), the gradient of the weighted loss.
/// With `gradient` false logits stay.
template <class T>
LossSums cross_entropy(T* logits, const std::int32_t* targets, const float* weights, Index rows,
                       Index columns, bool gradient);

/// Squared distance, the mean over columns, in place: outputs[r] becomes
/// weight[r] * 2 / columns * (outputs[r] - values[r]), the gradient of the weighted loss. values:
/// [rows, columns]. With `gradient` false outputs stay. `correct` is 0.
template <class T>
LossSums mean_squared_error(T* outputs, const float* values, const float* weights, Index rows,
                            Index columns, bool gradient);

/// Where in a run a dropout mask is used. Never rank, micro-batch or time.
struct DropoutKey {
    std::uint64_t step_key = 0;  ///< from seed and step: dropout_step_key
    double probability = 0.0;
};

/// Key of all dropout masks of one step.
std::uint64_t dropout_step_key(std::uint64_t seed, std::int64_t step);

/// factors[i] = 0 with the key's probability, else 1 / (1 - probability), for i < count. One draw
/// is (site, sequence, position, i): Philox with these as its counter.
template <class T>
void dropout_factors(const DropoutKey& key, std::uint32_t site, std::uint32_t sequence,
                     std::uint32_t position, Index count, T* factors);

}  // namespace evengrad
