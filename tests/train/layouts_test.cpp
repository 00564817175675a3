// The promise: the same bits on any layout. All layouts run inside one mpirun, on the first ranks.
#include <algorithm>
#include <set>

#include "train/tiny_run.hpp"

namespace evengrad {
namespace {

using namespace test;

constexpr std::int64_t steps = 20;

/// Runs `config` on every layout, and expects the bits of the first of them.
void expect_one_result(TrainConfig config, const Dataset& data, const TestHooks& hooks = {},
                       std::int64_t count = steps) {
    std::string expected;
    for (const Layout& layout : layouts()) {
        config.ranks_per_node = layout.ranks_per_node;
        const std::string bits = on_ranks(layout.ranks, [&](const Communicator& ranks) {
            Trainer trainer(ranks, config, &data, hooks);
            return run_steps(trainer, count).bits;
        });
        if (expected.empty()) expected = bits;
        EXPECT_EQ(bits, expected) << name(layout);
    }
}

TEST(Layouts, R2R3OneDigestForAllAndTheLedgerShowsWhoComputed) {
    const Dataset data{uneven_documents(150, 90, 7)};
    TrainConfig config = tiny_config(steps);
    config.model.gpt().hidden_size = 64;
    std::string expected;
    std::set<std::string> assignments;
    for (const Layout& layout : layouts()) {
        config.ranks_per_node = layout.ranks_per_node;
        std::string who;
        const std::string bits = on_ranks(layout.ranks, [&](const Communicator& ranks) {
            Trainer trainer(ranks, config, &data);
            const RunResult result = run_steps(trainer, steps);
            std::set<std::int64_t> computed;
            for (const auto& step : result.who) {
                for (const std::int64_t rank : step) who += fmt::format("{} ", rank);
                computed.insert(step.begin(), step.end());
            }
            // Where ranks outnumber cores, a rank may miss many steps as short as these.
            for (int more = 0; std::ssize(computed) < ranks.size() && more < 500; ++more) {
                trainer.step();
                for (const LedgerEntry& entry : trainer.ledger()) computed.insert(entry.rank);
            }
            EXPECT_EQ(std::ssize(computed), ranks.size())
                << "a rank of " << name(layout) << " never computed anything";
            return result.bits;
        });
        if (expected.empty()) expected = bits;
        EXPECT_EQ(bits, expected) << name(layout);
        if (world().rank() != 0 || layout.ranks_per_node != 0) continue;
        EXPECT_TRUE(assignments.insert(who).second)
            << name(layout) << " computed the same things on the same ranks as fewer ranks did";
    }
    // It has learned something, so the digests are not those of a model that stands still.
    EXPECT_NE(expected.find("20: loss"), std::string::npos);
}

TEST(Layouts, OrderOfTheWorkDoesNotMatter) {
    const Dataset data{uneven_documents(150, 90, 7)};
    const TrainConfig config = tiny_config(steps);
    const std::string plain = on_ranks(world().size(), [&](const Communicator& ranks) {
        Trainer trainer(ranks, config, &data);
        return run_steps(trainer, steps).bits;
    });
    TestHooks reversed, shuffled;
    int times = 0;
    reversed.order = [&](std::vector<std::int64_t>& order) {
        std::reverse(order.begin(), order.end());
        ++times;
    };
    shuffled.order = [&](std::vector<std::int64_t>& order) {
        std::shuffle(order.begin(), order.end(), std::mt19937(static_cast<unsigned>(order.size())));
        ++times;
    };
    for (const TestHooks& hooks : {reversed, shuffled}) {
        const std::string bits = on_ranks(world().size(), [&](const Communicator& ranks) {
            Trainer trainer(ranks, config, &data, hooks);
            return run_steps(trainer, steps).bits;
        });
        EXPECT_EQ(bits, plain);
    }
    EXPECT_EQ(times, 2 * steps);
}

TEST(Layouts, R8MoreRanksThanMicroBatches) {
    const Dataset data{uneven_documents(60, 60, 7)};
    TrainConfig config = tiny_config(steps);
    config.plan.global_batch_size = 8;
    config.plan.micro_batch_size = 8;  // one micro-batch a step: all other ranks have nothing
    expect_one_result(config, data);
}

TEST(Layouts, MicroBatchesByTokens) {
    const Dataset data{uneven_documents(150, 90, 7)};
    TrainConfig config = tiny_config(steps);
    config.plan.micro_batch_tokens = 60;  // some sequences exceed it and go alone
    expect_one_result(config, data, {}, 6);
}

TEST(Layouts, R10MoreRanksThanDataOverSeveralEpochs) {
    const Dataset data{uneven_documents(2, 40)};
    TrainConfig config = tiny_config(steps);
    config.plan.micro_batch_size = 1;
    expect_one_result(config, data);

    // An epoch has every document once, also where the batches don't divide it (R4).
    const Documents documents = uneven_documents(7, 60);
    const Dataset seven(documents);
    config.plan.global_batch_size = 3;
    expect_one_result(config, seven, {}, 9);
    const auto in_data = std::count(documents.weights.begin(), documents.weights.end(), 1.0f);
    on_ranks(world().size(), [&](const Communicator& ranks) {
        Trainer trainer(ranks, config, &seven);
        const RunResult result = run_steps(trainer, 9);
        for (std::size_t epoch = 0; epoch < 3; ++epoch) {
            std::int64_t tokens = 0;
            for (std::size_t i = 3 * epoch; i < 3 * epoch + 3; ++i) {
                EXPECT_EQ(result.records[i].epoch, static_cast<std::int64_t>(epoch));
                EXPECT_EQ(result.records[i].sequences, i % 3 == 2 ? 1 : 3);
                tokens += result.records[i].loss_tokens;
            }
            EXPECT_EQ(tokens, in_data);
        }
        return result.bits;
    });
}

TEST(Layouts, R7R9StepsWithoutAnyLossTokenAreCountedAndChangeNothing) {
    Documents documents = uneven_documents(3, 40);
    const auto second = static_cast<std::ptrdiff_t>(documents.offsets[1]);
    std::fill(documents.weights.begin() + second, documents.weights.end(), 0.0f);
    const Dataset data(std::move(documents));
    TrainConfig config = tiny_config(9);
    config.plan.global_batch_size = 1;
    expect_one_result(config, data, {}, 9);
    on_ranks(world().size(), [&](const Communicator& ranks) {
        Trainer trainer(ranks, config, &data);
        int updates = 0;
        for (std::int64_t step = 1; step <= 9; ++step) {
            const std::vector<float> before(trainer.weights().begin(), trainer.weights().end());
            ranks.barrier();
            const StepRecord record = trainer.step();
            const bool same = std::equal(before.begin(), before.end(), trainer.weights().begin());
            ranks.barrier();
            EXPECT_EQ(record.step, step);
            EXPECT_EQ(trainer.steps_done(), step);
            EXPECT_EQ(record.loss.has_value(), record.loss_tokens > 0);
            EXPECT_EQ(same, record.loss_tokens == 0) << "step " << step;
            EXPECT_TRUE(std::isfinite(record.grad_norm));
            updates += record.loss_tokens > 0;
        }
        EXPECT_EQ(updates, 3);  // one document in three, three epochs
        return trainer.digest();
    });
}

TEST(Layouts, R18AnEvaluationBetweenStepsChangesNothing) {
    const Dataset data{uneven_documents(60, 60)}, held_out{uneven_documents(11, 70)};
    const TrainConfig config = tiny_config(6);
    std::vector<std::string> results, losses;
    for (const Layout& layout : layouts()) {
        TrainConfig spread = config;
        spread.ranks_per_node = layout.ranks_per_node;
        losses.push_back(on_ranks(layout.ranks, [&](const Communicator& ranks) {
            Trainer trainer(ranks, spread, &data);
            std::string text;
            for (int i = 0; i < 3; ++i) {
                run_steps(trainer, 2);
                const Evaluation evaluation = trainer.evaluate(&held_out);
                text += fmt::format("{:016x} {} ",
                                    std::bit_cast<std::uint64_t>(*evaluation.total.loss()),
                                    evaluation.total.loss_tokens);
            }
            return text + trainer.digest();
        }));
        EXPECT_EQ(losses.back(), losses.front()) << name(layout);
    }
    const std::string without = on_ranks(world().size(), [&](const Communicator& ranks) {
        Trainer trainer(ranks, config, &data);
        run_steps(trainer, 6);
        return trainer.digest();
    });
    EXPECT_EQ(losses.front().substr(losses.front().rfind(' ') + 1), without);
}

TEST(Layouts, StatisticsChangeNothingAndAreOnlyThereWhenAskedFor) {
    const Dataset data{uneven_documents(60, 60)};
    TrainConfig config = tiny_config(4);
    std::set<std::string> digests;
    for (const std::int64_t interval : {0, 1, 3}) {
        config.stats_interval = interval;
        digests.insert(on_ranks(world().size(), [&](const Communicator& ranks) {
            Trainer trainer(ranks, config, &data);
            for (const StepRecord& record : run_steps(trainer, 4).records)
                EXPECT_EQ(record.statistics.has_value(),
                          interval == 1 || (interval == 3 && record.step % 2 == 1))
                    << "step " << record.step;
            return trainer.digest();
        }));
    }
    EXPECT_EQ(digests.size(), 1u);
}

TEST(Layouts, InitialWeightsOfEachKindAreTheSame) {
    std::set<std::string> digests;
    for (const InitScheme scheme :
         {InitScheme::uniform, InitScheme::truncated_normal, InitScheme::orthogonal}) {
        TrainConfig config = tiny_config(3);
        config.model.init().scheme = scheme;
        std::string expected;
        for (const Layout& layout : layouts()) {
            config.ranks_per_node = layout.ranks_per_node;
            const std::string digest = on_ranks(layout.ranks, [&](const Communicator& ranks) {
                return Trainer(ranks, config, nullptr).digest();
            });
            if (expected.empty()) expected = digest;
            EXPECT_EQ(digest, expected) << name(layout) << ", " << describe(config.model.init());
        }
        digests.insert(expected);
    }
    EXPECT_EQ(digests.size(), 3u);
}

TEST(Layouts, AnotherSeedOrDropoutGivesAnotherDigest) {
    const Dataset data{uneven_documents(60, 60)};
    std::set<std::string> digests;
    for (int variant = 0; variant < 3; ++variant) {
        TrainConfig config = tiny_config(3);
        if (variant == 1) config.seed = 5;
        if (variant == 2) config.model.gpt().dropout = 0.2;
        digests.insert(on_ranks(world().size(), [&](const Communicator& ranks) {
            Trainer trainer(ranks, config, &data);
            return run_steps(trainer, 3).bits;
        }));
    }
    EXPECT_EQ(digests.size(), 3u);
}

}  // namespace
}  // namespace evengrad
