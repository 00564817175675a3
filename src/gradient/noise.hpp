// The gradient noise of one step, from its ledger.
#pragma once

#include <optional>

#include "gradient/ledger.hpp"

namespace evengrad {

/// Unbiased estimates of what one step's gradient is made of.
struct GradientNoise {
    double signal = 0.0;  ///< |G|^2, the squared norm of the true gradient; may come out negative
    double noise = 0.0;   ///< tr(Sigma), the summed variance of one token's gradient; may, too
};

/// From the squared norms of a step's micro-batches and of their sum: McCandlish et al., "An
/// Empirical Model of Large-Batch Training", 2018, appendix A, for parts of unequal size.
///
/// Let the tokens' gradients x_t be independent with mean G and covariance Sigma, and w_t their
/// weights. Micro-batch k gives s_k = sum_{t in k} w_t x_t, with W_k = sum w_t and V_k = sum w_t^2:
///
///     E |s_k|^2       = W_k^2 |G|^2 + V_k tr(Sigma)
///     E |sum_k s_k|^2 = W^2 |G|^2 + V tr(Sigma),          W = sum_k W_k, V = sum_k V_k
///
/// since the cross terms of independent tokens are w_t w_u |G|^2. With A = sum_k |s_k|^2,
/// B = |sum_k s_k|^2 and Q = sum_k W_k^2 these are two equations, linear in what is wanted:
///
///     |G|^2     = (B - A) / (W^2 - Q)
///     tr(Sigma) = (A - Q |G|^2) / V
///
/// and as A and B enter linearly, both are unbiased. Their ratio is the noise scale, in tokens of
/// weight 1: the batch size at which noise and signal are equal. (Tokens of one sequence aren't
/// quite independent; what they share counts as noise.) Sums, not means, are compared, so it
/// doesn't depend on the denominator.
///
/// `gradient_square` is B. None unless two micro-batches have a token with a loss. @local
std::optional<GradientNoise> gradient_noise(const Ledger& ledger, double gradient_square);

}  // namespace evengrad
