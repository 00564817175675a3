// Tables that are made, not read: "generate:NAME:key=value,...". Row i is a function of the seed
// and i alone, so a table with `skip` continues the one without. (The last bits are those of the
// machine's sin, cos and log, as those of initial weights are.)
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <numbers>

#include <fmt/ranges.h>

#include "base/narrow.hpp"
#include "base/philox.hpp"
#include "data/excerpt.hpp"
#include "data/shapeset.hpp"
#include "data/table_readers.hpp"
#include "data/table_store.hpp"
#include "data/tokenizer_kinds.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr std::string_view generator_prefix = "generate:";
constexpr std::size_t most_terms = 100'000;

struct MakerKey {
    const char* name;
    double usual, least, most;
    bool whole = true;
};

/// What the keys say.
class MakerValues {
  public:
    double& operator[](const std::string& key) { return values_[key]; }
    double number(const std::string& key) const { return values_.at(key); }
    std::int64_t whole(const std::string& key) const {
        return static_cast<std::int64_t>(values_.at(key));
    }
    Philox philox() const {
        return {static_cast<std::uint64_t>(whole("seed")), RandomPurpose::data};
    }
    /// Numbers of the table's rows, of those that the seed has.
    std::uint64_t first_row() const { return static_cast<std::uint64_t>(whole("skip")); }
    std::uint64_t last_row() const {
        return first_row() + static_cast<std::uint64_t>(whole("rows"));
    }

  private:
    std::map<std::string, double> values_;
};

struct TableMaker {
    const char* name;
    TableTargets targets;
    std::vector<MakerKey> keys;
    void (*make)(const MakerValues& values, Table& table, Labels& labels);
};

/// Four random words of a row, for the i-th use of that kind.
std::array<std::uint32_t, 4> row_words(const Philox& philox, std::uint64_t row, std::uint32_t i,
                                       std::uint32_t kind) {
    return philox(static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(row >> 32), i, kind);
}
// Kinds of random numbers; shapeset has its own stream, kind 0.
constexpr std::uint32_t of_features = 1, of_noise = 2, of_coefficients = 3;

/// A polynomial of several variables, each from -1 to 1, as a sum of products of Legendre
/// polynomials, normalized so that such products are orthonormal for uniform variables. Hence mean
/// 0 and variance 1, of which each degree has the same share.
class RandomPolynomial {
  public:
    RandomPolynomial(const Philox& philox, std::size_t variables, std::size_t degree)
        : degree_(degree), powers_(variables * (degree + 1)) {
        std::vector<Factor> factors;
        add_terms(0, variables, degree, factors);
        std::vector<double> squares(degree + 1);
        for (std::size_t t = 0; t < terms_.size(); ++t) {
            const auto words = philox(static_cast<std::uint32_t>(t), 0, 0, of_coefficients);
            terms_[t].coefficient = normal_pair(words[0], words[1])[0];
            squares[terms_[t].degree] += terms_[t].coefficient * terms_[t].coefficient;
        }
        for (Term& term : terms_)
            term.coefficient /= std::sqrt(squares[term.degree] * static_cast<double>(degree));
    }

    double operator()(std::span<const float> x) {
        for (std::size_t i = 0; i < x.size(); ++i) {
            double* const p = &powers_[i * (degree_ + 1)];
            const auto value = static_cast<double>(x[i]);
            p[0] = 1.0;
            if (degree_ >= 1) p[1] = value;
            for (std::size_t k = 1; k < degree_; ++k) {
                const auto n = static_cast<double>(k);
                p[k + 1] = ((2 * n + 1) * value * p[k] - n * p[k - 1]) / (n + 1);
            }
            for (std::size_t k = 1; k <= degree_; ++k)
                p[k] *= std::sqrt(2.0 * static_cast<double>(k) + 1.0);
        }
        double sum = 0.0;
        for (const Term& term : terms_) {
            double product = term.coefficient;
            for (const Factor& factor : term.factors)
                product *= powers_[factor.variable * (degree_ + 1) + factor.power];
            sum += product;
        }
        return sum;
    }

  private:
    struct Factor {
        std::size_t variable, power;
    };
    struct Term {
        std::vector<Factor> factors;
        std::size_t degree;
        double coefficient = 0.0;
    };

