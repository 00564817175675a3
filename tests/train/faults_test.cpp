// Faults planted by hooks: each is noticed, by all ranks alike, with a message that says where.
#include "train/tiny_run.hpp"

namespace evengrad {
namespace {

using namespace test;

class Faults : public testing::Test {
  protected:
    Dataset data_{uneven_documents(60, 60)};
    TrainConfig config_ = tiny_config(8);

    /// On every layout: `good` steps that work, then one that must throw. The message, the same on
    /// all ranks (computed on rank ...: cut off) and layouts.
    std::string message(const TestHooks& hooks, std::int64_t good) {
        std::string first;
        for (const Layout& layout : layouts()) {
            config_.ranks_per_node = layout.ranks_per_node;
            const std::string text = on_ranks(layout.ranks, [&](const Communicator& ranks) {
                Trainer trainer(ranks, config_, &data_, hooks);
                for (std::int64_t i = 0; i < good; ++i) trainer.step();
                std::string what = error_of([&] { trainer.step(); });
                EXPECT_EQ(trainer.steps_done(), good) << "a step that failed was counted";
                const std::size_t who = what.find("computed on rank ");
                if (who != std::string::npos) what.erase(who + 17, what.find(';', who) - who - 17);
                return what;
            });
            if (first.empty()) first = text;
            EXPECT_EQ(text, first) << name(layout);
        }
        return first;
    }
};

TEST_F(Faults, AMisfitOfTheQuantumIsComputedAgainAlikeOnAllLayouts) {
    TestHooks hooks;
    hooks.misfit_at_step = 4;
    std::string first;
    for (const Layout& layout : layouts()) {
        config_.ranks_per_node = layout.ranks_per_node;
        const std::string bits = on_ranks(layout.ranks, [&](const Communicator& ranks) {
            Trainer trainer(ranks, config_, &data_, hooks);
            const RunResult result = run_steps(trainer, 8);
            for (const StepRecord& record : result.records)
                EXPECT_EQ(record.recomputed, record.step == 1 || record.step == 4)
                    << "step " << record.step;
            return result.bits;
        });
        if (first.empty()) first = bits;
        EXPECT_EQ(bits, first) << name(layout);
    }
}

TEST_F(Faults, StatisticsOfAStepThatWasComputedTwiceCountItOnce) {
    config_.stats_interval = 1;
    std::vector<std::string> bits;
    for (const std::int64_t misfit_at : {0, 4}) {
        TestHooks hooks;
        hooks.misfit_at_step = misfit_at;
        bits.push_back(on_ranks(world().size(), [&](const Communicator& ranks) {
            Trainer trainer(ranks, config_, &data_, hooks);
            Digest digest;
            for (const StepRecord& record : run_steps(trainer, 4).records) {
                EXPECT_EQ(record.recomputed, record.step == 1 || record.step == misfit_at);
                digest.add_bytes(std::as_bytes(std::span(record.statistics->layers)));
            }
            return digest.hex();
        }));
    }
    EXPECT_EQ(bits[0], bits[1]);
}

TEST_F(Faults, ASecondMisfitIsAnError) {
    TestHooks hooks;
    hooks.misfit_at_step = 3;
    hooks.misfit_twice = true;
    const std::string text = message(hooks, 2);
    EXPECT_NE(text.find("step 3"), std::string::npos) << text;
    EXPECT_NE(text.find("quantum"), std::string::npos) << text;
}

TEST_F(Faults, ANaNIsReportedWithTensorStepMicroBatchAndDocuments) {
    TestHooks hooks;
    hooks.nan_at_step = 2;
    hooks.nan_micro_batch = 5;
    hooks.nan_tensor = "blocks.1.mlp.fc.weight";
    const std::string text = message(hooks, 1);
    for (const char* part : {"step 2:", "blocks.1.mlp.fc.weight", "micro-batch 5"})
        EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;

    // Exactly the documents of that micro-batch.
    config_.plan.seed = PlanConfig{}.seed;
    const Planner planner(data_, config_.plan);
    const StepPlan plan = planner.plan(1);
    std::string documents;
    for (const std::int64_t id : plan.micro_batch(5).sequence_ids)
        documents += (documents.empty() ? "" : ", ") +
                     data_.part(0).describe(planner.sequences()[id].document);
    EXPECT_NE(text.find("documents: " + documents + ")"), std::string::npos)
        << documents << " is not in: " << text;
}

TEST_F(Faults, ANaNInTheFirstStepIsNotTakenForAMissingQuantum) {
    TestHooks hooks;
    hooks.nan_at_step = 1;
    hooks.nan_micro_batch = 2;
    hooks.nan_tensor = "wte.weight";
    EXPECT_NE(message(hooks, 0).find("wte.weight"), std::string::npos);
}

TEST_F(Faults, AFlippedBitInASumIsFoundByTheChecksum) {
    TestHooks hooks;
    hooks.sums = [](std::int64_t step, int rank, std::span<std::uint64_t> sums) {
        if (step == 3 && rank == 0) sums[0] ^= std::uint64_t{1} << 33;
    };
    const std::string text = message(hooks, 2);
    EXPECT_NE(text.find("step 3"), std::string::npos) << text;
    EXPECT_NE(text.find("checksum"), std::string::npos) << text;
}

TEST_F(Faults, R19ALostLedgerRowIsAnError) {
    TestHooks hooks;
    hooks.lose_row_at_step = 3;
    const std::string text = message(hooks, 2);
    EXPECT_NE(text.find("step 3"), std::string::npos) << text;
    EXPECT_NE(text.find("micro-batch 0"), std::string::npos) << text;
}

TEST_F(Faults, ABadConfigurationIsReportedAsAWhole) {
    config_.model.gpt().num_attention_heads = 5;
    config_.plan.global_batch_size = 0;
    config_.optimizer.adam_beta2 = 1.0;
    config_.schedule.lr = -1.0;
    config_.ranks_per_node = -1;
    const std::string text = error_of([&] { Trainer(world(), config_, &data_); });
    for (const char* option : {"--num-attention-heads", "--global-batch-size", "--adam-beta2",
                               "--lr", "--ranks-per-node"})
        EXPECT_NE(text.find(option), std::string::npos) << option << " is not in: " << text;
}

}  // namespace
}  // namespace evengrad
