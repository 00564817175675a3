// Activation functions and their derivatives.
//
// Elements are independent, in own or scalar functions (exponential.hpp): neither an address nor
// how a loop was vectorized changes a bit. In float the relative error is at most 5 epsilon (6e-7),
// of saturated values and derivatives, too, down to about 1e-35; in gelu_tanh's tail up to 100.
// None overflows. NaN stays NaN.
#pragma once

#include "base/aligned.hpp"
#include <evengrad/activation.hpp>

namespace evengrad {

/// y = f(z), element by element. `slope` is leaky_relu's below 0. y is not z.
template <class T>
void activate(Activation kind, double slope, const T* z, Index count, T* y);

/// The function, with the bits of activate, and its derivative at once: derivative = f'(z). At a
/// kink it is that of the side below 0, as PyTorch's.
template <class T>
void activate_with_derivative(Activation kind, double slope, const T* z, Index count, T* y,
                              T* derivative);

}  // namespace evengrad
