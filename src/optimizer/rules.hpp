// The update rules of the optimizers, one function each, on elements of one tensor.
//
// All have PyTorch's order of operations, in float, with multiplications and additions fused. In
// what follows g is the (clipped) gradient, w a weight, d the weight decay, which is 0 for tensors
// that don't decay; a state begins at 0.
#pragma once

#include <cstdint>

#include "base/aligned.hpp"
#include <evengrad/optimizer.hpp>

namespace evengrad {

/// One step's numbers, the same for all elements.
struct UpdateRule {
    OptimizerConfig config;
    double lr = 0.0;
    std::int64_t step = 1;  ///< 1 for the first update (Adam's t)
};

/// w -= update, for `count` elements; and their states `first` and `second`, which are null for a
/// rule that has none. `decay`: weight decay applies.
using UpdateFunction = void(const UpdateRule& rule, bool decay, Index count, const float* gradient,
                            float* weights, float* first, float* second);

/// w -= lr (g + d w). Robbins and Monro, "A stochastic approximation method", Annals of
/// Mathematical Statistics 22 (1951), eq. 8.
UpdateFunction update_sgd;

/// b = momentum b + (g + d w), w -= lr b. Polyak, "Some methods of speeding up the convergence of
/// iteration methods", 1964 (the heavy ball); Sutskever et al., "On the importance of
/// initialization and momentum in deep learning", ICML 2013, eq. 1 and 2, but that lr stands
/// outside of b, as PyTorch has it.
UpdateFunction update_momentum;

/// The same b, and w -= lr (g + d w + momentum b). Nesterov, "A method for solving the convex
/// programming problem with convergence rate O(1/k^2)", 1983; in the form of Sutskever et al., eq.
/// 3 and 4, seen from the point where the gradient is taken (Bengio, Boulanger-Lewandowski and
/// Pascanu, "Advances in optimizing recurrent networks", ICASSP 2013: simplified Nesterov
/// momentum).
UpdateFunction update_nesterov;

/// s += (g + d w)^2, w -= lr (g + d w) / (sqrt(s) + eps). Duchi, Hazan and Singer, "Adaptive
/// subgradient methods for online learning and stochastic optimization", JMLR 12 (2011), figure 1
/// with diagonal matrices.
UpdateFunction update_adagrad;

/// v = alpha v + (1 - alpha) (g + d w)^2, w -= lr (g + d w) / (sqrt(v) + eps). Tieleman and Hinton,
/// "Lecture 6.5: rmsprop", Neural Networks for Machine Learning, Coursera 2012.
UpdateFunction update_rmsprop;

/// Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1, of the
/// gradient g + d w; eps is added to the corrected root.
UpdateFunction update_adam;

/// Adam of g, after w *= 1 - lr d. Loshchilov and Hutter, "Decoupled weight decay regularization",
/// ICLR 2019, algorithm 2.
UpdateFunction update_adamw;

/// w -= lr (sign(beta1 m + (1 - beta1) g) + d w), m = beta2 m + (1 - beta2) g, where sign(0) is 0.
/// Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, algorithm 2.
UpdateFunction update_lion;

}  // namespace evengrad
