// Updates against PyTorch's, element by element and block by block.
#include "optimizer/optimizer.hpp"

#include <cmath>
#include <filesystem>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "hdf5/file.hpp"
#include "mpi_main.hpp"
#include "train/sums_of_ranks.hpp"

namespace evengrad {
namespace {

using test::world;

/// Ten recorded steps of torch.optim over 50 parameters (tests/reference/make_reference.py).
struct Recorded {
    static constexpr std::size_t steps = 10, size = 50;

    explicit Recorded(const std::string& name) {
        const auto file = hdf5::File::open(std::filesystem::path(EVENGRAD_SOURCE_DIR) /
                                           "tests/reference/optimizer.h5");
        const hdf5::Group group = file.root().open_group(name);
        gradients.resize(steps * size);
        parameters.resize((steps + 1) * size);
        lr.resize(steps);
        group.read("gradients", {steps, size}, std::span(gradients));
        group.read("parameters", {steps + 1, size}, std::span(parameters));
        group.read("lr", {steps}, std::span(lr));
        base_lr = group.get<double>("base_lr");
        config.weight_decay = group.get<double>("weight_decay");
    }
    std::span<const double> after(std::size_t step) const {
        return std::span(parameters).subspan(step * size, size);
    }
    std::vector<float> gradient(std::size_t step) const {
        const auto first = gradients.begin() + static_cast<std::ptrdiff_t>(step * size);
        return {first, first + static_cast<std::ptrdiff_t>(size)};
    }

    OptimizerConfig config;
    double base_lr = 0.0;
    std::vector<double> gradients, parameters, lr;
};

/// |weights - expected| / |expected|
double error(std::span<const float> weights, std::span<const double> expected) {
    double apart = 0.0, size = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        apart += std::pow(static_cast<double>(weights[i]) - expected[i], 2);
        size += expected[i] * expected[i];
    }
    return std::sqrt(apart / size);
}

/// Replays the record; returns the largest error of weights, and of the change since the start.
std::pair<double, double> replay(const Recorded& recorded, Index lead) {
    constexpr std::size_t size = Recorded::size;
    // `lead` elements before: the same values at another offset, and another split into lanes.
    const auto first = static_cast<std::size_t>(lead);
    std::vector<float> weights(first + size, 1.0f), m(first + size, 0.0f), v(first + size, 0.0f);
    std::copy_n(recorded.parameters.begin(), size, weights.begin() + lead);
    double worst = 0.0, worst_change = 0.0;
    for (std::size_t step = 0; step < Recorded::steps; ++step) {
        std::vector<float> gradient(first, 0.0f);
        const auto own = recorded.gradient(step);
        gradient.insert(gradient.end(), own.begin(), own.end());
        update_elements({recorded.config, recorded.lr[step], static_cast<std::int64_t>(step) + 1},
                        true, static_cast<Index>(first + size), gradient.data(), weights.data(),
                        m.data(), v.data());
        const auto found = std::span(weights).subspan(first);
        worst = std::max(worst, error(found, recorded.after(step + 1)));
        std::vector<float> change(size);
        std::vector<double> expected(size);
        for (std::size_t i = 0; i < size; ++i) {
            change[i] = static_cast<float>(static_cast<double>(found[i]) - recorded.parameters[i]);
            expected[i] = recorded.after(step + 1)[i] - recorded.parameters[i];
        }
        worst_change = std::max(worst_change, error(change, expected));
    }
    return {worst, worst_change};
}

TEST(Optimizer, AdamWIsPyTorchs) {
    Recorded recorded("adamw");
    const auto file = hdf5::File::open(std::filesystem::path(EVENGRAD_SOURCE_DIR) /
                                       "tests/reference/optimizer.h5");
    // (betas is a list of numbers; the defaults of OptimizerConfig are what was recorded)
    EXPECT_EQ(file.root().open_group("adamw").get<double>("eps"), recorded.config.adam_eps);
    recorded.config.kind = OptimizerKind::adamw;
    for (const Index lead : {0, 1, 3, 8}) {
        const auto [weights, change] = replay(recorded, lead);
        EXPECT_LT(weights, 1e-6) << lead;
        EXPECT_LT(change, 3e-5) << lead;  // what float weights can show of it
    }
    // Other settings give another trajectory: the comparison can fail.
    for (int variant = 0; variant < 4; ++variant) {
        Recorded other = recorded;
        if (variant == 0) other.config.adam_beta1 = 0.8;
        if (variant == 1) other.config.adam_beta2 = 0.999;
        if (variant == 2) other.config.adam_eps = 1e-7;
        if (variant == 3) other.config.weight_decay = 0.0;
        EXPECT_GT(replay(other, 0).first, 1e-5) << "variant " << variant;
    }
}

TEST(Optimizer, SgdIsPyTorchs) {
    Recorded recorded("sgd");
    recorded.config.kind = OptimizerKind::sgd;
    const auto [weights, change] = replay(recorded, 0);
    EXPECT_LT(weights, 1e-6);
    EXPECT_LT(change, 1e-5);
    recorded.config.weight_decay = 0.0;
    EXPECT_GT(replay(recorded, 0).first, 1e-5);
}

TEST(Optimizer, DecayOnlyWhereAsked) {
    for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
        OptimizerConfig config;
        config.kind = kind;
        config.weight_decay = 0.5;
        std::vector<float> weights{2.0f, -4.0f}, m(2, 0.0f), v(2, 0.0f);
        const std::vector<float> nothing(2, 0.0f);
        update_elements({config, 0.1, 1}, false, 2, nothing.data(), weights.data(), m.data(),
                        v.data());
        EXPECT_EQ(weights, (std::vector<float>{2.0f, -4.0f}));
        update_elements({config, 0.1, 1}, true, 2, nothing.data(), weights.data(), m.data(),
                        v.data());
        EXPECT_FLOAT_EQ(weights[0], 1.9f);
        EXPECT_FLOAT_EQ(weights[1], -3.8f);
    }
    // And it is asked for on matrices, not on biases and norms.
    const ParameterTable table(GptConfig{});
    for (const Tensor& tensor : table.tensors())
        EXPECT_EQ(tensor.decay, tensor.shape.size() == 2) << tensor.name;
}

