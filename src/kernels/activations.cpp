#include "kernels/activations.hpp"

#include "kernels/exponential.hpp"
#include "kernels/select.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// f(z) and f'(z).
template <class T>
struct Point {
    T y, derivative;
};

/// log(1 + t) for t in [0, 1].
inline float log_one_plus(float t) {
    // 2 artanh(s) with s = t / (2 + t), at most 1/3; the series' coefficients, 1/3, 1/5 and so on,
    // adjusted to this range: relative error 1.5e-8.
    const float s = t / (2.0f + t), square = s * s;
    float p = 1.3430508971e-1f;
    p = std::fma(p, square, 1.4117521048e-1f);
    p = std::fma(p, square, 2.0003813505e-1f);
    p = std::fma(p, square, 3.3333319426e-1f);
    return std::fma((s + s) * square, p, s + s);
}

inline double log_one_plus(double t) {
    return std::log1p(t);
}

/// The standard normal distribution at a >= 0.
template <class T>
struct Normal {
    T density;
    T tail;  ///< probability of more than a, with its relative precision
};

inline Normal<float> normal_at(float a) {
    // exp(-a^2 / 2), with the square in two parts: rounding it would cost up to 100 units.
    const float square = a * a;
    const float power =
        exponential(-0.5f * square) * std::fma(-0.5f, std::fma(a, a, -square), 1.0f);
    // tail / power, which falls slowly from 1/2, as a polynomial in t = 1 / (1 + 0.35 a): least
    // relative error for a in [0, 14], 3.2e-8 (by Lawson's iteration from its values in double).
    const float t = 1.0f / std::fma(0.35f, a, 1.0f);
    float p = -2.9146108776e-2f;
    p = std::fma(p, t, 1.4397257566e-1f);
    p = std::fma(p, t, -2.5571608543e-1f);
    p = std::fma(p, t, 1.5917624533e-1f);
    p = std::fma(p, t, -2.3111272603e-2f);
    p = std::fma(p, t, 1.0550861061e-1f);
    p = std::fma(p, t, 1.1983271688e-1f);
    p = std::fma(p, t, 1.3986189663e-1f);
    p = std::fma(p, t, 1.3962140679e-1f);
    return {0.398942280f * power, power * (p * t)};
}

inline Normal<double> normal_at(double a) {
    constexpr double root_half = 0.70710678118654752, density_at_0 = 0.39894228040143268;
    return {density_at_0 * std::exp(-0.5 * a * a), 0.5 * std::erfc(root_half * a)};
}

/// sigmoid(z) and sigmoid(-z), each with its relative precision.
template <class T>
struct Sigmoids {
    T here, opposite;
};

template <class T>
inline Sigmoids<T> sigmoids(T z) {
    const T t = exponential(-std::abs(z));  // at most 1
    const T large = T(1) / (T(1) + t), small = t * large;
    return {select(z < T(0), small, large), select(z < T(0), large, small)};
}

template <class T>
inline Point<T> sigmoid_at(T z) {
    const Sigmoids<T> s = sigmoids(z);
    return {s.here, s.here * s.opposite};
}

template <class T>
inline Point<T> tanh_at(T z) {
    // (1 - e) / (1 + e) and 4 e / (1 + e)^2, e = exp(-2 |z|)
    const Exponentials<T> e = exponentials(T(-2) * std::abs(z));
    const T inverse = T(1) / (T(1) + e.power);
    return {std::copysign(e.minus_one * inverse, z), T(4) * e.power * inverse * inverse};
}

template <class T>
inline Point<T> rectified_at(T z, T slope) {
    const T below = slope * z;
    return {select(z > T(0), z, below), select(z > T(0), T(1), slope)};
}

template <class T>
inline Point<T> relu_at(T z) {
    return {at_least(T(0), z), select(z > T(0), T(1), T(0))};
}

/// above z, or below (exp(z) - 1).
template <class T>
inline Point<T> elu_at(T z, T above, T below) {
    const Exponentials<T> e = exponentials(at_most(T(0), z));
    const T up = above * z, down = below * e.minus_one, slope = below * e.power;
    return {select(z > T(0), up, down), select(z > T(0), above, slope)};
}

template <class T>
inline Point<T> softplus_at(T z) {
    const T t = exponential(-std::abs(z));
    const T large = T(1) / (T(1) + t), small = t * large;
    return {at_least(T(0), z) + log_one_plus(t), select(z < T(0), small, large)};
}