    /// All products of powers of variables from `first` on, of degree `left` at most, behind
    /// `factors`.
    void add_terms(std::size_t first, std::size_t variables, std::size_t left,
                   std::vector<Factor>& factors) {
        for (std::size_t v = first; v < variables; ++v)
            for (std::size_t power = 1; power <= left; ++power) {
                factors.push_back({v, power});
                terms_.push_back({factors, degree_ - left + power});
                add_terms(v + 1, variables, left - power, factors);
                factors.pop_back();
            }
    }

    std::size_t degree_;
    std::vector<double> powers_;  // [variables, degree + 1] scratch
    std::vector<Term> terms_;
};

void make_polynomial(const MakerValues& values, Table& table, Labels& /*labels*/) {
    const auto width = at(values.whole("features"));
    const auto degree = at(values.whole("degree"));
    // Products of `degree` at most: (width + degree) choose degree, but for the constant.
    double terms = 1.0;
    for (std::size_t d = 1; d <= degree; ++d)
        terms *= static_cast<double>(width + d) / static_cast<double>(d);
    if (terms > most_terms)
        throw UsageError(
            fmt::format("{}: a polynomial of degree {} of {} features has {:.3g} terms",
                        table.source, degree, width, terms),
            fmt::format("{} at most: take fewer features or a smaller degree", most_terms));
    const Philox philox = values.philox();
    RandomPolynomial polynomial(philox, width, degree);
    for (std::size_t f = 1; f <= width; ++f) table.feature_names.push_back(fmt::format("x{}", f));
    table.value_names = {"y"};
    check_size(table, at(values.whole("rows")) * width);
    std::vector<float> x(width);
    for (std::uint64_t row = values.first_row(); row < values.last_row(); ++row) {
        for (std::size_t f = 0; f < width; ++f) {
            const auto words =
                row_words(philox, row, static_cast<std::uint32_t>(f / 4), of_features);
            x[f] = static_cast<float>(2.0 * uniform_open(words[f % 4]) - 1.0);
        }
        const auto words = row_words(philox, row, 0, of_noise);
        const double noise = values.number("noise") * normal_pair(words[0], words[1])[0];
        table.features.insert(table.features.end(), x.begin(), x.end());
        table.values.push_back(static_cast<float>(polynomial(x) + noise));
    }
}

void make_spirals(const MakerValues& values, Table& table, Labels& labels) {
    const std::int64_t classes = values.whole("classes");
    const Philox philox = values.philox();
    table.feature_names = {"x", "y"};
    check_size(table, at(values.whole("rows")) * 2);
    std::vector<std::int32_t> numbers;
    for (std::int64_t c = 0; c < classes; ++c)
        numbers.push_back(labels.add(std::to_string(c), [&] { return table.source; }));
    for (std::uint64_t row = values.first_row(); row < values.last_row(); ++row) {
        const auto arm = row % static_cast<std::uint64_t>(classes);
        const auto words = row_words(philox, row, 0, of_features);
        const auto noise = normal_pair(words[1], words[2]);
        const double radius = uniform_open(words[0]);
        const double turn = static_cast<double>(arm) / static_cast<double>(classes) +
                            values.number("turns") * radius;
        const double angle = 2.0 * std::numbers::pi * turn;
        table.features.push_back(
            static_cast<float>(radius * std::cos(angle) + values.number("noise") * noise[0]));
        table.features.push_back(
            static_cast<float>(radius * std::sin(angle) + values.number("noise") * noise[1]));
        table.classes.push_back(numbers[arm]);
    }
}

void make_shapeset(const MakerValues& values, Table& table, Labels& labels) {
    for (int pixel = 1; pixel <= ShapesetImage::side * ShapesetImage::side; ++pixel)
        table.feature_names.push_back(std::to_string(pixel));
    check_size(table, at(values.whole("rows")) * table.feature_names.size());
    std::vector<std::int32_t> numbers;  // all, even of few images
    for (const char* name : shapeset_classes)
        numbers.push_back(labels.add(name, [&] { return table.source; }));
    const Philox philox = values.philox();
    for (std::uint64_t row = values.first_row(); row < values.last_row(); ++row) {
        const ShapesetImage image = draw_shapeset(philox, row);
        table.features.insert(table.features.end(), image.pixels.begin(), image.pixels.end());
        table.classes.push_back(numbers[at(image.shape_class)]);
    }
}

