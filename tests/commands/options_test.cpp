// The option table by itself: what is stronger than what, and the recipe that comes out.
#include <gtest/gtest.h>

#include "commands/train_options.hpp"
#include "hdf5/scratch_folder.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

using test::contains;
using test::message_of;
using test::ScratchFolder;

std::vector<std::string> with(std::vector<std::string> arguments) {
    for (const char* needed : {"--data", "book.txt", "--save", "run"})
        arguments.emplace_back(needed);
    return arguments;
}

TEST(Options, DefaultsMakeSense) {
    TrainOptions options;
    options.parse(with({}));
    EXPECT_EQ(options.train.optimizer.kind, OptimizerKind::adamw);
    EXPECT_EQ(options.train.seed, 1234u);
    EXPECT_EQ(options.data, "book.txt");
}

TEST(Options, TheLastOfARepeatedOptionWins) {
    TrainOptions options;
    options.parse(with({"--lr", "0.5", "--seed=3", "--lr=0.25", "--seed", "4"}));
    EXPECT_EQ(options.train.schedule.lr, 0.25);
    EXPECT_EQ(options.train.seed, 4u);
}

TEST(Options, TheCommandLineBeatsTheRecipe) {
    const ScratchFolder folder;
    test::write_bytes(folder / "r.ini",
                      "# recipe\nlr = 0.5\n\nseed=3 # mine\nseed=4\n"
                      "micro-batch-tokens=512\noverwrite=true\r\n");
    TrainOptions options;
    options.parse(with({"--config", folder / "r.ini", "--lr", "0.25", "--micro-batch-size", "2"}));
    EXPECT_EQ(options.train.schedule.lr, 0.25);
    EXPECT_EQ(options.train.seed, 4u);
    EXPECT_TRUE(options.loop.overwrite);
    EXPECT_EQ(options.train.plan.micro_batch_size, 2);
    EXPECT_EQ(options.train.plan.micro_batch_tokens, 0);
}

TEST(Options, TheResolvedRecipeGivesTheSameConfiguration) {
    const ScratchFolder folder;
    for (const auto& extra : std::vector<std::vector<std::string>>{
             {},
             {"--micro-batch-size", "3"},
             {"--micro-batch-tokens", "300", "--lr", "0.1", "--sequences", "stream"},
             {"--resume"},
             {"--valid-fraction", "0.25", "--save", "a=b="}}) {
        TrainOptions first, second, elsewhere;
        first.parse(with(extra));
        const std::string resolved = first.table.resolved();
        test::write_bytes(folder / "resolved.ini", resolved);
        second.parse({"--config", folder / "resolved.ini"});
        EXPECT_EQ(second.table.resolved(), resolved);
        elsewhere.parse_resolved(resolved);  // as on another rank
        EXPECT_EQ(elsewhere.train.plan.micro_batch_tokens, first.train.plan.micro_batch_tokens);
        EXPECT_EQ(elsewhere.train.schedule.lr, first.train.schedule.lr);
        EXPECT_EQ(elsewhere.loop.save_dir, first.loop.save_dir);
        EXPECT_EQ(elsewhere.loop.resume, first.loop.resume);
    }
}

TEST(Options, ALoneResumeMeansTheSaveFolder) {
    TrainOptions alone, named;
    alone.parse(with({"--resume", "--lr", "0.1"}));
    EXPECT_EQ(alone.loop.resume, "run");
    EXPECT_EQ(alone.train.schedule.lr, 0.1);
    named.parse(with({"--resume", "there"}));
    EXPECT_EQ(named.loop.resume, "there");
}

TEST(Options, AllProblemsAreReportedTogether) {
    TrainOptions options;
    const std::string message = message_of<UsageError>([&] {
        options.parse({"--nonsense", "1", "--lr", "abc", "--dropout", "2", "stray", "--seed"});
    });
    EXPECT_TRUE(contains(
        message, {"7 problems", "--nonsense", "'abc' is not a number", "--dropout", "'stray'",
                  "--seed needs a value", "--data is missing", "--save is missing"}));
}

TEST(Options, AnAbbreviationIsNotTheOption) {
    TrainOptions options;
    EXPECT_TRUE(contains(message_of<UsageError>([&] {
                             options.parse(with({"--num-lay", "3"}));
                         }),
                         {"unknown option --num-lay (--num-layers?)"}));
}

TEST(Options, AValueMayBeginWithDashesAfterAnEqualsSign) {
    TrainOptions options;
    options.parse({"--data=--odd.txt", "--save=run"});
    EXPECT_EQ(options.data, "--odd.txt");
    TrainOptions missing;
    EXPECT_TRUE(contains(message_of<UsageError>([&] {
                             missing.parse({"--data", "--save", "run"});
                         }),
                         {"--data needs a value"}));
}

TEST(Options, HelpNeedsNothingElse) {
    TrainOptions options;
    options.parse({"--help"});
    EXPECT_TRUE(options.help);
    EXPECT_TRUE(contains(options.table.help(), {"--weight-decay arg (=0.1)", "--overwrite"}));
}

}  // namespace
}  // namespace evengrad
