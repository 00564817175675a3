#include "kernels/matrix.hpp"

#include "base/narrow.hpp"

extern "C" {
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
            const float*, const int*, const float*, const int*, const float*, float*, const int*);
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*,
            const double*, const int*, const double*, const int*, const double*, double*,
            const int*);
void sgemv_(const char*, const int*, const int*, const float*, const float*, const int*,
            const float*, const int*, const float*, float*, const int*);
void dgemv_(const char*, const int*, const int*, const double*, const double*, const int*,
            const double*, const int*, const double*, double*, const int*);
}

namespace evengrad {

namespace {

/// c = alpha a op(b) + beta c for one row; the elements of `a` are `step` apart.
template <class T>
void multiply_row(const T* a, int step, MatrixIn<T> b, Transpose transpose_b, MatrixOut<T>& c,
                  T beta, T alpha) {
    // Row-major b is the transposed column-major one.
    const int m = narrow<int>(b.cols()), n = narrow<int>(b.rows());
    const int ldb = narrow<int>(b.outerStride()), one = 1;
    const char op = transpose_b == Transpose::yes ? 'T' : 'N';
    if constexpr (std::is_same_v<T, float>) {
        sgemv_(&op, &m, &n, &alpha, b.data(), &ldb, a, &step, &beta, c.data(), &one);
    } else {
        dgemv_(&op, &m, &n, &alpha, b.data(), &ldb, a, &step, &beta, c.data(), &one);
    }
}

}  // namespace

template <class T>
void multiply(MatrixIn<T> a, Transpose transpose_a, MatrixIn<T> b, Transpose transpose_b,
              MatrixOut<T> c, T beta, T alpha) {
    const Index inner = transpose_a == Transpose::yes ? a.rows() : a.cols();
    EVENGRAD_CHECK((transpose_a == Transpose::yes ? a.cols() : a.rows()) == c.rows() &&
                       (transpose_b == Transpose::yes ? b.cols() : b.rows()) == inner &&
                       (transpose_b == Transpose::yes ? b.rows() : b.cols()) == c.cols(),
                   "shapes of a matrix product: {}x{} times {}x{} into {}x{}", a.rows(), a.cols(),
                   b.rows(), b.cols(), c.rows(), c.cols());
    if (c.size() == 0) return;
    if (c.rows() == 1) {
        const bool strided = transpose_a == Transpose::yes;
        multiply_row<T>(a.data(), strided ? narrow<int>(a.outerStride()) : 1, b, transpose_b, c,
                        beta, alpha);
        return;
    }
    // A row-major matrix is the transposed column-major one: c^T = op(b)^T op(a)^T.
    const int m = narrow<int>(c.cols()), n = narrow<int>(c.rows()), k = narrow<int>(inner);
    const int lda = narrow<int>(b.outerStride()), ldb = narrow<int>(a.outerStride());
    const int ldc = narrow<int>(c.outerStride());
    const char op_first = transpose_b == Transpose::yes ? 'T' : 'N';
    const char op_second = transpose_a == Transpose::yes ? 'T' : 'N';
    if constexpr (std::is_same_v<T, float>) {
        sgemm_(&op_first, &op_second, &m, &n, &k, &alpha, b.data(), &lda, a.data(), &ldb, &beta,
               c.data(), &ldc);
    } else {
        dgemm_(&op_first, &op_second, &m, &n, &k, &alpha, b.data(), &lda, a.data(), &ldb, &beta,
               c.data(), &ldc);
    }
}

template void multiply<float>(MatrixIn<float>, Transpose, MatrixIn<float>, Transpose,
                              MatrixOut<float>, float, float);
template void multiply<double>(MatrixIn<double>, Transpose, MatrixIn<double>, Transpose,
                               MatrixOut<double>, double, double);

}  // namespace evengrad
