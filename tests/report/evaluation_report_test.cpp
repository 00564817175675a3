// What `evengrad evaluate` shows, of sums by hand.
#include "report/evaluation_report.hpp"

#include <nlohmann/json.hpp>

#include "hdf5/scratch_folder.hpp"

namespace evengrad {
namespace {

using test::contains;

Dataset file_of(const std::string& name) {
    const std::int32_t end = TokenizerSpec().end_of_text;
    return Dataset(Documents{.source = name,
                             .tokens = {end, 65, 66, end},
                             .weights = {0, 1, 1, 1},
                             .offsets = {0, 4},
                             .lines = {1}});
}

TEST(EvaluationReport, ShowsADashAndWritesNullForWhatIsUndefined) {
    CheckpointInfo checkpoint;
    checkpoint.path = "run/step-00000012.h5";
    checkpoint.state.step = 12;
    checkpoint.model.gpt().seq_length = 64;
    const std::string long_name = std::string(50, 'x') + "/end.jsonl";
    const Dataset one = file_of("a.txt"), two = file_of(long_name);
    const Dataset data({one.part(0), two.part(0)});
    Evaluation evaluation;
    evaluation.parts = {{1, 3, 3.0, 6.0, 2.0}, {1, 0, 0.0, 0.0, 0.0}};
    evaluation.lengths = {{}, {1, 3, 3.0, 6.0, 2.0}};
    for (const EvaluationSums& part : evaluation.parts) evaluation.total += part;
    const EvaluationReport report{checkpoint, data, SequenceMode::stream, evaluation};

    const std::string text = evaluation_tables(report);
    EXPECT_TRUE(contains(text, {"step-00000012.h5, step 12", "8 tokens, byte, 257 tokens",
                                "sequences: stream, of 64", "\na.txt ", "/end.jsonl ", "2.0000",
                                "7.3891", "4.3281", "\n2 to 3 "}));
    EXPECT_EQ(text.find(long_name), std::string::npos);
    EXPECT_EQ(text.find("nan"), std::string::npos);
    EXPECT_EQ(text.find("\n1 "), std::string::npos);  // an empty bucket isn't shown
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (line.find("/end.jsonl") != std::string::npos) {
            EXPECT_TRUE(line.ends_with("-              -") || contains(line, {"  -  "})) << line;
            EXPECT_EQ(std::count(line.begin(), line.end(), '-'), 3) << line;
        }

    const auto json = nlohmann::json::parse(evaluation_json(report));
    EXPECT_EQ(json.at("step"), 12);
    EXPECT_EQ(json.at("total").at("loss").get<double>(), 2.0);
    EXPECT_EQ(json.at("files").at(0).at("file"), "a.txt");
    EXPECT_EQ(json.at("files").at(1).at("file"), long_name);
    for (const char* key : {"loss", "perplexity", "bits_per_byte"}) {
        EXPECT_TRUE(json.at("files").at(1).at(key).is_null()) << key;
        EXPECT_TRUE(json.at("lengths").at(0).at(key).is_null()) << key;
        EXPECT_TRUE(json.at("lengths").at(1).at(key).is_number()) << key;
    }
    EXPECT_EQ(json.at("lengths").at(1).at("from"), 2);
    EXPECT_EQ(json.at("lengths").at(1).at("to"), 3);
}

TEST(EvaluationReport, TheBarSaysHowFarAndHowLong) {
    const std::string line = evaluation_line(25, 100, 5000, 10.0);
    EXPECT_TRUE(contains(
        line, {"[#######", "..]", " 25 %", "25/100 sequences", "500 tokens/s", "left 0:30"}));
    EXPECT_TRUE(contains(evaluation_line(100, 100, 1, 0.0), {"100 %", "left 0:00"}));
}

}  // namespace
}  // namespace evengrad
