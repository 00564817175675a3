// The gradient of a step without the step: what it is, and that nothing else changes.
#include <set>
#include <sstream>

#include "base/digest.hpp"
#include "train/sums_of_ranks.hpp"
#include "train/tiny_run.hpp"
#include "train/work.hpp"

namespace evengrad {
namespace {

using namespace test;

TEST(StepGradient, IsTheDoublePrecisionGradientOfThatStep) {
    const Dataset data(uneven_documents(101, 150, 5));
    TrainConfig config = tiny_config(10);
    config.model.gpt().dropout = 0.0;
    config.plan.reduction = LossReduction::parse("sequence-mean");
    Trainer trainer(world(), config, world().rank() == 0 ? &data : nullptr);
    trainer.step();
    const StepGradient found = gradient_of_step(trainer, 3);
    ASSERT_TRUE(found.loss);
    if (world().rank() != 0) {
        EXPECT_TRUE(found.values.empty());
        return;
    }
    const ParameterTable& table = trainer.parameters();
    const StepPlan plan = Planner(data, trainer.config().plan).plan(3);
    auto [loss, gradient] = reference(trainer.config().model, table, trainer.weights(), plan);
    for (double& value : gradient) value /= plan.denominator;
    EXPECT_NEAR(*found.loss / (loss / plan.denominator), 1.0, 1e-6);
    const GradientError error = gradient_error(table, found.values, gradient);
    EXPECT_LT(error.overall, 1e-6);
    EXPECT_LT(error.tensor, 1e-6) << error.name;
    EXPECT_GT(error.overall, 0.0);
}

TEST(StepGradient, IsTheSameOnEveryLayoutAndLeavesTheRunAsItWas) {
    const Dataset data(uneven_documents(101, 150, 5));
    const TrainConfig base = tiny_config(10);
    const auto run = [&](const Communicator& part, int per_node, bool look) {
        TrainConfig config = base;
        config.ranks_per_node = per_node;
        Trainer trainer(part, config, part.rank() == 0 ? &data : nullptr);
        std::string text;
        for (int i = 0; i < 3; ++i) {
            if (look) {
                // Before the first step no quantum is known; step 7 is one that may not come.
                const std::string before = trainer.digest();  // of quanta, too
                for (const std::int64_t step : {std::int64_t{i}, std::int64_t{7}}) {
                    const StepGradient gradient = gradient_of_step(trainer, step);
                    EXPECT_EQ(trainer.digest(), before);
                    Digest digest;
                    digest.add(std::span(gradient.values));
                    std::string hex = digest.hex();
                    part.broadcast(hex, 0);
                    text +=
                        fmt::format("{} {}\n", std::bit_cast<std::uint64_t>(*gradient.loss), hex);
                }
            }
            trainer.step();
        }
        return text + trainer.digest();
    };
    const std::string unseen =
        on_ranks(1, [&](const Communicator& part) { return run(part, 0, false); });
    std::string first;
    for (const Layout& layout : layouts()) {
        const std::string seen = on_ranks(layout.ranks, [&](const Communicator& part) {
            return run(part, layout.ranks_per_node, true);
        });
        if (first.empty()) first = seen;
        EXPECT_EQ(seen, first) << name(layout);
        EXPECT_TRUE(seen.ends_with(unseen)) << name(layout);
    }
    std::istringstream lines(first);
    std::set<std::string> different;
    for (std::string line; std::getline(lines, line);) different.insert(line);
    EXPECT_EQ(different.size(), 7u);  // six gradients and a digest
}

TEST(StepGradient, IsKeptInTheRecordsThatAreAskedForTheSameOnEveryLayout) {
    const Dataset data(uneven_documents(101, 150, 5));
    TrainConfig config = tiny_config(10);
    config.optimizer.clip_grad = 0.1;
    config.save_gradients = {2, 4};
    std::string first;
    for (const Layout& layout : layouts()) {
        config.ranks_per_node = layout.ranks_per_node;
        const std::string text = on_ranks(layout.ranks, [&](const Communicator& part) {
            Trainer trainer(part, config, part.rank() == 0 ? &data : nullptr);
            Digest digest;
            for (std::int64_t step = 1; step <= 4; ++step) {
                const StepGradient expected = gradient_of_step(trainer, step - 1);
                const StepRecord record = trainer.step();
                EXPECT_LT(record.clipped_grad_norm, 0.5 * record.grad_norm);
                EXPECT_EQ(record.gradient, step % 2 == 0 ? expected.values : std::vector<float>());
                if (part.rank() != 0 || record.gradient.empty()) continue;
                digest.add(std::span(record.gradient));
                double squares = 0.0;
                for (const float value : record.gradient)
                    squares += static_cast<double>(value) * static_cast<double>(value);
                EXPECT_NEAR(std::sqrt(squares) / record.grad_norm, 1.0, 1e-6);
            }
            std::string hex = digest.hex();
            part.broadcast(hex, 0);
            return hex + trainer.digest();
        });
        if (first.empty()) first = text;
        EXPECT_EQ(text, first) << name(layout);
    }
}

TEST(StepGradient, ThereIsNoneWithoutLoss) {
    // The first of the two batches of an epoch gets only masked documents.
    const Dataset data(without_loss_in_first_step(uneven_documents(48, 90, 0)));
    Trainer trainer(world(), tiny_config(10), world().rank() == 0 ? &data : nullptr);
    const StepGradient none = gradient_of_step(trainer, 0), some = gradient_of_step(trainer, 1);
    TrainConfig config = tiny_config(10);
    config.save_gradients = {1};
    Trainer keeping(world(), config, world().rank() == 0 ? &data : nullptr);
    EXPECT_TRUE(keeping.step().gradient.empty());
    EXPECT_FALSE(none.loss);
    EXPECT_TRUE(none.values.empty());
    EXPECT_TRUE(some.loss);
}

}  // namespace
}  // namespace evengrad