/// Weights after three updates of all blocks by this many ranks.
std::vector<float> updated_by(const Communicator& ranks, int per_node, OptimizerKind kind) {
    const GptConfig model{.num_layers = 1,
                          .hidden_size = 64,
                          .num_attention_heads = 2,
                          .seq_length = 24,
                          .vocab_size = 2500};
    const ParameterTable table(model);
    OptimizerConfig config;
    config.kind = kind;
    test::SumsOfRanks sums(ranks, per_node, table);
    const auto start = test::initial_weights(table, 3);
    if (sums.topology.node().rank() == 0)
        std::copy(start.begin(), start.end(), sums.store.weights().begin());
    sums.store.barrier();
    Optimizer optimizer(config, table, sums.ownership.of_rank(ranks.rank()));
    StepPlan plan;
    plan.loss_tokens = {3};
    plan.weight = {3.0};
    for (std::int64_t step = 1; step <= 3; ++step) {
        sums.run(
            plan, [](std::int64_t) { return 0; },
            [&](std::int64_t k) {
                std::mt19937 random(static_cast<unsigned>(step));
                std::normal_distribution<float> normal;
                for (Index t = 0; t < table.size(); ++t) {
                    std::vector<float> values(static_cast<std::size_t>(table[t].count));
                    for (float& value : values) value = normal(random);
                    sums.accumulator.add(t, 0, values);
                }
                return test::planned_row(plan, k);
            });
        optimizer.update(sums.mean(3.0), 0.7, 0.01, step, sums.store.weights());
        share_from_owners(sums.topology, sums.ownership, sums.store.weights(), sums.store.memory());
    }
    return {sums.store.weights().begin(), sums.store.weights().end()};
}

TEST(Optimizer, UpdateDoesNotDependOnWhoOwnsWhat) {
    for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
        const Communicator alone = world().split(world().rank(), 0);
        const std::vector<float> expected = updated_by(alone, 0, kind);
        for (const int per_node : {0, 1, 2})
            EXPECT_EQ(updated_by(world(), per_node, kind), expected);
    }
}

TEST(Optimizer, MomentsExistForOwnedBlocksOnly) {
    const ParameterTable table(GptConfig{});
    OptimizerConfig config;
    const Optimizer none(config, table, {3, 3});
    Optimizer some(config, table, {0, 2});
    EXPECT_EQ(none.moments(), 2);
    const auto elements =
        static_cast<std::size_t>(table.blocks()[0].count + table.blocks()[1].count);
    EXPECT_EQ(some.moment(0).size(), elements);
    EXPECT_EQ(some.moment(1).size(), elements);
    config.kind = OptimizerKind::sgd;
    Optimizer sgd(config, table, {0, 2});
    EXPECT_EQ(sgd.moments(), 0);
    EXPECT_TRUE(sgd.moment(0).empty());
}

