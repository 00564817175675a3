// Tables that are made.
#include <cmath>
#include <map>
#include <set>

#include <fmt/ranges.h>

#include "base/narrow.hpp"
#include "data/shapeset.hpp"
#include "table_files.hpp"

namespace evengrad::test {
namespace {

Dataset generate(const std::string& what, const TableOptions& options = {}) {
    return open_table({"generate:" + what}, options);
}

class Generators : public TableFiles {
  protected:
    std::string generate_error(const std::string& what, const TableOptions& options = {}) const {
        return error_of([&] { generate(what, options); });
    }
};

TEST_F(Generators, RowsAreFunctionsOfSeedAndNumber) {
    for (const auto& [what, options] : {std::pair<std::string, TableOptions>{"spirals", {}},
                                        {"polynomial", values_of()},
                                        {"shapeset", {}}}) {
        const auto make = [&, &name = what, &o = options](const std::string& keys) {
            return generate(name + ":" + keys, o);
        };
        const Dataset all = make("rows=12,seed=7");
        EXPECT_EQ(all.documents(), 12);
        EXPECT_EQ(make("seed=7,rows=12").digest(), all.digest());
        EXPECT_NE(make("rows=12,seed=8").digest(), all.digest());
        const Dataset later = make("rows=4,seed=7,skip=6");
        for (std::int64_t row = 0; row < 4; ++row) {
            EXPECT_EQ(features_of(later.part(0), row), features_of(all.part(0), row + 6));
            EXPECT_EQ(values_of(later.part(0), row), values_of(all.part(0), row + 6));
        }
        EXPECT_EQ(later.part(0).place(0), "generate:" + what + ":rows=4,seed=7,skip=6 row 1");
    }
}

/// Mean and variance of what `number` gives of each row.
template <class Number>
std::pair<double, double> moments(const Dataset& data, const Number& number) {
    double sum = 0.0, squares = 0.0;
    for (std::int64_t row = 0; row < data.documents(); ++row) {
        const double x = number(row);
        sum += x;
        squares += x * x;
    }
    const double mean = sum / static_cast<double>(data.documents());
    return {mean, squares / static_cast<double>(data.documents()) - mean * mean};
}

TEST_F(Generators, PolynomialsHaveMeanZeroAndVarianceOne) {
    for (const char* keys : {"features=1,degree=1", "features=3,degree=2", "features=8,degree=3",
                             "features=2,degree=6"}) {
        const Dataset data =
            generate(fmt::format("polynomial:rows=20000,noise=0,{}", keys), values_of());
        // Standard errors are about 0.01 times the fourth root of the kurtosis.
        const auto [mean, variance] =
            moments(data, [&](std::int64_t row) { return values_of(data.part(0), row)[0]; });
        EXPECT_NEAR(mean, 0.0, 0.04) << keys;
        EXPECT_NEAR(variance, 1.0, 0.08) << keys;
        const auto [x, spread] =
            moments(data, [&](std::int64_t row) { return features_of(data.part(0), row)[0]; });
        EXPECT_NEAR(x, 0.0, 0.02);
        EXPECT_NEAR(spread, 1.0 / 3.0, 0.02);
        for (std::int64_t row = 0; row < 100; ++row)
            for (const float feature : features_of(data.part(0), row))
                EXPECT_LE(std::abs(feature), 1.0F);
    }
}

TEST_F(Generators, APolynomialOfDegreeOneIsALine) {
    const Dataset data = generate("polynomial:features=1,degree=1,noise=0,rows=50", values_of());
    for (std::int64_t row = 0; row < 50; ++row)
        EXPECT_NEAR(std::abs(values_of(data.part(0), row)[0]),
                    std::sqrt(3.0) * std::abs(features_of(data.part(0), row)[0]), 1e-6);
    // Of degree three its fourth differences are 0: Newton's through four of its points.
    const Dataset cubic = generate("polynomial:features=1,degree=3,noise=0,rows=50", values_of());
    const auto x = [&](std::int64_t row) {
        return static_cast<double>(features_of(cubic.part(0), row)[0]);
    };
    const auto y = [&](std::int64_t row) {
        return static_cast<double>(values_of(cubic.part(0), row)[0]);
    };
    for (std::int64_t row = 4; row < 50; ++row) {
        double through = 0.0;
        for (std::int64_t i = 0; i < 4; ++i) {
            double basis = y(i);
            for (std::int64_t j = 0; j < 4; ++j)
                if (j != i) basis *= (x(row) - x(j)) / (x(i) - x(j));
            through += basis;
        }
        EXPECT_NEAR(through, y(row), 1e-3);
    }
}

TEST_F(Generators, NoiseIsAddedToThePolynomial) {
    const Dataset plain = generate("polynomial:rows=20000,noise=0", values_of());
    const Dataset noisy = generate("polynomial:rows=20000,noise=0.5", values_of());
    const auto [mean, variance] = moments(plain, [&](std::int64_t row) {
        return values_of(noisy.part(0), row)[0] - values_of(plain.part(0), row)[0];
    });
    EXPECT_NEAR(mean, 0.0, 0.02);
    EXPECT_NEAR(variance, 0.25, 0.015);
    EXPECT_EQ(features_of(noisy.part(0), 9), features_of(plain.part(0), 9));
}

TEST_F(Generators, SpiralsAreArmsOfOneTurnAfterAnother) {
    const Dataset data = generate("spirals:rows=300,classes=3,turns=1.5,noise=0");
    const std::vector<std::int32_t> classes = classes_of(data.part(0));
    EXPECT_EQ(data.tokenizer()->spec().describe(), "3 classes");
    for (std::int64_t row = 0; row < 300; ++row) {
        const std::vector<float> x = features_of(data.part(0), row);
        const double radius = std::hypot(x[0], x[1]);
        const std::int32_t arm = classes[static_cast<std::size_t>(row)];
        EXPECT_EQ(arm, row % 3);
        EXPECT_LE(radius, 1.0);
        const double angle = 2.0 * M_PI * (arm / 3.0 + 1.5 * radius);
        EXPECT_NEAR(x[0], radius * std::cos(angle), 1e-4);
        EXPECT_NEAR(x[1], radius * std::sin(angle), 1e-4);
    }
    EXPECT_EQ(generate("spirals:rows=1,classes=5").tokenizer()->vocabulary_size(), 5);
}

TEST_F(Generators, ShapesetHasNineClassesAndNoShapeHidesAnother) {
    const Philox philox(3, RandomPurpose::data);
    std::map<std::int32_t, int> seen;
    std::set<ShapeKind> in_front_of_triangles;
    double most_common = 0.0;
    constexpr int images = 1500;
    for (std::uint64_t i = 0; i < images; ++i) {
        const ShapesetImage image = draw_shapeset(philox, i);
        ++seen[image.shape_class];
        const auto area = [&](int s) { return static_cast<double>(image.masks[at(s)].count()); };
        std::vector<std::string> names;
        for (int s = 0; s < image.shapes; ++s) {
            names.push_back(std::array{"ellipse", "parallelogram",
                                       "triangle"}[static_cast<std::size_t>(image.shape[at(s)])]);
            // At least 5 pixels around the center; a triangle may be slim.
            EXPECT_GT(area(s), 16 * 8.0) << i;
            EXPECT_LT(area(s), 16 * 320.0) << i;
        }
        std::sort(names.begin(), names.end());
        EXPECT_EQ(fmt::format("{}", fmt::join(names, "+")),
                  shapeset_classes[at(image.shape_class)]);
        if (image.shapes == 2) {
            const double common = static_cast<double>((image.masks[0] & image.masks[1]).count());
            most_common = std::max(most_common, common / std::min(area(0), area(1)));
            if (image.shape[0] == ShapeKind::triangle) in_front_of_triangles.insert(image.shape[1]);
        } else {
            EXPECT_TRUE(image.masks[1].none());
        }
        const auto [least, most] = std::minmax_element(image.pixels.begin(), image.pixels.end());
        EXPECT_GE(*least, 0.0F);
        EXPECT_LE(*most, 1.0F);
        EXPECT_GE(*most - *least, 0.2F * 0.9F);
    }
    EXPECT_LE(most_common, 0.5);
    EXPECT_GT(most_common, 0.45);  // they do overlap
    EXPECT_EQ(in_front_of_triangles.size(), 3U);
    ASSERT_EQ(seen.size(), 9U);
    for (const auto& [shape_class, count] : seen)
        EXPECT_NEAR(count, images / 9.0, 5 * std::sqrt(images / 9.0)) << shape_class;
}

TEST_F(Generators, ShapesetIsADatasetOfImages) {
    const Dataset data = generate("shapeset:rows=3,seed=3");
    EXPECT_EQ(data.row_shape(), (RowShape{1024, 0}));
    EXPECT_EQ(data.tokenizer()->vocabulary_size(), 9);
    const ShapesetImage image = draw_shapeset(Philox(3, RandomPurpose::data), 2);
    const std::vector<float> features = features_of(data.part(0), 2);
    EXPECT_TRUE(std::ranges::equal(features, image.pixels));
    EXPECT_EQ(data.tokenizer()->text_of(classes_of(data.part(0))[2]),
              shapeset_classes[static_cast<std::size_t>(image.shape_class)]);
}

TEST_F(Generators, KeysAreCheckedAndNamed) {
    EXPECT_EQ(generate_error("spiral"), "generate:spiral: nothing called 'spiral' is made");
    EXPECT_EQ(generate_error(""), "generate:: nothing called '' is made");
    for (const char* bad : {"turn=1", "turns", "=1", "rows 5", "degree=2"})
        EXPECT_EQ(generate_error(fmt::format("spirals:{}", bad)),
                  fmt::format("generate:spirals:{}: '{}' is not KEY=VALUE of spirals", bad, bad));
    for (const char* bad :
         {"rows=0", "rows=1.5", "rows=x", "rows=", "rows=1e9", "rows=nan", "rows=-1"})
        EXPECT_EQ(generate_error(fmt::format("spirals:noise=0,{}", bad)),
                  fmt::format("generate:spirals:noise=0,{}: rows must be a whole number from 1 to "
                              "100000000, not '{}'",
                              bad, bad + 5));
    EXPECT_EQ(generate_error("spirals:noise=-1"),
              "generate:spirals:noise=-1: noise must be a number from 0 to 1000, not '-1'");
    EXPECT_EQ(generate_error("spirals:rows=5,rows=6"),
              "generate:spirals:rows=5,rows=6: rows is given twice");
    try {
        generate("spirals:turn=1");
    } catch (const UsageError& error) {
        EXPECT_EQ(error.hint(),
                  "its keys, with what they are if not given: "
                  "generate:spirals:rows=1000,classes=2,turns=2,noise=0.02,seed=0,skip=0");
    }
    EXPECT_EQ(generate_error("polynomial"),
              "generate:polynomial: its rows have values, not classes");
    EXPECT_EQ(generate_error("spirals", values_of()),
              "generate:spirals: its rows have classes, not values");
    EXPECT_EQ(generate_error("spirals", {{}, {"x"}, {}, {}}),
              "generate:spirals: it has no columns to choose from");
    EXPECT_EQ(generate_error("polynomial:features=1000,degree=3", values_of()),
              "generate:polynomial:features=1000,degree=3: a polynomial of degree 3 of 1000 "
              "features has 1.68e+08 terms");
    EXPECT_EQ(generate_error("shapeset:rows=1e8"),
              "generate:shapeset:rows=1e8: more than 2147483648 numbers");
}

TEST_F(Generators, GoWithFilesAndShares) {
    const Dataset data =
        open_table({"generate:spirals:rows=6:2", "generate:spirals:rows=4,skip=6:1"});
    EXPECT_EQ(data.shares(), (std::vector<double>{2, 1}));
    EXPECT_EQ(data.documents(), 10);
}

TEST(Digits, AreTheBundledOnes) {
    const Dataset data = open_table({EVENGRAD_SOURCE_DIR "/data/digits.csv.gz"});
    EXPECT_EQ(data.documents(), 1797);
    EXPECT_EQ(data.row_shape(), (RowShape{64, 0}));
    EXPECT_EQ(data.tokenizer()->spec().describe(), "10 classes");
    std::map<std::int32_t, int> counts;
    for (const std::int32_t digit : classes_of(data.part(0))) ++counts[digit];
    // As UCI gives them for the test set.
    EXPECT_EQ(counts, (std::map<std::int32_t, int>{{0, 178},
                                                   {1, 182},
                                                   {2, 177},
                                                   {3, 183},
                                                   {4, 181},
                                                   {5, 182},
                                                   {6, 181},
                                                   {7, 179},
                                                   {8, 174},
                                                   {9, 180}}));
}

}  // namespace
}  // namespace evengrad::test
