// The option table by itself: what is stronger than what, and the recipe that comes out.
#include <random>

#include <gtest/gtest.h>

#include "commands/recipe.hpp"
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
    EXPECT_EQ(options.data, (std::vector<std::string>{"book.txt"}));
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
                      "micro-batch-tokens=512\nallow-mixed-cpus=true\r\n");
    TrainOptions options;
    options.parse(with({"--config", folder / "r.ini", "--lr", "0.25", "--micro-batch-size", "2"}));
    EXPECT_EQ(options.train.schedule.lr, 0.25);
    EXPECT_EQ(options.train.seed, 4u);
    EXPECT_TRUE(options.train.allow_mixed_cpus);
    EXPECT_EQ(options.train.plan.micro_batch_size, 2);
    EXPECT_EQ(options.train.plan.micro_batch_tokens, 0);
}

TEST(Options, OtherRanksGetTheSameConfiguration) {
    for (const auto& extra : std::vector<std::vector<std::string>>{
             {},
             {"--micro-batch-size", "3"},
             {"--micro-batch-tokens", "300", "--lr", "0.1", "--sequences", "stream"},
             {"--resume"},
             {"--overwrite"},
             {"--valid-fraction", "0.25", "--save", "a #b\n"}}) {
        TrainOptions first, elsewhere;
        first.parse(with(extra));
        elsewhere.parse_resolved(first.table.resolved());
        EXPECT_EQ(elsewhere.table.values(), first.table.values());
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

TEST(Options, TheStallTimeoutIsAutoNeverOrEnoughSecondsForASign) {
    const auto timeout = [](const std::string& text) {
        TrainOptions options;
        options.parse(with({"--stall-timeout", text}));
        return options.loop.stall_timeout;
    };
    EXPECT_EQ(timeout("auto"), std::nullopt);
    EXPECT_EQ(timeout("0"), 0.0);
    EXPECT_EQ(timeout("3"), 3.0);
    EXPECT_EQ(timeout("1.5e3"), 1500.0);
    for (const char* text : {"2.9", "-1", "nan", "inf", "10s", "", "Auto"})
        EXPECT_TRUE(contains(message_of<UsageError>([&] { timeout(text); }),
                             {"--stall-timeout must be auto, 0 or seconds between 3 and 1e9, not"}))
            << text;
    TrainOptions options;
    options.parse(with({}));
    EXPECT_EQ(options.loop.stall_timeout, std::nullopt);
}

TEST(Options, WhatIsNoRecipeGivesAShortMessage) {
    const ScratchFolder folder;
    const std::string long_name(100'000, 'x');
    std::string lines;
    for (int i = 0; i < 5000; ++i) lines += fmt::format("line {}\n", i);
    test::write_bytes(folder / "long.ini", long_name + "=1\nseed=" + long_name);
    test::write_bytes(folder / "many.ini", lines);
    for (const char* name : {"long.ini", "many.ini"}) {
        TrainOptions options;
        const auto message = message_of<UsageError>([&] {
            options.parse(with({"--config", folder / name}));
        });
        EXPECT_LT(message.size(), 4096u) << name;
        EXPECT_TRUE(
            contains(message, {name == std::string("long.ini") ? "2 problems" : "and 4980 more"}));
    }
}

TEST(Options, AnAbbreviationIsNotTheOption) {
    TrainOptions options;
    EXPECT_TRUE(contains(message_of<UsageError>([&] {
                             options.parse(with({"--num-lay", "3"}));
                         }),
                         {"unknown option --num-lay (--num-layers?)"}));
}

TEST(Options, AnOptionWithoutANameIsUnknown) {
    TrainOptions options;
    EXPECT_TRUE(
        contains(message_of<UsageError>([&] { options.parse({"--=y"}); }), {"unknown option --"}));
}

TEST(Options, AValueMayBeginWithDashesAfterAnEqualsSign) {
    TrainOptions options;
    options.parse({"--data=--odd.txt", "--save=run"});
    EXPECT_EQ(options.data, (std::vector<std::string>{"--odd.txt"}));
    TrainOptions missing;
    EXPECT_TRUE(contains(message_of<UsageError>([&] {
                             missing.parse({"--data", "--save", "run"});
                         }),
                         {"--data needs a value"}));
}

std::string refusal(const std::vector<std::string>& arguments) {
    TrainOptions options;
    return message_of<UsageError>([&] { options.parse(with(arguments)); });
}

TEST(Options, GivenWithoutAMeaningIsAMistakeAlsoAtTheDefault) {
    EXPECT_EQ(refusal({"--optimizer", "sgd", "--adam-beta1", "0.9"}),
              "--adam-beta1 means nothing with --optimizer sgd");
    EXPECT_EQ(refusal({"--min-lr", "0", "--lr-decay-style=constant"}),
              "--min-lr means nothing with --lr-decay-style constant");
    EXPECT_EQ(refusal({"--eval-interval", "0"}),
              "--eval-interval means nothing without --valid-data or --valid-fraction");
    EXPECT_TRUE(contains(refusal({"--optimizer", "sgd", "--adam-eps", "1", "--adam-beta2", "0"}),
                         {"2 problems", "--adam-eps means", "--adam-beta2 means"}));
    // What is wrong itself says nothing about others.
    EXPECT_EQ(refusal({"--optimizer", "adamx", "--adam-eps", "1"}),
              "--optimizer can be sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw, lion, "
              "not 'adamx'");
}

TEST(Options, ARecipeMustMakeSenseByItself) {
    const ScratchFolder folder;
    const std::string recipe = folder / "r.ini";
    test::write_bytes(recipe, "optimizer=sgd\nadam-beta1=0.5\neval-interval=2\n");
    EXPECT_TRUE(contains(
        refusal({"--config", recipe}),
        {"2 problems", "r.ini line 2: --adam-beta1 means nothing with --optimizer sgd",
         "r.ini line 3: --eval-interval means nothing without --valid-data or --valid-fraction"}));
    test::write_bytes(recipe, "micro-batch-size=3\nmicro-batch-tokens=5\n");
    EXPECT_TRUE(contains(
        refusal({"--config", recipe}),
        {"r.ini line 2: --micro-batch-size and --micro-batch-tokens contradict each other"}));
}

TEST(Options, WhatDependsOnAnOverriddenOptionIsDroppedFromTheRecipe) {
    const ScratchFolder folder;
    const std::string recipe = folder / "r.ini";
    test::write_bytes(recipe, "optimizer=adamw\nadam-beta1=0.5\nadam-eps=1\nlr=0.25\n");
    TrainOptions options, plain;
    options.parse(with({"--config", recipe, "--optimizer", "sgd"}));
    EXPECT_EQ(options.train.optimizer.adam_beta1, plain.train.optimizer.adam_beta1);
    EXPECT_FALSE(options.table.given("adam-beta1"));
    EXPECT_EQ(options.train.schedule.lr, 0.25);
    // But not what the command line itself gives.
    EXPECT_EQ(refusal({"--config", recipe, "--optimizer", "sgd", "--adam-eps", "2"}),
              "--adam-eps means nothing with --optimizer sgd");
}

TEST(Options, RivalsContradictEachOther) {
    EXPECT_EQ(refusal({"--micro-batch-size", "4", "--micro-batch-tokens", "0"}),
              "--micro-batch-size and --micro-batch-tokens contradict each other: give one");
    EXPECT_EQ(refusal({"--overwrite", "--resume"}),
              "--resume and --overwrite contradict each other: give one");
    TrainOptions options;
    options.parse(with({"--overwrite", "--resume", "another"}));
    EXPECT_TRUE(options.loop.overwrite);
}

TEST(Options, WhatToDoThisTimeIsNotInARecipe) {
    const ScratchFolder folder;
    const std::string recipe = folder / "r.ini";
    test::write_bytes(recipe, "overwrite=true\nlr=0.5\nresume=there\n");
    EXPECT_TRUE(contains(refusal({"--config", recipe}),
                         {"r.ini line 1: --overwrite belongs on the command line",
                          "r.ini line 3: --resume belongs on the command line"}));
    TrainOptions options;
    options.parse(with({"--resume", "there"}));
    EXPECT_EQ(options.table.recipe().find("resume"), std::string::npos);
    EXPECT_EQ(options.table.recipe().find("overwrite"), std::string::npos);
}

TEST(Options, WhatWasLeftToFollowFromOthersIsInTheRecipe) {
    const auto recipe_of = [](const std::vector<std::string>& arguments) {
        TrainOptions options;
        options.parse(arguments);
        return options.table.recipe();
    };
    const std::string raw = recipe_of(with({"--hidden-size", "24", "--num-attention-heads", "3"}));
    EXPECT_TRUE(contains(raw, {"\nffn-hidden-size=96 ", "\ntokenizer=byte "}));
    EXPECT_TRUE(contains(recipe_of(with({"--ffn-hidden-size", "0"})), {"\nffn-hidden-size=512 "}));
    EXPECT_TRUE(contains(recipe_of(with({"--ffn-hidden-size", "7"})), {"\nffn-hidden-size=7 "}));
    // Prepared data have their own tokenizer; without data it isn't known.
    EXPECT_TRUE(
        contains(recipe_of({"--data", "a.txt:1", "b.h5:2", "--save", "run"}), {"\n# tokenizer= "}));
    EXPECT_TRUE(contains(recipe_of({"--print-config"}), {"\n# tokenizer= "}));
    // A recipe of before this was so is no other run's.
    TrainOptions now;
    now.parse(with({}));
    EXPECT_EQ(now.changes_since("data=book.txt\nsave=run\nffn-hidden-size=0\n"), "");
}

// --------------------------------------------------------------------------------------- recipes

/// Arguments of a run, some of them in a recipe, that make sense or not.
class RandomRun {
  public:
    explicit RandomRun(unsigned seed) : random_(seed) {
        const std::vector<std::string> names = {
            "a",      "a b.txt", "a#b",  "a #b", "\"q\"",    " lead",     "trail ",
            "new\nl", "back\\n", "=eq=", "--d",  "\xc3\xa9", "# nothing", "tab\t"};
        const std::vector<std::string> whole = {"1", "2", "7", "100", "4096"};
        const std::vector<std::string> real = {"0.1", "1e-8", "0.123456789012345678", "3e-4", "0"};
        maybe("data", names, 9);
        maybe("save", names, 9);
        maybe("valid-data", names, 2);
        maybe("valid-fraction", real, 2);
        maybe("dropout", real, 3);
        maybe("init-method-std", real, 3);
        maybe("init", {"gpt2", "uniform", "constant", "he", "xavier", "orthogonal"}, 4);
        maybe("init-bound", real, 1);
        maybe("init-constant", real, 2);
        maybe("init-distribution", {"normal", "uniform"}, 2);
        maybe("init-fan", {"in", "out", "average"}, 1);
        maybe("init-gain", {"paper", "activation", "leaky-relu:0.2", "0.5"}, 2);
        maybe("num-layers", whole, 3);
        maybe("hidden-size", {"12", "24", "120"}, 3);
        maybe("num-attention-heads", {"1", "2", "4"}, 3);
        maybe("seq-length", whole, 3);
        maybe("ffn-hidden-size", whole, 3);
        maybe("global-batch-size", whole, 3);
        maybe("micro-batch-size", whole, 3);
        maybe("micro-batch-tokens", whole, 2);
        maybe("sequences", {"documents", "stream"}, 3);
        maybe("train-iters", {"4096"}, 3);
        maybe("lr-warmup-iters", whole, 3);
        maybe("optimizer", {"adamw", "sgd", "nesterov", "lion"}, 3);
        maybe("momentum", real, 1);
        maybe("adam-beta1", real, 2);
        maybe("adam-beta2", real, 2);
        maybe("adam-eps", real, 2);
        maybe("weight-decay", real, 3);
        maybe("clip-grad", real, 3);
        maybe("lr", {"0.1", "0.30000000000000004"}, 3);
        maybe("min-lr", {"0", "1e-9"}, 2);
        maybe("lr-decay-style", {"constant", "linear", "cosine", "inverse-square-root"}, 3);
        maybe("seed", {"0", "72057594037927935"}, 3);
        maybe("save-interval", whole, 3);
        maybe("eval-interval", whole, 2);
        maybe("log-interval", whole, 3);
        maybe("ranks-per-node", whole, 3);
        maybe("allow-mixed-cpus", {"true", "false"}, 3);
        maybe("stall-timeout", {"auto", "0", "12.5"}, 3);
        maybe("overwrite", {"true"}, 2);
    }
    std::vector<std::string> arguments;
    std::string recipe;

  private:
    void maybe(const std::string& name, const std::vector<std::string>& values, unsigned tenths) {
        if (random_() % 10 >= tenths) return;
        const std::string value = values[random_() % values.size()];
        if (name != "overwrite" && random_() % 2 == 0)
            recipe += write_recipe_line(name, value) + '\n';
        else
            arguments.push_back("--" + name + '=' + value);
    }
    std::mt19937 random_;
};

TEST(Recipe, WhatIsPrintedGivesTheSameRun) {
    const ScratchFolder folder;
    int made_sense = 0;
    for (unsigned seed = 0; seed < 600; ++seed) {
        RandomRun run(seed);
        test::write_bytes(folder / "given.ini", run.recipe);
        run.arguments.insert(run.arguments.end(), {"--config", folder / "given.ini"});
        TrainOptions first, second;
        try {
            first.parse(run.arguments);
        } catch (const UsageError&) {
            continue;
        }
        ++made_sense;
        const std::string printed = first.table.recipe();
        test::write_bytes(folder / "printed.ini", printed);
        second.parse({"--config", folder / "printed.ini"});
        auto expected = first.table.values(), got = second.table.values();
        for (const char* name : {"config", "overwrite"}) {
            expected.erase(name);
            got.erase(name);
        }
        ASSERT_EQ(got, expected) << printed;
        ASSERT_EQ(second.table.recipe(), printed);
        ASSERT_EQ(second.train.schedule.lr, first.train.schedule.lr);
    }
    EXPECT_GT(made_sense, 60);
}

TEST(Recipe, HasEveryOptionThatHasAMeaningWithItsHelp) {
    TrainOptions options;
    options.parse(
        {"--print-config", "--optimizer", "sgd", "--micro-batch-tokens", "512", "--data", "a.txt"});
    EXPECT_TRUE(options.print_config);
    const std::string recipe = options.table.recipe();
    EXPECT_TRUE(contains(
        recipe,
        {"# ---- model\nmodel=gpt", "\nnum-layers=4", "# transformer blocks\n", "\ndata=a.txt",
         "\n# save=", "\nmicro-batch-tokens=512", "\noptimizer=sgd", "\nweight-decay=0.1"}));
    for (const char* without : {"adam-", "micro-batch-size", "print-config", "config=", "help"})
        EXPECT_EQ(recipe.find(without), std::string::npos) << without << '\n' << recipe;
}

TEST(Options, HelpNeedsNothingElse) {
    TrainOptions options;
    options.parse({"--help"});
    EXPECT_TRUE(options.help);
    EXPECT_TRUE(contains(options.table.help(), {"--weight-decay arg (=0.1)", "--overwrite"}));
}

}  // namespace
}  // namespace evengrad
