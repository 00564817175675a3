// Grids of options: what they expand to, and what is refused with the point that has it.
#include "commands/sweep_options.hpp"

#include <gtest/gtest.h>

#include "hdf5/scratch_folder.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

using test::contains;
using test::message_of;
using test::ScratchFolder;

std::vector<std::string> of_mlp(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"--data", "rows.csv", "--model", "mlp", "--layer-widths", "4,8,3"});
    return arguments;
}

SweepConfig parsed(const std::vector<std::string>& arguments, int ranks = 4) {
    SweepOptions options;
    options.parse_sweep(arguments, ranks);
    return options.sweep;
}

std::string refused(const std::vector<std::string>& arguments, int ranks = 4) {
    return message_of<UsageError>([&] { parsed(arguments, ranks); });
}

TEST(SweepOptions, ThePointsAreTheProductOfTheDimensions) {
    const SweepConfig sweep =
        parsed(of_mlp({"--grid", "activation=tanh,relu", "depth=1,3", "--grid=residual=false,true",
                       "--seeds", "3", "--seed", "7", "--lr", "0.5"}));
    ASSERT_EQ(sweep.points.size(), 8u);
    EXPECT_EQ(sweep.cells(), 24);
    EXPECT_EQ(sweep.first_seed, 7u);
    for (std::size_t p = 0; p < 8; ++p) {
        const MlpConfig& mlp = sweep.points[p].train.model.mlp();
        EXPECT_EQ(mlp.activation, p < 4 ? Activation::tanh : Activation::relu);
        EXPECT_EQ(mlp.layer_widths, (p / 2) % 2 == 0 ? std::vector<Index>({4, 8, 3})
                                                     : std::vector<Index>({4, 8, 8, 8, 3}));
        EXPECT_EQ(mlp.residual, p % 2 == 1);
        EXPECT_EQ(sweep.points[p].train.schedule.lr, 0.5);
    }
    EXPECT_EQ(sweep.name_of(23), "activation=relu depth=3 residual=true seed=9");
    // What all points share is said once, the rest with each.
    EXPECT_EQ(sweep.options.at("lr"), "0.5");
    EXPECT_EQ(sweep.options.count("layer-widths"), 0u);
    EXPECT_EQ(sweep.points[2].options.at("layer-widths"), "4,8,8,8,3");
    EXPECT_EQ(sweep.points[2].options.count("lr"), 0u);
    EXPECT_EQ(sweep.options.count("seed") + sweep.options.count("ranks-per-node"), 0u);
}

TEST(SweepOptions, WhatFollowsFromAnOptionFollowsAtEachPoint) {
    const SweepConfig gpt =
        parsed({"--data", "book.txt", "--grid", "hidden-size=32,64", "--num-attention-heads", "2"});
    EXPECT_EQ(gpt.points[0].train.model.gpt().ffn_hidden_size, 128);
    EXPECT_EQ(gpt.points[1].train.model.gpt().ffn_hidden_size, 256);
    const SweepConfig widths = parsed(of_mlp({"--grid", "layer-widths=4,3;4,5,5,3"}));
    EXPECT_EQ(widths.points[1].train.model.mlp().layer_widths, (std::vector<Index>{4, 5, 5, 3}));
}

TEST(SweepOptions, ARecipesOptionsMeanSomethingToSomePoints) {
    const ScratchFolder folder;
    test::write_bytes(folder / "r.ini",
                      "model=mlp\nlayer-widths=4,8,3\nactivation=leaky-relu\nnegative-slope=0.3\n"
                      "train-iters=5\n");
    const std::vector<std::string> arguments{
        "--data", "rows.csv", "--config", folder / "r.ini", "--grid", "activation=leaky-relu,tanh",
        "depth=2"};
    const SweepConfig sweep = parsed(arguments);
    EXPECT_EQ(sweep.points[0].train.model.mlp().negative_slope, 0.3);
    EXPECT_EQ(sweep.points[1].train.model.mlp().activation, Activation::tanh);
    EXPECT_EQ(sweep.points[1].train.model.mlp().layer_widths, (std::vector<Index>{4, 8, 8, 3}));
    auto on_command_line = arguments;
    on_command_line.insert(on_command_line.end(), {"--negative-slope", "0.2"});
    EXPECT_TRUE(contains(refused(on_command_line),
                         {"activation=tanh depth=2: --negative-slope means nothing with "
                          "--activation tanh"}));
}