template <class T>
inline Point<T> softsign_at(T z) {
    const T inverse = T(1) / (T(1) + std::abs(z));
    return {z * inverse, inverse * inverse};
}

// Below, z beyond some limit is taken for the limit where it meets a factor that has become about
// 1e-38 or 0: their product would grow again, or be NaN.

template <class T>
inline Point<T> gelu_at(T z) {
    const T limit = sizeof(T) == sizeof(float) ? T(14) : T(40);
    const T near = at_least(-limit, at_most(limit, z));
    const Normal<T> normal = normal_at(std::abs(near));
    const T cdf = select(z < T(0), normal.tail, T(1) - normal.tail);
    return {at_least(-limit, z) * cdf, std::fma(near, normal.density, cdf)};
}

template <class T>
inline Point<T> gelu_tanh_at(T z) {
    constexpr T scale = T(1.5957691216057308);  // 2 sqrt(2 / pi)
    constexpr T cubic = T(0.044715), limit = T(1e4);
    const T above = at_least(-limit, z), near = at_most(limit, above);
    const T s = sigmoid(scale * std::fma(cubic * near * near, near, near));
    const T inner = scale * std::fma(T(3) * cubic * near, near, T(1));
    return {above * s, std::fma(near * s * (T(1) - s), inner, s)};
}

template <class T>
inline Point<T> silu_at(T z) {
    constexpr T limit = T(1e3);
    const T above = at_least(-limit, z), near = at_most(limit, above);
    const Sigmoids<T> s = sigmoids(z);
    return {above * s.here, s.here * std::fma(near, s.opposite, T(1))};
}

/// loop(f), where f(z) gives the Point of that function: one loop for each, without branches.
template <class T, class Loop>
void for_function(Activation kind, double slope, Loop&& loop) {
    const T a = static_cast<T>(slope);
    constexpr T selu_above = T(1.0507009873554804934), selu_below = T(1.7580993408473768600);
    switch (kind) {
        case Activation::identity:
            return loop([](T z) { return Point<T>{z, T(1)}; });
        case Activation::sigmoid:
            return loop([](T z) { return sigmoid_at(z); });
        case Activation::tanh:
            return loop([](T z) { return tanh_at(z); });
        case Activation::relu:
            return loop([](T z) { return relu_at(z); });
        case Activation::leaky_relu:
            return loop([a](T z) { return rectified_at(z, a); });
        case Activation::elu:
            return loop([](T z) { return elu_at(z, T(1), T(1)); });
        case Activation::selu:
            return loop([](T z) { return elu_at(z, selu_above, selu_below); });
        case Activation::softplus:
            return loop([](T z) { return softplus_at(z); });
        case Activation::softsign:
            return loop([](T z) { return softsign_at(z); });
        case Activation::gelu:
            return loop([](T z) { return gelu_at(z); });
        case Activation::gelu_tanh:
            return loop([](T z) { return gelu_tanh_at(z); });
        case Activation::silu:
            return loop([](T z) { return silu_at(z); });
    }
    throw Error("an activation without a meaning");
}

// Flat: all that f calls is inlined, whatever the compiler thinks of its size. With a call in it, a
// loop doesn't vectorize, and takes 15 times as long.

template <class T, class Function>
[[gnu::flatten]] void fill_values(Function f, const T* z, Index count, T* y) {
    for (Index i = 0; i < count; ++i) y[i] = f(z[i]).y;
}

template <class T, class Function>
[[gnu::flatten]] void fill_points(Function f, const T* z, Index count, T* y, T* derivative) {
    for (Index i = 0; i < count; ++i) {
        const Point<T> point = f(z[i]);
        y[i] = point.y;
        derivative[i] = point.derivative;
    }
}

}  // namespace

template <class T>
void activate(Activation kind, double slope, const T* z, Index count, T* y) {
    for_function<T>(kind, slope, [=](auto f) { fill_values(f, z, count, y); });
}

template <class T>
void activate_with_derivative(Activation kind, double slope, const T* z, Index count, T* y,
                              T* derivative) {
    for_function<T>(kind, slope, [=](auto f) { fill_points(f, z, count, y, derivative); });
}

#define EVENGRAD_INSTANTIATE(T)                                         \
    template void activate<T>(Activation, double, const T*, Index, T*); \
    template void activate_with_derivative<T>(Activation, double, const T*, Index, T*, T*);
EVENGRAD_INSTANTIATE(float)
EVENGRAD_INSTANTIATE(double)
#undef EVENGRAD_INSTANTIATE

}  // namespace evengrad
