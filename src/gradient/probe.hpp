// One number of a gradient that adds up: its projection onto fixed signs.
//
// What micro-batches measure of their gradients, added up, divided by the denominator and clipped,
// is what must be measured of the gradient that the optimizer takes, whatever lies between: a
// factor that slipped in anywhere (R3) shows, up or down. Norms don't add up, so they can't show
// it.
#pragma once

#include <cstdint>

#include <evengrad/model.hpp>

namespace evengrad {

/// The tensors that are measured: biases and normalization weights. They get a gradient through
/// every layer, and are so small that it costs nothing.
inline bool is_probed(const Tensor& tensor) {
    return tensor.shape.size() == 1 && tensor.block_count == 1;
}

/// 1 or -1 for element i of the flat array, as if drawn: the end of splitmix64 (Steele, Lea and
/// Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
inline double probe_sign(Index i) {
    std::uint64_t bits = static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return (bits >> 63) != 0 ? 1.0 : -1.0;
}

/// Of `count` elements, of which the first is element `first` of the flat array.
inline double probe(const float* values, Index count, Index first) {
    double sum = 0.0;
    for (Index i = 0; i < count; ++i) sum += probe_sign(first + i) * static_cast<double>(values[i]);
    return sum;
}

/// How many elements are measured.
inline Index probed_elements(const ParameterTable& table) {
    Index count = 0;
    for (const Tensor& tensor : table.tensors()) count += is_probed(tensor) ? tensor.count : 0;
    return count;
}

}  // namespace evengrad
