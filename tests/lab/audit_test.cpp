// Whole audits: what they measure against what runs do, and the same on every layout.
#include "lab/audit.hpp"

#include <nlohmann/json.hpp>

#include "hdf5/nexus.hpp"
#include "hdf5/publish.hpp"
#include "hdf5/scratch_folder.hpp"
#include "report/audit_report.hpp"
#include "train/sums_of_ranks.hpp"
#include "train/tiny_run.hpp"
#include "train/work.hpp"

namespace evengrad {
namespace {

using namespace test;
using Json = nlohmann::json;

AuditConfig tiny_audit() {
    AuditConfig config;
    config.train = tiny_config(10);
    config.batches = 2;
    return config;
}

const Weighed& find(const Cut& cut, const std::string& name) {
    for (const Weighed& weighed : cut.weighed)
        if (weighed.name == name) return weighed;
    throw Error("no " + name);
}

Audit audit(const Communicator& world, const AuditConfig& config, const Dataset& data,
            const Dataset* valid = nullptr) {
    const bool root = world.rank() == 0;
    return run_audit(world, config, root ? &data : nullptr, root ? valid : nullptr, {});
}

TEST(Audit, R1MeasuresWhatRunsWithTheReductionsDo) {
    const Dataset data(uneven_documents(101, 150, 5));
    const AuditConfig config = tiny_audit();  // with dropout
    const Audit found = audit(world(), config, data);
    // The gradient of a run with the reduction, from the token mean's own.
    const auto gradient = [&](const std::string& reduction, std::int64_t step) {
        TrainConfig train = config.train;
        train.plan.reduction = LossReduction::parse(reduction);
        Trainer trainer(world(), train, world().rank() == 0 ? &data : nullptr);
        return gradient_of_step(trainer, step);
    };
    for (const char* reduction :
         {"token-mean", "sequence-mean", "sum", "constant:96", "micro-batch-mean", "rank-mean:4"})
        for (const std::int64_t step : {0, 1}) {
            const StepGradient exact = gradient("token-mean", step),
                               other = gradient(reduction, step);
            if (world().rank() != 0) continue;
            const AuditedBatch& batch = found.batches[static_cast<std::size_t>(step)];
            const Weighed& weighed = find(batch.cuts[found.main_cut], reduction);
            const std::vector<double> reference(exact.values.begin(), exact.values.end());
            const Deviation expected = deviation<float>(other.values, 1.0, reference, 1.0);
            EXPECT_NEAR(weighed.gradient.error, expected.error, 1e-6 * (1 + expected.error))
                << reduction;
            EXPECT_NEAR(weighed.gradient.cosine, expected.cosine, 1e-6) << reduction;
            EXPECT_NEAR(weighed.gradient.norm_ratio / expected.norm_ratio, 1.0, 1e-6) << reduction;
            EXPECT_NEAR(weighed.loss / *other.loss, 1.0, 1e-6) << reduction;
            EXPECT_NEAR(weighed.loss_shift, *other.loss - *exact.loss, 1e-5 * *other.loss);
        }
    if (world().rank() != 0) {
        EXPECT_TRUE(found.batches.empty());
        return;
    }
    EXPECT_GT(find(found.mean.cuts[found.main_cut], "micro-batch-mean").gradient.error, 1e-2);
    EXPECT_GT(find(found.mean.cuts[found.main_cut], "micro-batch-mean").weight_ratio, 2.0);
    EXPECT_FALSE(found.is_even());
}

TEST(Audit, ProductionIsExactUnderEveryReductionAndCut) {
    const Dataset data(uneven_documents(101, 150, 5));
    for (const char* reduction : {"token-mean", "micro-batch-mean", "sequence-mean", "sum"})
        for (const std::int64_t tokens : {0, 200}) {
            AuditConfig config = tiny_audit();
            config.train.plan.reduction = LossReduction::parse(reduction);
            config.train.plan.micro_batch_tokens = tokens;
            config.reductions = {LossReduction::parse("micro-batch-mean")};
            const Audit found = audit(world(), config, data);
            if (world().rank() != 0) continue;
            for (const AuditedBatch& batch : found.batches) {
                EXPECT_LT(batch.production.gradient.error, 1e-6) << reduction << tokens;
                EXPECT_GT(batch.production.gradient.error, 1e-9) << "nothing was compared";
                EXPECT_LT(std::abs(batch.production.loss_error), 1e-6) << reduction << tokens;
                EXPECT_EQ(batch.packed.has_value(), tokens > 0);
            }
        }
}

TEST(Audit, CutsGoFromOneMicroBatchToSingleSequences) {
    const Dataset data(uneven_documents(101, 150, 5));
    AuditConfig config = tiny_audit();
    config.train.plan.micro_batch_size = 5;
    const Audit found = audit(world(), config, data);
    if (world().rank() != 0) return;
    const std::vector<Cut>& cuts = found.mean.cuts;
    std::vector<std::int64_t> counts, sizes;
    for (const Cut& cut : cuts) {
        counts.push_back(cut.micro_batches);
        sizes.push_back(cut.micro_batch_size);
    }
    EXPECT_EQ(sizes, (std::vector<std::int64_t>{24, 12, 6, 5, 3, 2, 1}));
    EXPECT_EQ(counts, (std::vector<std::int64_t>{1, 2, 4, 5, 8, 12, 24}));
    EXPECT_EQ(found.main_cut, 3u);
    // One micro-batch: nothing to average. Single sequences: the mean over sequences.
    EXPECT_LT(find(cuts.front(), "micro-batch-mean").gradient.error, 1e-6);
    EXPECT_EQ(find(cuts.back(), "micro-batch-mean").gradient.error,
              find(cuts.back(), "sequence-mean").gradient.error);
    EXPECT_GT(find(cuts.back(), "micro-batch-mean").gradient.error,
              2 * find(cuts[1], "micro-batch-mean").gradient.error);
    // Longer completions are more uneven; the last is the batch as it is.
    const std::vector<Shortened>& shortened = found.mean.shortened;
    ASSERT_GE(shortened.size(), 3u);
    EXPECT_EQ(shortened.back().most, 0);
    for (std::size_t i = 1; i < shortened.size(); ++i)
        EXPECT_GT(shortened[i].unevenness.variation, shortened[i - 1].unevenness.variation);
    EXPECT_EQ(find(shortened.back().cut, "micro-batch-mean").gradient.error,
              find(cuts[3], "micro-batch-mean").gradient.error);
    EXPECT_LT(find(shortened.front().cut, "sequence-mean").weight_ratio,
              find(shortened.back().cut, "sequence-mean").weight_ratio);
}

TEST(Audit, TrainingEachIsWhatTrainersDo) {
    const Dataset data(uneven_documents(101, 150, 5)), valid(uneven_documents(30, 90, 0));
    AuditConfig config = tiny_audit();
    config.batches = 1;
    config.train_iters = 3;
    config.train.plan.micro_batch_tokens = 300;  // but each is trained on fixed counts
    config.reductions = {LossReduction::parse("micro-batch-mean")};
    const Audit found = audit(world(), config, data, &valid);
    std::vector<double> losses;
    for (const auto& [reduction, seed] :
         {std::pair{"token-mean", 0}, {"micro-batch-mean", 0}, {"token-mean", 1}}) {
        TrainConfig train = config.train;
        train.plan.reduction = LossReduction::parse(reduction);
        train.plan.micro_batch_tokens = 0;
        train.schedule.train_iters = 3;
        train.seed += static_cast<std::uint64_t>(seed);
        Trainer trainer(world(), train, world().rank() == 0 ? &data : nullptr);
        for (int i = 0; i < 3; ++i) trainer.step();
        losses.push_back(*trainer.evaluate(world().rank() == 0 ? &valid : nullptr).total.loss());
    }
    ASSERT_EQ(found.trained.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i)
        EXPECT_EQ(found.trained[i].evaluation.total.loss(), losses[i]) << i;
    EXPECT_NE(losses[0], losses[1]);
    EXPECT_NE(losses[0], losses[2]);
}

TEST(Audit, EvenDataHaveNothingToSee) {
    Documents documents;
    documents.source = "even";
    for (int d = 0; d < 48; ++d) {
        for (int i = 0; i < 9; ++i) {
            documents.tokens.push_back(i % 8 == 0 ? TokenizerSpec().end_of_text : 97 + (d + i) % 7);
            documents.weights.push_back(i > 0 ? 1.0f : 0.0f);
        }
        documents.offsets.push_back(std::ssize(documents.tokens));
        documents.lines.push_back(d + 1);
    }
    const Dataset data(documents);
    AuditConfig config = tiny_audit();
    // 12 micro-batches are 3 for each of 4 ranks; of 8 some ranks of 3 get fewer.
    for (const auto& [size, text] : {std::pair{2, "there is nothing to see: audit"},
                                     {3, "nothing to see but that rank-mean:3 lets"}}) {
        config.train.plan.micro_batch_size = size;
        if (size == 3) config.reductions = {LossReduction::parse("rank-mean:3")};
        const Audit found = audit(world(), config, data);
        if (world().rank() != 0) continue;
        EXPECT_TRUE(found.is_even());
        EXPECT_EQ(found.mean.shortened.size(), 1u);
        const AuditReport report{found, config, data};
        EXPECT_TRUE(contains(audit_tables(report), {"same number of loss tokens (8)", text}));
    }
}

TEST(Audit, BatchesWithoutLossAreCountedAndAllOfThemAreAnError) {
    const Dataset data(without_loss_in_first_step(uneven_documents(48, 90, 0)));
    AuditConfig config = tiny_audit();
    const Audit found = audit(world(), config, data);
    EXPECT_EQ(found.batches_without_loss, 1);
    if (world().rank() == 0) {
        EXPECT_EQ(found.batches.size(), 1u);
        EXPECT_EQ(found.batches.front().step, 2);
    }
    if (world().size() > 1) return;  // rank 0 alone finds it, and would leave the others waiting
    config.batches = 1;
    EXPECT_NE(error_of([&] { audit(world(), config, data); }).find("no token carries a loss"),
              std::string::npos);
}

TEST(Audit, IsTheSameOnEveryLayoutAsJson) {
    const Dataset data(uneven_documents(101, 150, 5)), valid(uneven_documents(30, 90, 0));
    AuditConfig config = tiny_audit();
    config.train_iters = 2;
    config.train.plan.micro_batch_tokens = 300;
    std::string first;
    for (const Layout& layout : layouts()) {
        config.train.ranks_per_node = layout.ranks_per_node;
        const std::string json = on_ranks(layout.ranks, [&](const Communicator& part) {
            const Audit found = audit(part, config, data, &valid);
            std::string text;
            if (part.rank() == 0) text = audit_json({found, config, data});
            part.broadcast(text, 0);
            return text;
        });
        if (first.empty()) first = json;
        EXPECT_EQ(json, first) << name(layout);
    }
    const Json json = Json::parse(first);
    EXPECT_EQ(json.at("schema"), "evengrad-audit");
    EXPECT_EQ(json.at("batches").size(), 2u);
    EXPECT_EQ(json.at("batches").at(1).at("step"), 2);
    EXPECT_TRUE(json.at("checkpoint").is_null());
    const Json& mean = json.at("mean");
    EXPECT_LT(mean.at("production").at("error").get<double>(), 1e-6);
    EXPECT_EQ(mean.at("by_accumulation").at(0).at("micro_batches"), 1);
    const Json& weighed = mean.at("by_accumulation").at(1).at("weighed");
    std::vector<std::string> names;
    for (const Json& one : weighed) {
        names.push_back(one.at("name"));
        for (const char* key :
             {"error", "cosine", "norm_ratio", "loss", "loss_shift", "weight_ratio"})
            EXPECT_TRUE(one.at(key).is_number()) << key;
    }
    EXPECT_EQ(names, (std::vector<std::string>{"token-mean", "sequence-mean", "sum", "constant:96",
                                               "micro-batch-mean", "rank-mean:4", "count-float32",
                                               "count-bf16", "count-bf16-by-token"}));
    EXPECT_TRUE(mean.at("packed").at("micro_batch_size").is_null());
    EXPECT_TRUE(mean.at("by_unevenness").back().at("most_loss_tokens").is_null());
    EXPECT_EQ(json.at("trained").size(), 7u);
    EXPECT_TRUE(json.at("trained").at(6).at("lengths").at(2).at("loss").is_number());
    EXPECT_TRUE(json.at("conclusion").get<std::string>().ends_with("."));
}

TEST(Audit, WritesCurvesThatPlotThemselves) {
    const Communicator alone = world().split(world().rank() == 0 ? 0 : 1, 0);
    if (world().rank() != 0) return;
    const Dataset data(uneven_documents(101, 150, 5)), valid(uneven_documents(30, 90, 0));
    AuditConfig config = tiny_audit();
    config.train_iters = 2;
    config.reductions = {LossReduction::parse("rank-mean:2")};
    const Audit found = audit(alone, config, data, &valid);
    const AuditReport report{found, config, data};
    const ScratchFolder folder;
    hdf5::PublishedFile output(folder / "audit.h5");
    write_audit(report, output.root());
    output.publish();

    const hdf5::File file = hdf5::File::open(folder / "audit.h5");
    const hdf5::Group root = file.root();
    hdf5::check_root(root, "evengrad-audit", 1);
    EXPECT_EQ(root.get<std::string>("default"), "accumulation");
    const auto counts = root.read<std::int64_t>("accumulation/micro_batches", 100);
    const auto errors = root.read<double>("accumulation/error/rank_mean_2", 100);
    ASSERT_EQ(counts.size(), found.mean.cuts.size());
    ASSERT_EQ(errors.size(), counts.size());
    for (std::size_t i = 0; i < counts.size(); ++i) {
        EXPECT_EQ(counts[i], found.mean.cuts[i].micro_batches);
        EXPECT_EQ(errors[i], find(found.mean.cuts[i], "rank-mean:2").gradient.error);
    }
    for (const char* plot : {"accumulation/error", "accumulation/weight_ratio", "unevenness/cosine",
                             "batches/loss_shift", "batches/production", "training/loss"})
        EXPECT_TRUE(root.open_group(plot).has("signal")) << plot;
    EXPECT_EQ(root.read_text("result/data", 1 << 20), audit_json(report));
}

}  // namespace
}  // namespace evengrad
