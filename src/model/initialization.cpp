#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/aligned.hpp"
#include "base/philox.hpp"
#include "kernels/lanes.hpp"
#include <evengrad/error.hpp>
#include <evengrad/initialization.hpp>
#include <evengrad/model.hpp>

namespace evengrad {

namespace {

/// The whole of `text` as a finite number.
bool read_finite(std::string_view text, double& number) {
    const char* end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, number);
    return problem == std::errc() && stop == end && std::isfinite(number);
}

bool has_gain(InitScheme scheme) {
    return scheme == InitScheme::lecun || scheme == InitScheme::xavier ||
           scheme == InitScheme::he || scheme == InitScheme::orthogonal;
}

// ------------------------------------------------------------------------------ random numbers

using Quad = std::array<double, 4>;

/// Random numbers of the elements of the flat array: four a draw, counted over the whole array, so
/// that tensors never share one.
class ElementNumbers {
  public:
    explicit ElementNumbers(std::uint64_t seed) : philox_(seed, RandomPurpose::initialization) {}

    /// Standard normal. Another attempt gives other numbers.
    Quad normal(std::uint64_t draw, std::uint32_t attempt = 0) const {
        const auto w = words(draw, attempt);
        const auto first = normal_pair(w[0], w[1]), second = normal_pair(w[2], w[3]);
        return {first[0], first[1], second[0], second[1]};
    }

    /// Standard normal within 2 standard deviations: each number's first attempt that is.
    Quad truncated_normal(std::uint64_t draw) const {
        const auto outside = [](double x) { return std::abs(x) > 2.0; };
        Quad numbers = normal(draw);
        for (std::uint32_t attempt = 1; std::any_of(numbers.begin(), numbers.end(), outside);
             ++attempt) {
            const Quad others = normal(draw, attempt);
            for (std::size_t i = 0; i < numbers.size(); ++i)
                if (outside(numbers[i])) numbers[i] = others[i];
        }
        return numbers;
    }

    /// Uniform in (-1, 1).
    Quad uniform(std::uint64_t draw) const {
        const auto w = words(draw, 0);
        Quad numbers;
        for (std::size_t i = 0; i < numbers.size(); ++i)
            numbers[i] = 2.0 * uniform_open(w[i]) - 1.0;
        return numbers;
    }

  private:
    std::array<std::uint32_t, 4> words(std::uint64_t draw, std::uint32_t attempt) const {
        return philox_(static_cast<std::uint32_t>(draw), static_cast<std::uint32_t>(draw >> 32),
                       attempt);
    }
    Philox philox_;
};

/// values = scale * numbers(draw), for elements [begin, begin + count) of the flat array.
template <class T, class Numbers>
void fill_scaled(Index begin, T* values, Index count, double scale, Numbers&& numbers) {
    for (Index i = begin; i < begin + count;) {
        const Quad four = numbers(static_cast<std::uint64_t>(i / 4));
        do {
            *values++ = static_cast<T>(scale * four[static_cast<std::size_t>(i % 4)]);
            ++i;
        } while (i % 4 != 0 && i < begin + count);
    }
}

/// Makes rows [count, length] orthonormal, count <= length: modified Gram-Schmidt (Golub and Van
/// Loan, "Matrix computations", section 5.2.8), each row against the ones before it in their order.
/// That is the Q of a QR factorization whose R has a positive diagonal, so that Gaussian rows
/// become uniformly distributed ones (Mezzadri, "How to generate random matrices from the classical
/// compact groups", 2007). Every sum has a fixed order and is in double: a LAPACK's would depend on
/// its build. Rows are taken a panel at a time, which changes no operation, to stay in the cache.
void make_orthonormal(double* rows, Index count, Index length) {
    constexpr Index panel = 16;
    for (Index first = 0; first < count; first += panel) {
        const Index last = std::min(first + panel, count);
        for (Index i = 0; i < last; ++i) {
            double* const q = rows + i * length;
            if (i >= first) {
                const double norm =
                    std::sqrt(lane_sum<double>(length, [q](Index j) { return q[j] * q[j]; }));
                for (Index j = 0; j < length; ++j) q[j] /= norm;
            }
            for (Index k = std::max(first, i + 1); k < last; ++k) {
                double* const row = rows + k * length;
                const double along =
                    lane_sum<double>(length, [q, row](Index j) { return q[j] * row[j]; });
                for (Index j = 0; j < length; ++j) row[j] -= along * q[j];
            }
        }
    }
}

/// Elements [begin, begin + count) of an orthogonal matrix.
void fill_orthogonal(const Tensor& tensor, const ElementNumbers& random, Index begin, float* values,
                     Index count) {
    const Index rows = tensor.shape[0], columns = tensor.shape[1];
    const bool wide = rows <= columns;
    const Index length = std::max(rows, columns);
    AlignedBuffer<double> q(tensor.count);  // [min, max]: the transposed of a tall matrix
    fill_scaled(tensor.offset, q.data(), tensor.count, 1.0,
                [&](std::uint64_t draw) { return random.normal(draw); });
    make_orthonormal(q.data(), std::min(rows, columns), length);
    for (Index i = begin - tensor.offset; i < begin - tensor.offset + count; ++i)
        *values++ = static_cast<float>(tensor.initializer.scale *
                                       q[wide ? i : i % columns * length + i / columns]);
}

}  // namespace

