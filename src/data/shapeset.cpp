#include "data/shapeset.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr double full_turn = 2.0 * std::numbers::pi;
// In pixels, of the circle around a shape, which lies inside the image. The larger is a third of
// the image's side, so that two shapes find room.
constexpr double least_radius = 5.0, largest_radius = 10.0;
constexpr double least_contrast = 0.2;

/// The random numbers of one image, one after the other.
class ShapeRandom {
  public:
    ShapeRandom(const Philox& philox, std::uint64_t number) : philox_(philox), number_(number) {}

    double uniform(double from, double to) {
        if (next_ == words_.size()) {
            words_ = philox_(static_cast<std::uint32_t>(number_),
                             static_cast<std::uint32_t>(number_ >> 32), block_++, 0);
            next_ = 0;
        }
        return from + (to - from) * uniform_open(words_[next_++]);
    }

  private:
    const Philox& philox_;
    std::uint64_t number_;
    std::uint32_t block_ = 0;
    std::array<std::uint32_t, 4> words_{};
    std::size_t next_ = 4;
};

struct PlanePoint {
    double x, y;
};

PlanePoint on_circle(double radius, double angle) {
    return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// Sets the points for which `inside(x, y)` of the distance from `center`.
template <class Inside>
void fill(ShapesetImage::Mask& mask, PlanePoint center, double radius, const Inside& inside) {
    constexpr int width = ShapesetImage::side * ShapesetImage::samples;
    const auto index = [](double pixels) {
        return std::clamp(static_cast<int>(pixels * ShapesetImage::samples), 0, width - 1);
    };
    for (int row = index(center.y - radius); row <= index(center.y + radius); ++row)
        for (int column = index(center.x - radius); column <= index(center.x + radius); ++column) {
            const double x = (column + 0.5) / ShapesetImage::samples - center.x;
            const double y = (row + 0.5) / ShapesetImage::samples - center.y;
            if (inside(x, y)) mask.set(static_cast<std::size_t>(row * width + column));
        }
}

/// A convex polygon whose corners go around the center in the direction of growing angles.
template <std::size_t N>
void fill_polygon(ShapesetImage::Mask& mask, PlanePoint center, double radius,
                  const std::array<PlanePoint, N>& corners) {
    fill(mask, center, radius, [&](double x, double y) {
        for (std::size_t i = 0; i < N; ++i) {
            const PlanePoint a = corners[i], b = corners[(i + 1) % N];
            if ((b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x) < 0.0) return false;
        }
        return true;
    });
}

ShapesetImage::Mask draw_shape(ShapeKind shape, ShapeRandom& random) {
    const double radius = random.uniform(least_radius, largest_radius);
    const double turn = random.uniform(0.0, full_turn);
    const PlanePoint center{random.uniform(radius, ShapesetImage::side - radius),
                            random.uniform(radius, ShapesetImage::side - radius)};
    ShapesetImage::Mask mask;
    if (shape == ShapeKind::ellipse) {
        const double other = radius * random.uniform(0.4, 1.0);
        const double c = std::cos(turn), s = std::sin(turn);
        fill(mask, center, radius, [&](double x, double y) {
            const double u = (c * x + s * y) / radius, v = (c * y - s * x) / other;
            return u * u + v * v <= 1.0;
        });
    } else if (shape == ShapeKind::parallelogram) {  // by its half diagonals
        const PlanePoint p = on_circle(radius, turn);
        const double other = radius * random.uniform(0.5, 1.0);
        const PlanePoint q =
            on_circle(other, turn + random.uniform(full_turn / 8, 3 * full_turn / 8));
        fill_polygon(mask, center, radius,
                     std::array{p, q, PlanePoint{-p.x, -p.y}, PlanePoint{-q.x, -q.y}});
    } else {  // corners on its circle, each an eighth of a turn from the next at least
        const double spare = full_turn * 5 / 8;
        const double one = random.uniform(0.0, spare), two = random.uniform(0.0, spare);
        const double first = full_turn / 8 + std::min(one, two);
        const double second = first + full_turn / 8 + std::abs(one - two);
        fill_polygon(mask, center, radius,
                     std::array{on_circle(radius, turn), on_circle(radius, turn + first),
                                on_circle(radius, turn + second)});
    }
    return mask;
}

/// What is to be there, in the order of shapeset_classes.
struct ShapeClass {
    int shapes;
    std::array<ShapeKind, 2> shape;
};
constexpr std::array<ShapeClass, shapeset_classes.size()> shape_classes = {{
    {1, {ShapeKind::ellipse}},
    {2, {ShapeKind::ellipse, ShapeKind::ellipse}},
    {2, {ShapeKind::ellipse, ShapeKind::parallelogram}},
    {2, {ShapeKind::ellipse, ShapeKind::triangle}},
    {1, {ShapeKind::parallelogram}},
    {2, {ShapeKind::parallelogram, ShapeKind::parallelogram}},
    {2, {ShapeKind::parallelogram, ShapeKind::triangle}},
    {1, {ShapeKind::triangle}},
    {2, {ShapeKind::triangle, ShapeKind::triangle}},
}};

/// Background, back and front; each can be told from the others.
std::array<double, 3> draw_grays(ShapeRandom& random) {
    for (;;) {
        const std::array gray = {random.uniform(0.0, 1.0), random.uniform(0.0, 1.0),
                                 random.uniform(0.0, 1.0)};
        if (std::abs(gray[0] - gray[1]) >= least_contrast &&
            std::abs(gray[0] - gray[2]) >= least_contrast &&
            std::abs(gray[1] - gray[2]) >= least_contrast)
            return gray;
    }
}

void paint(ShapesetImage& image, const std::array<double, 3>& gray) {
    constexpr int samples = ShapesetImage::samples, side = ShapesetImage::side;
    for (int pixel = 0; pixel < side * side; ++pixel) {
        double sum = 0.0;
        for (int sample = 0; sample < samples * samples; ++sample) {
            const int row = pixel / side * samples + sample / samples;
            const int column = pixel % side * samples + sample % samples;
            const auto point = static_cast<std::size_t>(row * side * samples + column);
            sum += image.masks[1][point] ? gray[2] : image.masks[0][point] ? gray[1] : gray[0];
        }
        image.pixels[static_cast<std::size_t>(pixel)] =
            static_cast<float>(sum / (samples * samples));
    }
}

}  // namespace

ShapesetImage draw_shapeset(const Philox& philox, std::uint64_t number) {
    ShapeRandom random(philox, number);
    ShapesetImage image;
    const auto drawn = static_cast<std::size_t>(random.uniform(0.0, shape_classes.size()));
    const ShapeClass& what = shape_classes[std::min(drawn, shape_classes.size() - 1)];
    image.shape_class = static_cast<std::int32_t>(&what - shape_classes.data());
    image.shapes = what.shapes;
    image.shape = what.shape;
    if (random.uniform(0.0, 1.0) < 0.5 && what.shapes == 2)
        std::swap(image.shape[0], image.shape[1]);
    const std::array<double, 3> gray = draw_grays(random);
    // Two shapes fit about every second time.
    for (int attempt = 0;; ++attempt) {
        EVENGRAD_CHECK(attempt < 1000, "image {}: no room for two shapes", number);
        image.masks[0] = draw_shape(image.shape[0], random);
        if (image.shapes == 1) break;
        image.masks[1] = draw_shape(image.shape[1], random);
        const std::size_t common = (image.masks[0] & image.masks[1]).count();
        if (2 * common <= std::min(image.masks[0].count(), image.masks[1].count())) break;
    }
    paint(image, gray);
    return image;
}

}  // namespace evengrad
