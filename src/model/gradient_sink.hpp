// Where a micro-batch's gradient goes, piece by piece, as the backward pass yields it.
#pragma once

#include <span>

#include "base/aligned.hpp"

namespace evengrad {

/// Takes the contributions of one micro-batch. The gradients of the *weighted sum* of losses, not
/// divided by anything.
template <class T>
class GradientSink {
  public:
    virtual ~GradientSink() = default;

    /// Adds `values` to elements [offset, offset + values.size()) of a tensor, offset within it.
    virtual void add(Index tensor, Index offset, std::span<const T> values) = 0;

    /// What the sum of squares of all values added differs by from the squared norm of the
    /// micro-batch's gradient, because one element came in two pieces: 2 times their product.
    virtual void add_cross_term(double twice_product) = 0;
};

}  // namespace evengrad
