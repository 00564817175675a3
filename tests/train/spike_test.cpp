// Which text did it: a document that pulls the gradient is named, on every layout alike, and its
// update left out on request.
#include <cmath>

#include "base/log.hpp"
#include "train/state.hpp"
#include "train/tiny_run.hpp"

namespace evengrad {
namespace {

using namespace test;

constexpr std::int64_t spiky_steps = 48;  // the first 32 can't be judged
constexpr std::int64_t loud = 411;        // a document that comes after those

/// Documents like each other, but one, whose tokens weigh a hundred times what others do.
Documents with_a_loud_one() {
    Documents data = uneven_documents(600, 40);
    for (auto i = data.offsets[loud]; i < data.offsets[loud + 1]; ++i)
        data.weights[static_cast<std::size_t>(i)] *= 100.0f;
    return data;
}

TrainConfig spiky_config() {
    TrainConfig config = tiny_config(spiky_steps);
    config.plan.global_batch_size = 8;
    config.report_spike = 5.0;
    // Divided by its own weight the document would be as loud as any other.
    config.plan.reduction = LossReduction::parse("constant:20");
    return config;
}

/// The record of the one step with a spike; everything of the others is in `bits`.
struct SpikyRun {
    std::string bits;
    std::vector<StepRecord> spikes;
};

SpikyRun run(Trainer& trainer, std::int64_t count = spiky_steps) {
    SpikyRun result;
    const RunResult all = run_steps(trainer, count);
    result.bits = all.bits;
    for (const StepRecord& record : all.records) {
        if (record.norm_score)
            result.bits += fmt::format("{} {}\n", record.step,
                                       std::bit_cast<std::uint64_t>(*record.norm_score));
        if (record.spike) result.spikes.push_back(record);
    }
    return result;
}

std::int64_t step_with_the_loud_one(const Dataset& data, const TrainConfig& config) {
    PlanConfig plan = config.plan;
    plan.seed = config.seed;
    plan.seq_length = config.model.gpt().seq_length;
    const Planner planner(data, plan);
    for (std::int64_t step = 0; step < spiky_steps; ++step)
        for (const std::int64_t id : planner.plan(step).sequence_ids)
            if (planner.sequences()[id].document == loud) return step + 1;
    return 0;
}

TEST(Spike, TheTextThatDidItIsNamedAlikeOnAllLayouts) {
    const Dataset data{with_a_loud_one()};
    TrainConfig config = spiky_config();
    const std::int64_t when = step_with_the_loud_one(data, config);
    ASSERT_GT(when, 32) << "the test needs another document";
    std::string first;
    for (const Layout& layout : layouts()) {
        config.ranks_per_node = layout.ranks_per_node;
        const std::string bits = on_ranks(layout.ranks, [&](const Communicator& ranks) {
            Trainer trainer(ranks, config, &data);
            const SpikyRun found = run(trainer);
            std::string text = found.bits;
            EXPECT_EQ(found.spikes.size(), 1u);
            for (const StepRecord& record : found.spikes) {
                EXPECT_EQ(record.step, when);
                EXPECT_FALSE(record.skipped);
                EXPECT_GT(*record.norm_score, config.report_spike);
                EXPECT_EQ(record.spike->micro_batch, record.largest.front().micro_batch);
                for (const DocumentShare& share : record.spike->documents)
                    text += fmt::format("{} ", std::bit_cast<std::uint64_t>(share.share));
                if (ranks.rank() != 0) continue;
                const DocumentShare& top = record.spike->documents.front();
                EXPECT_EQ(top.document.document, loud);
                EXPECT_GT(top.share, 0.5);
                EXPECT_NE(top.description.find(fmt::format("line {}", loud + 1)), std::string::npos)
                    << top.description;
                EXPECT_NE(fmt::format("{}", fmt::join(record.largest.front().documents, ", "))
                              .find(fmt::format("line {}", loud + 1)),
                          std::string::npos);
            }
            return text;
        });
        if (first.empty()) first = bits;
        EXPECT_EQ(bits, first) << name(layout);
    }
}

// All documents of a step that is one micro-batch: what they have of the gradient is all of it.
TEST(Spike, SharesOfAllDocumentsAddUpToOne) {
    const Dataset data{with_a_loud_one()};
    TrainConfig config = spiky_config();
    config.plan.micro_batch_size = 8;
    config.plan.reduction = LossReduction::parse("sequence-mean");
    config.report_spike = 1e-9;  // every step that is above the usual at all
    Trainer trainer(world(), config, &data);
    const SpikyRun found = run(trainer);
    ASSERT_FALSE(found.spikes.empty());
    for (const StepRecord& record : found.spikes) {
        double sum = 0.0;
        for (const DocumentShare& share : record.spike->documents) sum += share.share;
        EXPECT_NEAR(sum, 1.0, 1e-5) << "step " << record.step;
        EXPECT_EQ(record.spike->documents.size(), 8u);
    }
}

TEST(Spike, TheUpdateIsLeftOutOnRequestAlikeOnAllLayouts) {
    const Dataset data{with_a_loud_one()};
    TrainConfig config = spiky_config();
    config.report_spike = 0.0;
    const std::int64_t when = step_with_the_loud_one(data, config);
    for (const double threshold : {0.0, 5.0}) {
        config.skip_on_spike = threshold;
        std::string first;
        for (const Layout& layout : layouts()) {
            config.ranks_per_node = layout.ranks_per_node;
            const std::string bits = on_ranks(layout.ranks, [&](const Communicator& ranks) {
                Trainer trainer(ranks, config, &data);
                const RunResult before = run_steps(trainer, when - 1);
                const std::vector<float> weights(trainer.weights().begin(),
                                                 trainer.weights().end());
                const StepRecord record = trainer.step();
                EXPECT_EQ(record.skipped, threshold > 0.0);
                EXPECT_EQ(std::equal(weights.begin(), weights.end(), trainer.weights().begin()),
                          threshold > 0.0);
                EXPECT_EQ(record.clipped_grad_norm == 0.0, threshold > 0.0);
                EXPECT_EQ(trainer.state().updates_done, when - (threshold > 0.0 ? 1 : 0));
                // Nothing of the gradient that was left out is in the next one.
                const RunResult after = run_steps(trainer, spiky_steps - when);
                EXPECT_LT(after.records.front().grad_norm, 0.3 * record.grad_norm);
                return before.bits + after.bits;
            });
            if (first.empty()) first = bits;
            EXPECT_EQ(bits, first) << name(layout);
        }
    }
}

TEST(Spike, TheLargestMicroBatchesAreInEveryRecord) {
    const Dataset data{uneven_documents(60, 60)};
    TrainConfig config = tiny_config(4);
    Trainer trainer(world(), config, &data);
    for (int i = 0; i < 4; ++i) {
        const StepRecord record = trainer.step();
        ASSERT_EQ(record.largest.size(), 3u);
        std::vector<std::pair<double, std::int64_t>> all;
        for (std::size_t k = 0; k < trainer.ledger().size(); ++k)
            all.emplace_back(-trainer.ledger()[k].squared_norm, static_cast<std::int64_t>(k));
        std::sort(all.begin(), all.end());
        double denominator = 0.0;
        for (const LedgerEntry& entry : trainer.ledger()) denominator += entry.weight;
        for (std::size_t n = 0; n < 3; ++n) {
            EXPECT_EQ(record.largest[n].micro_batch, all[n].second);
            EXPECT_DOUBLE_EQ(record.largest[n].norm, std::sqrt(-all[n].first) / denominator);
            EXPECT_EQ(record.largest[n].documents.empty(), world().rank() != 0);
        }
        ASSERT_TRUE(record.gradient_signal.has_value());
        EXPECT_GT(*record.gradient_noise, 0.0);
    }
}

}  // namespace
}  // namespace evengrad