TEST(SweepOptions, ProblemsNameThePointsThatHaveThem) {
    const std::string message =
        refused(of_mlp({"--grid", "activation=tanh,swish", "lr=1,x", "--nonsense", "1"}));
    for (const char* part : {"3 problems", "unknown option --nonsense",
                             "activation=tanh lr=x: --lr: 'x' is not a number",
                             "(as at 1 other point)", "activation=swish lr=1: --activation can be"})
        EXPECT_TRUE(contains(message, {part})) << part << " isn't in:\n" << message;
    EXPECT_FALSE(contains(message, {"lr=1: unknown"})) << message;
}

TEST(SweepOptions, GridsThatMakeNoSenseAreRefused) {
    const std::vector<std::pair<std::vector<std::string>, const char*>> cases{
        {{}, "--grid is missing"},
        {{"--grid", "lr"}, "--grid lr: is not NAME=VALUE"},
        {{"--grid", "=1"}, "--grid =1: is not NAME=VALUE"},
        {{"--grid", "lr=1,"}, "--grid lr=1,: an empty value"},
        {{"--grid", "lr=1,2,1"}, "the value '1' comes twice"},
        {{"--grid", "lr=1", "lr=2"}, "lr has a dimension already"},
        {{"--grid", "data=a.csv,b.csv"}, "--data is the same for all cells"},
        {{"--grid", "help=true"}, "--help is the same for all cells"},
        {{"--grid", "seed=1,2"}, "--seeds says from how many"},
        {{"--grid", "save=a,b"}, "--save means nothing to evengrad sweep"},
        {{"--grid", "activatoin=tanh,relu"}, "unknown option --activatoin (--activation?)"},
        {{"--grid", "depth=0,x"}, "'0' is not a number of hidden layers"},
        {{"--grid", "depth=1", "layer-widths=4,3"}, "depth and layer-widths"},
        {{"--grid", "depth=2", "--layer-widths", "4,8,8,3"}, "not '4,8,8,3'"},
        {{"--grid", "lr=1,2", "--seeds", "4096"}, "--grid has more than 4096 cells"},
        {{"--grid", "lr=1,2", "--seeds", "0"}, "--seeds must be between 1 and 4096, not 0"},
        {{"--grid", "lr=1,2", "--seeds", "2", "--seed", "72057594037927935"}, "below 2^56"},
        {{"--grid", "lr=1,2", "--ranks-per-cell", "5"}, "between 1 and the job's 4, not 5"},
        {{"--grid", "lr=1,2", "--target-accuracy", "0.9"},
         "--target-accuracy means nothing without --eval-interval"},
        {{"--grid", "lr=1,2", "--target-accuracy", "90", "--valid-fraction", "0.1",
          "--eval-interval", "1"},
         "--target-accuracy must be above 0 and at most 1, not 90"},
        {{"--grid", "lr=1,2", "--target-accuracy", "0.9", "--valid-fraction", "0.1",
          "--eval-interval", "1", "--loss", "mse"},
         "--target-accuracy means nothing with --loss mse"},
        {{"--grid", "lr-decay-style=constant,reduce-on-plateau"}, "follows held-out losses"},
        {{"--grid", "lr=1,2", "--save", "run"}, "--save means nothing to evengrad sweep"},
        {{"--grid", "lr=1,2", "--json", "rows.csv"}, "would replace what --data names"}};
    for (const auto& [arguments, message] : cases)
        EXPECT_TRUE(contains(refused(of_mlp(arguments)), {message})) << message << " isn't in:\n"
                                                                     << refused(of_mlp(arguments));
    EXPECT_TRUE(contains(refused({"--grid", "lr=1,2"}), {"--data is missing"}));
}

}  // namespace
}  // namespace evengrad
