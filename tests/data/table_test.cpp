// Tables as datasets, whatever they were read from: rows, tokenizers, scaling.
#include <cmath>
#include <limits>

#include "data/tokenizer_kinds.hpp"
#include "table_files.hpp"

namespace evengrad::test {
namespace {

/// Three rows of two features.
Table small_table() {
    Table table;
    table.source = "made";
    table.feature_names = {"a", "b"};
    table.features = {1, 2, 3, 4, 5, 6};
    table.classes = {0, 2, 1};
    return table;
}
Table value_table() {
    Table table = small_table();
    table.classes.clear();
    table.value_names = {"y"};
    table.values = {0.5, -1, 2};
    return table;
}

TEST(TableStore, ARowIsADocumentOfTwoTokens) {
    Table table = small_table();
    table.weights = {0.5, 0, 1};
    table.lines = {2, 0, 7};
    const Dataset data(table);
    const DataPart& part = data.part(0);
    EXPECT_EQ(data.tokenizer()->spec(), (TokenizerSpec{"classes", 3, -1, ""}));
    EXPECT_EQ(part.documents(), 3);
    EXPECT_EQ(part.document(1), (std::pair<std::int64_t, std::int64_t>{2, 4}));
    std::vector<std::int32_t> tokens(6);
    std::vector<float> weights(6);
    part.read(0, tokens, weights);
    EXPECT_EQ(tokens, (std::vector<std::int32_t>{0, 0, 0, 2, 0, 1}));
    EXPECT_EQ(weights, (std::vector<float>{0, 0.5, 0, 0, 0, 1}));
    std::int32_t token = -1;
    part.read(3, {&token, 1}, {});
    EXPECT_EQ(token, 2);
    EXPECT_EQ(part.describe(0), "made line 2: class '0'");
    EXPECT_EQ(part.describe(1), "made row 2: class '2'");
    EXPECT_EQ(features_of(part, 2), (std::vector<float>{5, 6}));
    EXPECT_TRUE(data.has_loss());
    table.weights = {0, 0, 0};
    EXPECT_FALSE(Dataset(table).has_loss());
}

TEST(TableStore, RowsAreHeldOutWhole) {
    const auto [train, held_out] = Dataset(small_table()).split_tail(0.4);
    EXPECT_EQ(classes_of(train.part(0)), (std::vector<std::int32_t>{0, 2}));
    EXPECT_EQ(classes_of(held_out.part(0)), (std::vector<std::int32_t>{1}));
    EXPECT_EQ(features_of(held_out.part(0), 0), (std::vector<float>{5, 6}));
    EXPECT_EQ(held_out.part(0).place(0), "made row 3");
}

TEST(TableStore, TheDigestIsOfAllNumbers) {
    const auto digest = [](const auto& change) {
        Table table = small_table();
        change(table);
        return Dataset(table).digest();
    };
    const std::string plain = Dataset(small_table()).digest();
    EXPECT_EQ(digest([](Table& t) { t.source = "elsewhere", t.lines = {1, 2, 3}; }), plain);
    EXPECT_EQ(digest([](Table& t) { t.weights = {1, 1, 1}; }), plain);
    EXPECT_NE(digest([](Table& t) { t.weights = {1, 1, 0.5}; }), plain);
    EXPECT_NE(digest([](Table& t) { t.features[3] = 4.0000005F; }), plain);
    EXPECT_NE(digest([](Table& t) { t.classes[0] = 1; }), plain);
    EXPECT_NE(Dataset(value_table()).digest(), plain);
    Table values = value_table();
    values.values[1] = -1.5;
    EXPECT_NE(Dataset(values).digest(), Dataset(value_table()).digest());
    // The same bytes, in rows of another width.
    Table wide = small_table(), narrow = small_table();
    wide.feature_names = {"a", "b", "c"}, wide.features.assign(6, 0.0F), wide.classes = {0, 1};
    narrow.feature_names = {"a"}, narrow.features.assign(4, 0.0F), narrow.classes = {0, 0, 0, 1};
    EXPECT_NE(Dataset(wide).digest(), Dataset(narrow).digest());
}

TEST(TableStore, RefusesWhatIsNoTable) {
    const auto refused = [](Table table, const auto& change,
                            std::shared_ptr<const Tokenizer> tokenizer = nullptr) {
        change(table);
        try {
            const Dataset data(table, tokenizer);
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    const Table good = small_table(), values = value_table();
    const auto as_is = [](Table&) {};
    EXPECT_EQ(refused(good, as_is), "");
    EXPECT_EQ(refused(values, as_is), "");
    const float inf = std::numeric_limits<float>::infinity();
    for (const std::string& message :
         {refused(good, [](Table& t) { t.classes.clear(), t.features.clear(); }),
          refused(good, [](Table& t) { t.feature_names.clear(), t.features.clear(); }),
          refused(good, [](Table& t) { t.features.pop_back(); }),
          refused(good, [](Table& t) { t.classes.pop_back(); }),
          refused(good,
                  [](Table& t) {
                      t.weights = {1, 1};
                  }),
          refused(good,
                  [](Table& t) {
                      t.lines = {1, 1};
                  }),
          refused(good, [&](Table& t) { t.features[0] = inf; }),
          refused(values, [&](Table& t) { t.values[0] = -inf; }),
          refused(values, [](Table& t) { t.values.pop_back(); }),
          refused(values,
                  [](Table& t) {
                      t.classes = {0, 0, 0};
                  }),
          refused(good, [](Table& t) { t.values = {1}; }),
          refused(good,
                  [](Table& t) {
                      t.weights = {1, 1, -1};
                  }),
          refused(good,
                  [](Table& t) {
                      t.weights = {1, 1, 0.1F};
                  }),
          refused(good, [](Table& t) { t.classes[1] = -1; }),
          refused(good, [](Table& t) { t.classes[1] = most_classes; }),
          refused(good, as_is, make_tokenizer(classes_spec(2))),
          refused(good, as_is, make_tokenizer(values_spec())),
          refused(values, as_is, make_tokenizer(classes_spec(2)))})
        EXPECT_TRUE(message.starts_with("made: ")) << message;
}

TEST(TableStore, PartsHaveOneShape) {
    Table wide = small_table();
    wide.feature_names.push_back("c");
    wide.features.resize(9);
    const auto tokenizer = Dataset(small_table()).tokenizer();
    const std::vector<DataPart> parts{Dataset(small_table()).part(0),
                                      Dataset(wide, tokenizer).part(0)};
    EXPECT_THROW(Dataset{parts}, Error);
}

TEST(ClassesTokenizer, NamesAndNumbersAreClasses) {
    const auto names = make_tokenizer(classes_spec({"no", "yes, please"}));
    EXPECT_EQ(names->encode("yes, please"), (std::vector<std::int32_t>{1}));
    EXPECT_EQ(names->text_of(1), "yes, please");
    EXPECT_EQ(names->spec().describe(), "2 classes (no, yes, please)");
    EXPECT_THROW(names->encode("yes"), Error);
    EXPECT_THROW(names->encode(""), Error);
    const auto numbers = make_tokenizer(classes_spec(12));
    EXPECT_EQ(numbers->encode("11"), (std::vector<std::int32_t>{11}));
    EXPECT_EQ(numbers->text_of(11), "11");
    EXPECT_EQ(numbers->spec().describe(), "12 classes");
    for (const char* text : {"12", "-0", "-1", "1.5", "x", "", "99999999999", "nan"})
        EXPECT_THROW(numbers->encode(text), Error) << text;
    EXPECT_FALSE(names->spec().has_text());
    const auto values = make_tokenizer(values_spec());
    EXPECT_EQ(values->vocabulary_size(), 1);
    EXPECT_EQ(values->text_of(0), "");
    EXPECT_THROW(values->encode("1"), Error);
}

TEST(ClassesTokenizer, RefusesWhatMakesNoSense) {
    using Spec = TokenizerSpec;
    for (const Spec& spec :
         {Spec{"classes", 1, -1, ""}, Spec{"classes", 0, -1, ""}, Spec{"classes", -3, -1, ""},
          Spec{"classes", most_classes + 1, -1, ""}, Spec{"classes", 2, 0, ""},
          Spec{"classes", 2, -1, "a\nb"}, Spec{"classes", 2, -1, "a\n"},
          Spec{"classes", 2, -1, "a\nb\nc\n"}, Spec{"classes", 2, -1, "a\na\n"},
          Spec{"classes", 2, -1, "a\n\n"}, Spec{"classes", 2, -1, "a\n\x1B[m\n"},
          Spec{"classes", 2, -1, "a\n\xC2\x85\n"}, Spec{"classes", 2, -1, "a\n\xFF\n"},
          Spec{"classes", 2, -1, "a\n" + std::string(257, 'b') + "\n"}, Spec{"values", 2, -1, ""},
          Spec{"values", 1, 0, ""}, Spec{"values", 1, -1, "x"}})
        EXPECT_THROW(make_tokenizer(spec), Error) << spec.kind << " " << spec.model;
}

/// Numbers as they would be after scaling, feature by feature.
std::vector<float> scaled(const Dataset& data, FeatureScalingKind kind) {
    const auto scaling = std::make_shared<const FeatureScaling>(FeatureScaling::fit(kind, data));
    const Dataset result = data.scaled(scaling);
    EXPECT_EQ(result.digest(), data.digest());
    std::vector<float> all;
    for (const DataPart& part : result.parts())
        for (std::int64_t row = 0; row < part.documents(); ++row)
            for (const float x : features_of(part, row)) all.push_back(x);
    return all;
}

TEST(FeatureScaling, GivesWhatItIsCalledAfter) {
    Table table = small_table();
    table.features = {1, 0.1F, -2, 3, 0.1F, -2, 8, 0.1F, 7};
    table.feature_names = {"a", "b", "c"};
    const Dataset data(table);
    using Floats = std::vector<float>;
    EXPECT_EQ(scaled(data, FeatureScalingKind::none), table.features);
    // A constant becomes 0, exactly, and isn't divided by its mean's rounding.
    EXPECT_EQ(scaled(data, FeatureScalingKind::center), (Floats{-3, 0, -3, -1, 0, -3, 4, 0, 6}));
    const float s = std::sqrt(26.0F / 3.0F), t = std::sqrt(18.0F);
    const Floats standard{-3 / s, 0, -3 / t, -1 / s, 0, -3 / t, 4 / s, 0, 6 / t};
    const Floats measured = scaled(data, FeatureScalingKind::standardize);
    for (std::size_t i = 0; i < standard.size(); ++i)
        EXPECT_FLOAT_EQ(measured[i], standard[i]) << i;
    EXPECT_EQ(scaled(data, FeatureScalingKind::minmax),
              (Floats{0, 0, 0, 2 * (1.0F / 7), 0, 0, 1, 0, 1}));
}

TEST(FeatureScaling, IsFittedOnTheRowsOfAllPartsAndNoOthers) {
    const Dataset one(small_table());
    const Dataset both({one.part(0), one.split_tail(0.4).second.part(0)});
    const FeatureScaling scaling = FeatureScaling::fit(FeatureScalingKind::center, both);
    EXPECT_EQ(scaling.shift, (std::vector<float>{14.0F / 4, 18.0F / 4}));
    EXPECT_EQ(scaling.scale, (std::vector<float>{1, 1}));
    EXPECT_EQ(FeatureScaling::fit(FeatureScalingKind::center, both), scaling);
    const auto training =
        FeatureScaling::fit(FeatureScalingKind::minmax, one.split_tail(0.4).first);
    EXPECT_EQ(training.shift, (std::vector<float>{1, 2}));
    EXPECT_EQ(training.scale, (std::vector<float>{0.5, 0.5}));
}

TEST(FeatureScaling, NeverDividesByWhatCantBeDividedBy) {
    Table table = small_table();
    const float least = std::numeric_limits<float>::denorm_min();
    const float most = std::numeric_limits<float>::max();
    table.features = {least, most, 0, -most, 0, 0};
    for (const FeatureScalingKind kind :
         {FeatureScalingKind::center, FeatureScalingKind::standardize,
          FeatureScalingKind::minmax}) {
        const FeatureScaling scaling = FeatureScaling::fit(kind, Dataset(table));
        for (const float scale : scaling.scale) EXPECT_TRUE(std::isnormal(scale) && scale > 0);
        for (const float shift : scaling.shift) EXPECT_TRUE(std::isfinite(shift));
    }
}

TEST(FeatureScaling, RefusesOtherWidthsAndText) {
    Table wide = small_table();
    wide.feature_names = {"a", "b", "c"};
    wide.features.resize(9);
    const auto scaling = std::make_shared<const FeatureScaling>(
        FeatureScaling::fit(FeatureScalingKind::standardize, Dataset(small_table())));
    EXPECT_THROW(Dataset(wide).scaled(scaling), Error);
    Documents text{"a.txt", {256, 'a', 256}, {0, 1, 1}, {0, 3}, {1}};
    EXPECT_THROW(FeatureScaling::fit(FeatureScalingKind::center, Dataset(text)), Error);
}

}  // namespace
}  // namespace evengrad::test
