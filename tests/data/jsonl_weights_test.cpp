// R17: token weights are neither dropped nor cut to whole numbers.
#include "reading.hpp"

namespace evengrad::test {
namespace {

using Weights = std::vector<float>;

class JsonlWeights : public ReaderTest {
  protected:
    Weights of(const std::string& line, const ReadOptions& options = {}) const {
        return read("weights.jsonl", line, options).at(0).weights;
    }
    std::string problem(const std::string& line) const {
        const std::string message = message_of("bad.jsonl", "{\"text\": \"fine\"}\n" + line);
        const std::string prefix = "bad.jsonl line 2";
        EXPECT_TRUE(message.starts_with(prefix)) << message;
        return message.substr(prefix.size());
    }
};

TEST_F(JsonlWeights, R17WeightOfAnExampleMultipliesItsLoss) {
    EXPECT_EQ(of(R"({"text": "ab", "weight": 0.25})"), (Weights{0, 0.25f, 0.25f, 0.25f}));
    EXPECT_EQ(of(R"({"weight": 2.5, "prompt": "a", "completion": "b"})"),
              (Weights{0, 0, 2.5f, 2.5f}));
    EXPECT_EQ(of(R"({"input_ids": [1, 2], "labels": [-100, 2], "weight": 0.5})"),
              (Weights{0, 0, 0.5f, 0.5f}));
    EXPECT_EQ(of(R"({"input_ids": [], "weight": 0.5})"), (Weights{0, 0.5f}));
    EXPECT_EQ(of(R"({"input_ids": [1, 256], "labels": [1, -100], "weight": 3})"),
              (Weights{0, 3, 0}));
}

TEST_F(JsonlWeights, R17WeightsOfSegmentsReplaceTheUsualOnes) {
    EXPECT_EQ(of(R"({"text": "ab", "weights": [0.75]})"), (Weights{0, 0.75f, 0.75f, 0.75f}));
    EXPECT_EQ(of(R"({"prompt": "a", "completion": "b", "weights": [0.125, 3]})"),
              (Weights{0, 0.125f, 3, 3}));
    EXPECT_EQ(of(R"({"weights": [0.5, 0], "prompt": "a", "completion": "b"})"),
              (Weights{0, 0.5f, 0, 0}));
    EXPECT_EQ(of(R"({"input_ids": [1, 2, 3], "weights": [0.5, 0, 2]})"),
              (Weights{0, 0.5f, 0, 2, 2}));
    // A label of -100 carries no loss whatever the weight says.
    EXPECT_EQ(of(R"({"input_ids": [1, 2, 3], "labels": [1, -100, 3], "weights": [0.5, 7, 2]})"),
              (Weights{0, 0.5f, 0, 2, 2}));
    // One for each id, those too that are end_of_text; the first token is only read.
    EXPECT_EQ(of(R"({"input_ids": [256, 2, 256], "weights": [9, 0.5, 0.25]})"),
              (Weights{0, 0.5f, 0.25f}));
}

TEST_F(JsonlWeights, R17MessagesHaveWeightsOfTheirOwn) {
    const auto of_messages = [&](const std::string& extra, const std::string& first,
                                 const std::string& second, const ReadOptions& options = {}) {
        const Weights weights =
            of(R"({"messages": [{"role": "user", "content": "U")" + first +
                   R"(}, {"role": "assistant", "content": "A")" + second + "}]" + extra + "}",
               options);
        // <end>(0) <|user|>\n(1-9) U \n <|assistant|>\n(12-25) A <end>
        EXPECT_EQ(weights.size(), 28U);
        for (std::size_t i = 0; i < weights.size(); ++i)
            if (i < 10 || (i >= 12 && i < 26)) {
                EXPECT_EQ(weights[i], 0.0f) << i;
            }
        EXPECT_EQ(weights[10], weights[11]);
        EXPECT_EQ(weights[26], weights[27]);
        return Weights{weights[10], weights[26]};
    };
    EXPECT_EQ(of_messages("", "", ""), (Weights{0, 1}));
    EXPECT_EQ(of_messages(R"(, "weights": [0.5, 0.25])", "", ""), (Weights{0.5f, 0.25f}));
    EXPECT_EQ(of_messages(R"(, "weight": 0.25)", "", ""), (Weights{0, 0.25f}));
    const ReadOptions all{.message_loss = MessageLoss::all};
    EXPECT_EQ(of_messages(R"(, "weight": 0.25)", "", "", all), (Weights{0.25f, 0.25f}));
    EXPECT_EQ(of_messages("", R"(, "weight": 0.5)", R"(, "weight": 0)"), (Weights{0.5f, 0}));
    EXPECT_EQ(of_messages(R"(, "weight": 4)", R"(, "weight": 0.5)", ""), (Weights{2, 4}));
}

TEST_F(JsonlWeights, R17AllZeroWeightsAreAllowed) {
    EXPECT_EQ(of(R"({"text": "a", "weight": 0})"), (Weights{0, 0, 0}));
    EXPECT_EQ(of(R"({"prompt": "a", "completion": "b", "weights": [0, 0.0]})"),
              (Weights{0, 0, 0, 0}));
    EXPECT_EQ(of(R"({"text": "a", "weight": -0.0})"), (Weights{0, 0, 0}));  // the sink checks signs
    EXPECT_EQ(of(R"({"text": "a", "weights": [-0.0]})"), (Weights{0, 0, 0}));
}

TEST_F(JsonlWeights, R17WeightsAreRoundedToMultiplesOfTheQuantum) {
    const auto rounded = [&](const std::string& weight) {
        return static_cast<double>(of(R"({"text": "", "weight": )" + weight + "}").at(1));
    };
    EXPECT_EQ(rounded("0.1"), 1677722 * weight_quantum);
    EXPECT_EQ(rounded("1e-9"), 0.0);
    EXPECT_EQ(rounded("3e-8"), weight_quantum);
    EXPECT_EQ(rounded("1e-400"), 0.0);
    EXPECT_EQ(rounded("65536"), 65536.0);
    EXPECT_EQ(rounded("0.99999999"), 1.0);
    // The product is rounded, not its factors.
    const Weights weights = of(
        R"({"messages": [{"role": "assistant", "content": "", "weight": 65536}], "weight": 1e-9})");
    EXPECT_EQ(weights.back(), round_weight(65536 * 1e-9));
}

TEST_F(JsonlWeights, R17NegativeNonFiniteAndHugeWeightsAreRefusedWithTheirLine) {
    const auto text = [](const std::string& weight) {
        return R"({"text": "a", "weight": )" + weight + "}";
    };
    EXPECT_EQ(problem(text("-0.5")), R"(: the value of "weight" is -0.5, not from 0 to 65536)");
    EXPECT_EQ(problem(text("-1")), R"(: the value of "weight" is -1, not from 0 to 65536)");
    EXPECT_EQ(problem(text("-1e-300")),
              R"(: the value of "weight" is -1e-300, not from 0 to 65536)");
    EXPECT_EQ(problem(text("65537")), R"(: the value of "weight" is 65537, not from 0 to 65536)");
    EXPECT_EQ(problem(text("65536.5")),
              R"(: the value of "weight" is 65536.5, not from 0 to 65536)");
    EXPECT_EQ(problem(text("18446744073709551615")).find(R"(: the value of "weight" is 1.8446744)"),
              0U);
    for (const std::string value : {"1e999", "-1e999"})
        EXPECT_EQ(problem(text(value)).find(", byte "), 0U) << value;
    EXPECT_NE(problem(text("1e999")).find("not valid JSON: number overflow"), std::string::npos);
    // What Python's json writes; JSON has no such numbers.
    for (const std::string value : {"NaN", "Infinity", "-Infinity"})
        EXPECT_NE(problem(text(value)).find("not valid JSON"), std::string::npos) << value;
    EXPECT_EQ(problem(text("\"NaN\"")), R"(: the value of "weight" is a string, not a number)");
    EXPECT_EQ(problem(text("null")), R"(: the value of "weight" is null, not a number)");
    EXPECT_EQ(problem(text("true")), R"(: the value of "weight" is a boolean, not a number)");
    EXPECT_EQ(problem(text("[1]")), R"(: the value of "weight" is an array, not a number)");
    EXPECT_EQ(problem(text("{}")), R"(: the value of "weight" is an object, not a number)");

    EXPECT_EQ(problem(R"({"prompt": "a", "completion": "b", "weights": [1, -2]})"),
              R"(: "weights"[1] is -2, not from 0 to 65536)");
    EXPECT_EQ(problem(R"({"text": "a", "weights": ["1"]})"),
              R"(: "weights"[0] is a string, not a number)");
    EXPECT_EQ(problem(R"({"text": "a", "weights": [[1]]})"),
              R"(: "weights"[0] is an array, not a number)");
    EXPECT_EQ(problem(R"({"text": "a", "weights": 1})"),
              R"(: the value of "weights" is a number, not an array)");
    EXPECT_EQ(problem(R"({"messages": [{"role": "user", "content": "", "weight": -1}]})"),
              R"(: the value of "weight" in "messages"[0] is -1, not from 0 to 65536)");
}

TEST_F(JsonlWeights, R17WeightsThatContradictOrDoNotFitAreRefused) {
    EXPECT_EQ(problem(R"({"text": "a", "weight": 1, "weights": [1]})"),
              R"(: "weight" does not go with "weights")");
    EXPECT_EQ(problem(R"({"messages": [{"role": "user", "content": "", "weight": 1}],)"
                      R"( "weights": [1]})"),
              R"(: "weight" in "messages"[0] does not go with "weights")");
    EXPECT_EQ(problem(R"({"messages": [{"role": "user", "content": "", "weight": 65536}],)"
                      R"( "weight": 1.5})"),
              R"(: "weight" times "weight" in "messages"[0] is 98304, above 65536)");
    EXPECT_EQ(problem(R"({"text": "a", "weights": []})"), R"(: "weights" has 0 entries, not 1)");
    EXPECT_EQ(problem(R"({"text": "a", "weights": [1, 1]})"),
              R"(: "weights" has 2 entries, not 1)");
    EXPECT_EQ(problem(R"({"prompt": "a", "completion": "b", "weights": [1]})"),
              R"(: "weights" has 1 entries, not 2)");
    EXPECT_EQ(problem(R"({"messages": [{"role": "user", "content": ""}], "weights": [1, 1]})"),
              R"(: "weights" has 2 entries, not 1)");
    EXPECT_EQ(problem(R"({"input_ids": [1, 2], "weights": [1]})"),
              R"(: "weights" has 1 entries, not 2)");
    EXPECT_EQ(problem(R"({"text": "a", "weigth": 1})"), R"(: unknown key "weigth")");
}

}  // namespace
}  // namespace evengrad::test
