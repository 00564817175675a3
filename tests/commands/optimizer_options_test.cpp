// Options of optimizers and learning-rate schedules.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "commands/train_options.hpp"
#include "hdf5/scratch_folder.hpp"
#include "optimizer/kinds.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

using test::contains;
using test::message_of;
using test::ScratchFolder;

std::vector<std::string> with_files(std::vector<std::string> arguments) {
    for (const char* needed : {"--data", "book.txt", "--save", "run"})
        arguments.emplace_back(needed);
    return arguments;
}

std::string refusal_of(const std::vector<std::string>& arguments) {
    TrainOptions options;
    return message_of<UsageError>([&] { options.parse(with_files(arguments)); });
}

/// That exactly those options are refused with a choice of `decider` that the list doesn't give it.
template <class Facts>
void expect_options_of_list(const std::string& decider, std::span<const Facts> all) {
    std::set<std::string> options;
    for (const Facts& facts : all) options.insert(facts.options.begin(), facts.options.end());
    for (const Facts& facts : all)
        for (const std::string& option : options) {
            TrainOptions train;  // (without --data there is always something to refuse)
            const std::string message = message_of<UsageError>([&] {
                train.parse({"--" + decider, facts.name, "--" + option, "1"});
            });
            EXPECT_EQ(message.find("means nothing with") != std::string::npos,
                      std::count(facts.options.begin(), facts.options.end(), option) == 0)
                << facts.name << ", " << option << ": " << message;
        }
}

TEST(Options, OfOtherOptimizersAndSchedulesAreMistakes) {
    expect_options_of_list("optimizer", optimizers());
    expect_options_of_list("lr-decay-style", schedules());
}

TEST(Options, MilestonesAreWholeNumbersAlsoFromARecipe) {
    TrainOptions train;
    train.parse(
        {"--print-config", "--lr-decay-style", "multi-step", "--lr-milestones", "300", "600"});
    EXPECT_EQ(train.train.schedule.milestones, (std::vector<std::int64_t>{300, 600}));
    const ScratchFolder folder;
    test::write_bytes(folder / "printed.ini", train.table.recipe());
    TrainOptions again;
    again.parse({"--print-config", "--config", folder / "printed.ini"});
    EXPECT_EQ(again.train.schedule.milestones, train.train.schedule.milestones);
    EXPECT_TRUE(
        contains(refusal_of({"--lr-decay-style", "multi-step", "--lr-milestones", "3", "4.5"}),
                 {"--lr-milestones: '4.5' is not a whole number"}));
}

TEST(Options, ReduceOnPlateauNeedsEvaluations) {
    const char* needs = "needs --eval-interval, and --valid-data or --valid-fraction";
    EXPECT_TRUE(contains(refusal_of({"--lr-decay-style", "reduce-on-plateau"}), {needs}));
    EXPECT_TRUE(contains(refusal_of({"--lr-decay-style=reduce-on-plateau", "--valid-fraction=0.1"}),
                         {needs}));
    TrainOptions train;
    train.parse(with_files(
        {"--lr-decay-style=reduce-on-plateau", "--valid-fraction=0.1", "--eval-interval=5"}));
}

}  // namespace
}  // namespace evengrad
