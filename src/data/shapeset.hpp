// Shapeset-3x2 (Glorot and Bengio, "Understanding the difficulty of training deep feedforward
// neural networks", 2010, section 2.1): gray images of one or two shapes, each a triangle, a
// parallelogram or an ellipse, of random form, size, angle, place and gray. Which are there is the
// class; which is in front doesn't matter.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string>

#include "base/philox.hpp"

namespace evengrad {

enum class ShapeKind { ellipse, parallelogram, triangle };

struct ShapesetImage {
    static constexpr int side = 32;    ///< pixels, as the paper trained on
    static constexpr int samples = 4;  ///< in a pixel, along each side
    /// Points that a shape covers, row by row.
    using Mask = std::bitset<std::size_t{side} * samples * side * samples>;

    std::int32_t shape_class = 0;      ///< index of shapeset_classes
    int shapes = 1;                    ///< 1 or 2
    std::array<ShapeKind, 2> shape{};  ///< the second one lies in front
    std::array<Mask, 2> masks;
    std::array<float, side * side> pixels{};  ///< 0 to 1, row by row
};

/// One shape, or two of which neither has more than half its area in common with the other.
inline constexpr std::array shapeset_classes = {
    "ellipse",
    "ellipse+ellipse",
    "ellipse+parallelogram",
    "ellipse+triangle",
    "parallelogram",
    "parallelogram+parallelogram",
    "parallelogram+triangle",
    "triangle",
    "triangle+triangle",
};

/// The image of that number; all classes are equally likely.
ShapesetImage draw_shapeset(const Philox& philox, std::uint64_t number);

}  // namespace evengrad
