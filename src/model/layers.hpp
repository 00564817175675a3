// Layers with parameters that both architectures are made of, forward beside backward.
#pragma once

#include "base/aligned.hpp"
#include "model/gradient_sink.hpp"
#include <evengrad/model.hpp>

namespace evengrad {

/// A model's parameters during one micro-batch, and the way out for their gradients.
template <class T>
struct Parameters {
    const ParameterTable& table;
    const T* weights;                 ///< the flat array
    GradientSink<T>* sink = nullptr;  ///< null: forward only
    T* gradient = nullptr;            ///< room for that of the largest tensor
    T* small = nullptr;               ///< room for 4 times the widest normalized row

    const T* parameter(Index tensor) const { return weights + table[tensor].offset; }
    void emit(Index tensor, const T* values, Index count, Index offset = 0) const {
        sink->add(tensor, offset, {values, static_cast<std::size_t>(count)});
    }
};

// A layer is named by the tensor of its weight; its bias is the next.

/// y = x W^T + b. x: [rows, in], W: [out, in], y: [rows, out].
template <class T>
void linear(const Parameters<T>& parameters, Index weight, const T* x, Index rows, T* y);
/// Weight's, then bias's gradient into the sink; dx = dy W, overwritten, unless null.
template <class T>
void linear_backward(const Parameters<T>& parameters, Index weight, const T* x, const T* dy,
                     Index rows, T* dx);

/// y = norm(x), from stored statistics (layer_norm_statistics). mean, rstd: [rows].
template <class T>
void norm(const Parameters<T>& parameters, Index weight, const T* x, const T* mean, const T* rstd,
          Index rows, T* y);
/// dx += gradient by x of norm(x); gain's, then shift's gradient into the sink.
template <class T>
void norm_backward(const Parameters<T>& parameters, Index weight, const T* x, const T* mean,
                   const T* rstd, const T* dy, Index rows, T* dx);

}  // namespace evengrad
