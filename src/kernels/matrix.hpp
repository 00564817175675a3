// Matrices as views, and their product.
//
// The product is the BLAS library's. All other kernels are written so that a result never depends
// on an address or on how a loop was vectorized: elements are independent, or sums run in a fixed
// number of lanes (lanes.hpp), and the compiler may not contract a*b+c behind our back
// (-ffp-contract=off; where a fused multiply-add is wanted, std::fma says so).
#pragma once

#include <Eigen/Core>

#include "base/aligned.hpp"

namespace evengrad {

template <class T>
using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A row-major matrix somewhere in memory; rows may be further apart than they are long.
template <class T>
using MatrixView = Eigen::Map<RowMajor<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
using ConstMatrixView = Eigen::Map<const RowMajor<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

/// What functions take: any view above, or a part of one.
template <class T>
using MatrixIn = const Eigen::Ref<const RowMajor<T>, Eigen::Unaligned, Eigen::OuterStride<>>&;
template <class T>
using MatrixOut = Eigen::Ref<RowMajor<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

/// `stride` is the distance of rows, elements; 0: rows are dense.
template <class T>
MatrixView<T> matrix(T* data, Index rows, Index columns, Index stride = 0) {
    return {data, rows, columns, Eigen::OuterStride<>(stride > 0 ? stride : columns)};
}
template <class T>
ConstMatrixView<T> matrix(const T* data, Index rows, Index columns, Index stride = 0) {
    return {data, rows, columns, Eigen::OuterStride<>(stride > 0 ? stride : columns)};
}

enum class Transpose { no, yes };

/// c = alpha op(a) op(b) + beta c, with op(a) [m, k], op(b) [k, n], c [m, n].
///
/// With m = 1 this is the library's matrix-vector product, which reads b once: gemm would copy it
/// first, and took 3 times as long where b comes from memory.
template <class T>
void multiply(MatrixIn<T> a, Transpose transpose_a, MatrixIn<T> b, Transpose transpose_b,
              MatrixOut<T> c, T beta = T(0), T alpha = T(1));

}  // namespace evengrad
