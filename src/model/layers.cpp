#include "model/layers.hpp"

#include "kernels/matrix.hpp"
#include "kernels/rows.hpp"

namespace evengrad {

template <class T>
void linear(const Parameters<T>& parameters, Index weight, const T* x, Index rows, T* y) {
    const auto& shape = parameters.table[weight].shape;
    const Index out = shape[0], in = shape[1];
    multiply<T>(matrix(x, rows, in), Transpose::no, matrix(parameters.parameter(weight), out, in),
                Transpose::yes, matrix(y, rows, out));
    add_bias(y, parameters.parameter(weight + 1), rows, out);
}

template <class T>
void linear_backward(const Parameters<T>& parameters, Index weight, const T* x, const T* dy,
                     Index rows, T* dx) {
    const auto& shape = parameters.table[weight].shape;
    const Index out = shape[0], in = shape[1];
    const auto dy_matrix = matrix(dy, rows, out);
    T* gradient = parameters.gradient;
    multiply<T>(dy_matrix, Transpose::yes, matrix(x, rows, in), Transpose::no,
                matrix(gradient, out, in));
    parameters.emit(weight, gradient, out * in);
    column_sums(dy, rows, out, gradient);
    parameters.emit(weight + 1, gradient, out);
    if (dx)
        multiply<T>(dy_matrix, Transpose::no, matrix(parameters.parameter(weight), out, in),
                    Transpose::no, matrix(dx, rows, in));
}

template <class T>
void norm(const Parameters<T>& parameters, Index weight, const T* x, const T* mean, const T* rstd,
          Index rows, T* y) {
    layer_norm_apply(x, mean, rstd, parameters.parameter(weight), parameters.parameter(weight + 1),
                     rows, parameters.table[weight].count, y);
}

template <class T>
void norm_backward(const Parameters<T>& parameters, Index weight, const T* x, const T* mean,
                   const T* rstd, const T* dy, Index rows, T* dx) {
    const Index columns = parameters.table[weight].count;
    T* d_gain = parameters.small;
    T* d_shift = parameters.small + columns;
    layer_norm_backward(x, mean, rstd, parameters.parameter(weight), dy, rows, columns, dx, d_gain,
                        d_shift, parameters.small + 2 * columns);
    parameters.emit(weight, d_gain, columns);
    parameters.emit(weight + 1, d_shift, columns);
}

#define EVENGRAD_INSTANTIATE(T)                                                                   \
    template void linear<T>(const Parameters<T>&, Index, const T*, Index, T*);                    \
    template void linear_backward<T>(const Parameters<T>&, Index, const T*, const T*, Index, T*); \
    template void norm<T>(const Parameters<T>&, Index, const T*, const T*, const T*, Index, T*);  \
    template void norm_backward<T>(const Parameters<T>&, Index, const T*, const T*, const T*,     \
                                   const T*, Index, T*);
EVENGRAD_INSTANTIATE(float)
EVENGRAD_INSTANTIATE(double)
#undef EVENGRAD_INSTANTIATE

}  // namespace evengrad