TEST(Schedule, WarmUpThenConstantLinearOrCosine) {
    ScheduleConfig config{.lr = 0.8, .min_lr = 0.2, .warmup_iters = 4, .train_iters = 14};
    for (const LrDecay decay : {LrDecay::constant, LrDecay::linear, LrDecay::cosine}) {
        config.decay = decay;
        for (const auto& [step, lr] : {std::pair{0, 0.2}, {1, 0.4}, {2, 0.6}, {3, 0.8}, {4, 0.8}})
            EXPECT_DOUBLE_EQ(learning_rate(config, step), lr) << step;
        const double end = decay == LrDecay::constant ? 0.8 : 0.2;
        EXPECT_DOUBLE_EQ(learning_rate(config, 14), end);
        EXPECT_DOUBLE_EQ(learning_rate(config, 1'000'000), end);
        for (int step = 4; step < 14; ++step)
            EXPECT_LE(learning_rate(config, step + 1), learning_rate(config, step));
    }
    config.decay = LrDecay::linear;
    EXPECT_DOUBLE_EQ(learning_rate(config, 9), 0.5);
    EXPECT_DOUBLE_EQ(learning_rate(config, 13), 0.26);
    config.decay = LrDecay::cosine;
    EXPECT_DOUBLE_EQ(learning_rate(config, 9), 0.5);
    EXPECT_NEAR(learning_rate(config, 5), 0.2 + 0.3 * (1 + std::cos(std::acos(-1.0) / 10)), 1e-15);
    // Without warm-up, and with nothing but warm-up.
    config.warmup_iters = 0;
    EXPECT_DOUBLE_EQ(learning_rate(config, 0), 0.8);
    config.warmup_iters = config.train_iters;
    EXPECT_DOUBLE_EQ(learning_rate(config, 13), 0.8);
    EXPECT_DOUBLE_EQ(learning_rate(config, 14), 0.8);
}

TEST(Schedule, RecordedRatesAreReproduced) {
    // Three steps of warm-up, then a cosine to a tenth.
    const Recorded recorded("adamw");
    ASSERT_EQ(recorded.base_lr, 0.01);
    const ScheduleConfig config{.lr = 0.01, .min_lr = 0.001, .warmup_iters = 3, .train_iters = 10};
    // The record's cosine is counted from the last step of the warm-up, ours from the one after.
    for (std::int64_t step = 0; step < 10; ++step)
        EXPECT_NEAR(learning_rate(config, step < 3 ? step : step + 1) /
                        recorded.lr[static_cast<std::size_t>(step)],
                    1.0, 1e-12)
            << step;
}

TEST(Validation, ReportsAllProblemsAtOnce) {
    EXPECT_TRUE(OptimizerConfig{}.validate().empty());
    EXPECT_TRUE(ScheduleConfig{}.validate().empty());
    OptimizerConfig optimizer;
    optimizer.weight_decay = -1;
    optimizer.clip_grad = NAN;
    optimizer.adam_beta1 = 1.0;
    optimizer.adam_beta2 = -0.1;
    optimizer.adam_eps = 0.0;
    ScheduleConfig schedule{.lr = INFINITY, .min_lr = -1, .warmup_iters = -1, .train_iters = 0};
    const auto named = [](const std::vector<std::string>& problems, const char* option) {
        return std::any_of(problems.begin(), problems.end(), [&](const std::string& problem) {
            return problem.find(option) != std::string::npos;
        });
    };
    const auto wrong = optimizer.validate();
    for (const char* option :
         {"--weight-decay", "--clip-grad", "--adam-beta1", "--adam-beta2", "--adam-eps"})
        EXPECT_TRUE(named(wrong, option)) << option;
    const auto bad = schedule.validate();
    for (const char* option : {"--lr ", "--min-lr", "--train-iters", "--lr-warmup-iters"})
        EXPECT_TRUE(named(bad, option)) << option;
    schedule = {.lr = 0.1, .min_lr = 0.2, .warmup_iters = 20, .train_iters = 10};
    EXPECT_EQ(schedule.validate().size(), 2u);
}

}  // namespace
}  // namespace evengrad