// ------------------------------------------------------------------------------------- schemes

double calculate_gain(Activation activation, double negative_slope) {
    switch (activation) {
        case Activation::identity:
        case Activation::sigmoid:
            return 1.0;
        case Activation::tanh:
            return 5.0 / 3.0;
        case Activation::relu:
            return std::sqrt(2.0);
        case Activation::leaky_relu:
            return std::sqrt(2.0 / (1.0 + negative_slope * negative_slope));
        case Activation::selu:
            return 3.0 / 4.0;
        // Not in PyTorch; by numerical integration.
        case Activation::elu:
            return 1.2451983007;
        case Activation::softplus:
            return 1.0418668355;
        case Activation::softsign:
            return 2.3375333631;
        case Activation::gelu:
            return 1.5335304412;
        case Activation::gelu_tanh:
            return 1.5335805217;
        case Activation::silu:
            return 1.6765324703;
    }
    throw Error("an activation without a gain");
}

double gain_of(const InitConfig& config, Activation activation, double negative_slope) {
    const std::string& text = config.gain;
    if (text == "paper") return config.scheme == InitScheme::he ? std::sqrt(2.0) : 1.0;
    if (text == "activation") return calculate_gain(activation, negative_slope);
    for (std::size_t i = 0; i < activation_names.size(); ++i)
        if (text == activation_names[i]) return calculate_gain(static_cast<Activation>(i));
    double number = 0.0;
    constexpr std::string_view leaky = "leaky-relu:";
    if (text.starts_with(leaky) && read_finite(std::string_view(text).substr(leaky.size()), number))
        return calculate_gain(Activation::leaky_relu, number);
    if (read_finite(text, number) && number > 0.0 && number <= 1e3) return number;
    throw Error(
        fmt::format("--init-gain {}: can be paper, activation, {}, leaky-relu:SLOPE or a "
                    "number above 0 and at most 1000",
                    text, fmt::join(activation_names, ", ")));
}

std::vector<std::string> InitConfig::validate() const {
    std::vector<std::string> problems;
    if (!(std > 0.0 && std < 100.0))
        problems.push_back(
            fmt::format("--init-method-std must be above 0 and below 100, not {}", std));
    if (!(bound >= 0.0 && bound < 100.0))
        problems.push_back(
            fmt::format("--init-bound must be at least 0 and below 100, not {}", bound));
    if (!(std::abs(constant) < 100.0))
        problems.push_back(
            fmt::format("--init-constant must be above -100 and below 100, not {}", constant));
    try {
        gain_of(*this, Activation::identity, 0.0);
    } catch (const Error& error) {
        problems.emplace_back(error.what());
    }
    return problems;
}