constexpr double most_rows = 1e8, most_seed = 0x1p53 - 1.0;  // whole numbers that doubles hold
constexpr MakerKey rows_key{"rows", 1000, 1, most_rows};
constexpr MakerKey seed_key{"seed", 0, 0, most_seed}, skip_key{"skip", 0, 0, most_seed};

const std::vector<TableMaker>& table_makers() {
    static const std::vector<TableMaker> all = {
        {"polynomial",
         TableTargets::values,
         {rows_key,
          {"features", 8, 1, 10'000},
          {"degree", 3, 1, 20},
          {"noise", 0.1, 0, 1000, false},
          seed_key,
          skip_key},
         make_polynomial},
        {"spirals",
         TableTargets::classes,
         {rows_key,
          {"classes", 2, 2, 1000},
          {"turns", 2, 0, 100, false},
          {"noise", 0.02, 0, 1000, false},
          seed_key,
          skip_key},
         make_spirals},
        {"shapeset", TableTargets::classes, {rows_key, seed_key, skip_key}, make_shapeset},
    };
    return all;
}

/// The maker, and what is behind its name.
std::pair<const TableMaker*, std::string_view> find_maker(const std::string& path) {
    const std::string_view rest = std::string_view(path).substr(generator_prefix.size());
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    std::vector<std::string_view> names;
    for (const TableMaker& maker : table_makers()) {
        if (rest.substr(0, colon) == maker.name)
            return {&maker, rest.substr(std::min(colon + 1, rest.size()))};
        names.push_back(maker.name);
    }
    throw UsageError(fmt::format("{}: nothing called '{}' is made", excerpt(path, 200),
                                 excerpt(rest.substr(0, colon))),
                     fmt::format("it can be {}", fmt::join(names, ", ")));
}

MakerValues parse_values(const std::string& path, const TableMaker& maker, std::string_view text) {
    MakerValues values;
    std::vector<std::string> usual;
    for (const MakerKey& key : maker.keys) {
        values[key.name] = key.usual;
        usual.push_back(fmt::format("{}={}", key.name, key.usual));
    }
    const std::string hint =
        fmt::format("{}{}:{}", generator_prefix, maker.name, fmt::join(usual, ","));
    const auto refuse = [&](const std::string& what) {
        throw UsageError(fmt::format("{}: {}", excerpt(path, 200), what),
                         "its keys, with what they are if not given: " + hint);
    };
    std::vector<std::string_view> given;
    while (!text.empty()) {
        const std::string_view setting = text.substr(0, text.find(','));
        text.remove_prefix(std::min(setting.size() + 1, text.size()));
        const std::string_view name = setting.substr(0, setting.find('='));
        const auto key = std::find_if(maker.keys.begin(), maker.keys.end(),
                                      [&](const MakerKey& k) { return name == k.name; });
        if (name.size() == setting.size() || key == maker.keys.end()) {
            refuse(fmt::format("'{}' is not KEY=VALUE of {}", excerpt(setting), maker.name));
        } else {
            if (std::find(given.begin(), given.end(), name) != given.end())
                refuse(fmt::format("{} is given twice", name));
            given.push_back(name);
            const std::string_view number = setting.substr(name.size() + 1);
            double value = -1.0;
            const char* const end = number.data() + number.size();
            const auto [stop, problem] = std::from_chars(number.data(), end, value);
            if (problem != std::errc() || stop != end || !(value >= key->least) ||
                !(value <= key->most) || (key->whole && value != std::floor(value)))
                refuse(fmt::format("{} must be a {}number from {} to {}, not '{}'", name,
                                   key->whole ? "whole " : "", key->least, key->most,
                                   excerpt(number)));
            values[key->name] = value;
        }
    }
    return values;
}

}  // namespace

bool names_generator(const std::string& path) {
    return path.starts_with(generator_prefix);
}

TableTargets targets_of_generator(const std::string& path) {
    return find_maker(path).first->targets;
}

ReadTable generate_table(const std::string& path, Labels& labels) {
    const auto [maker, text] = find_maker(path);
    const MakerValues values = parse_values(path, *maker, text);
    ReadTable made;
    made.table.source = path;
    maker->make(values, made.table, labels);
    return made;
}

}  // namespace evengrad