Initializer initializer_of(const InitConfig& config, Index rows, Index columns, double gain) {
    using Kind = Initializer::Kind;
    const auto fan_in = static_cast<double>(columns), fan_out = static_cast<double>(rows);
    const double average = (fan_in + fan_out) / 2.0;
    const auto of_variance = [&](double fan) -> Initializer {
        const double deviation = gain / std::sqrt(fan);
        if (config.distribution == InitDistribution::normal) return {Kind::normal, deviation};
        return {Kind::uniform, std::sqrt(3.0) * deviation};
    };
    switch (config.scheme) {
        case InitScheme::zeros:
            return {Kind::constant, 0.0};
        case InitScheme::constant:
            return {Kind::constant, config.constant};
        case InitScheme::uniform:
            return {Kind::uniform, config.bound > 0.0 ? config.bound : 1.0 / std::sqrt(fan_in)};
        case InitScheme::normal:
        case InitScheme::gpt2:
            return {Kind::normal, config.std};
        case InitScheme::truncated_normal:
            return {Kind::truncated_normal, config.std};
        case InitScheme::xavier:
            return of_variance(average);
        case InitScheme::lecun:
        case InitScheme::he:
            switch (config.fan) {
                case InitFan::in:
                    return of_variance(fan_in);
                case InitFan::out:
                    return of_variance(fan_out);
                case InitFan::average:
                    return of_variance(average);
            }
            break;
        case InitScheme::orthogonal:
            return {Kind::orthogonal, gain};
    }
    throw Error("an initialization scheme without a meaning");
}

std::string describe(const InitConfig& config) {
    std::vector<std::string> details;
    const InitScheme scheme = config.scheme;
    const auto name = [](const auto& names, auto value) {
        return names[static_cast<std::size_t>(value)];
    };
    if (scheme == InitScheme::constant) details.push_back(fmt::format("{}", config.constant));
    if (scheme == InitScheme::uniform)
        details.push_back(config.bound > 0.0 ? fmt::format("bound {}", config.bound)
                                             : "bound 1/sqrt(fan-in)");
    if (scheme == InitScheme::normal || scheme == InitScheme::truncated_normal ||
        scheme == InitScheme::gpt2)
        details.push_back(fmt::format("std {}", config.std));
    if (has_gain(scheme) && scheme != InitScheme::orthogonal)
        details.emplace_back(name(init_distribution_names, config.distribution));
    if (scheme == InitScheme::lecun || scheme == InitScheme::he)
        details.push_back(fmt::format("fan {}", name(init_fan_names, config.fan)));
    if (has_gain(scheme)) details.push_back(fmt::format("gain {}", config.gain));
    const std::string text = name(init_scheme_names, scheme);
    return details.empty() ? text : fmt::format("{} ({})", text, fmt::join(details, ", "));
}

// -------------------------------------------------------------------------------------- values

void initialize(const Tensor& tensor, std::uint64_t seed, Index begin, float* values, Index count) {
    const ElementNumbers random(seed);
    const double scale = tensor.initializer.scale;
    switch (tensor.initializer.kind) {
        case Initializer::Kind::constant:
            std::fill_n(values, count, static_cast<float>(scale));
            return;
        case Initializer::Kind::uniform:
            fill_scaled(begin, values, count, scale,
                        [&](std::uint64_t draw) { return random.uniform(draw); });
            return;
        case Initializer::Kind::normal:
            fill_scaled(begin, values, count, scale,
                        [&](std::uint64_t draw) { return random.normal(draw); });
            return;
        case Initializer::Kind::truncated_normal:
            fill_scaled(begin, values, count, scale,
                        [&](std::uint64_t draw) { return random.truncated_normal(draw); });
            return;
        case Initializer::Kind::orthogonal:
            fill_orthogonal(tensor, random, begin, values, count);
            return;
    }
}

void initialize(const ParameterTable& table, std::uint64_t seed, Index part, Index parts,
                float* weights) {
    const auto fill = [&](const Tensor& tensor, Index begin, Index count) {
        initialize(tensor, seed, begin, weights + begin, count);
    };
    const auto is_whole = [](const Tensor& tensor) {
        return tensor.initializer.kind == Initializer::Kind::orthogonal;
    };
    const auto blocks = static_cast<Index>(table.blocks().size());
    for (Index b = blocks * part / parts; b < blocks * (part + 1) / parts; ++b) {
        const Block& block = table.blocks()[static_cast<std::size_t>(b)];
        if (!is_whole(table[block.tensor])) fill(table[block.tensor], block.begin, block.count);
    }
    // What is made as a whole goes to the part that has the least to do so far.
    std::vector<double> work(static_cast<std::size_t>(parts), 0.0);
    for (const Tensor& tensor : table.tensors()) {
        if (!is_whole(tensor)) continue;
        const auto least = std::min_element(work.begin(), work.end());
        *least += static_cast<double>(tensor.count) *
                  static_cast<double>(std::min(tensor.shape[0], tensor.shape[1]));
        if (least - work.begin() == part) fill(tensor, tensor.offset, tensor.count);
    }
}

}  // namespace evengrad
