// Whole sweeps: the same on every layout, what runs by themselves give, and runs that diverge.
#include "lab/sweep.hpp"

#include "data/share_datasets.hpp"
#include "train/tiny_run.hpp"

namespace evengrad {
namespace {

using namespace test;

/// Rows of two classes: a feature says which, the other nothing.
Table rows(int count) {
    Table table;
    table.source = "rows.csv";
    table.feature_names = {"good", "bad"};
    for (int row = 0; row < count; ++row) {
        const int row_class = row % 2;
        table.features.push_back(static_cast<float>(row_class) +
                                 0.01f * static_cast<float>(row % 7));
        table.features.push_back(static_cast<float>(row % 5));
        table.classes.push_back(row_class);
        table.lines.push_back(row + 2);
    }
    return table;
}

SweepPoint point(double lr, std::vector<Index> widths) {
    SweepPoint result;
    MlpConfig mlp;
    mlp.layer_widths = std::move(widths);
    mlp.init.scheme = InitScheme::xavier;
    result.train.model = mlp;
    result.train.plan.global_batch_size = 12;
    result.train.plan.micro_batch_size = 3;
    result.train.schedule.train_iters = 24;
    result.train.schedule.lr = lr;
    result.train.optimizer.kind = OptimizerKind::sgd;
    result.train.optimizer.clip_grad = 0.0;
    result.train.stats_interval = 4;
    result.input_normalization = FeatureScalingKind::standardize;
    return result;
}

/// Learning rate (of which one overflows) x depth, from two seeds.
SweepConfig small_sweep() {
    SweepConfig config;
    config.grid = {{"lr", {"0.5", "1e6"}}, {"depth", {"1", "3"}}};
    for (const double lr : {0.5, 1e6})
        for (const int depth : {1, 3}) {
            std::vector<Index> widths(static_cast<std::size_t>(depth) + 2, 6);
            widths.front() = widths.back() = 2;
            SweepPoint one = point(lr, widths);
            one.train.optimizer.weight_decay = 0.01;  // grows, at that rate
            config.points.push_back(one);
        }
    config.first_seed = 3;
    config.seeds = 2;
    config.eval_interval = 2;
    config.target_accuracy = 0.9;
    return config;
}

std::pair<Dataset, Dataset> small_data() {
    return Dataset(rows(80)).split_tail(0.25);
}

Sweep sweep(const Communicator& ranks, const SweepConfig& config) {
    const auto [data, valid] = small_data();
    const bool root = ranks.rank() == 0;
    return run_sweep(ranks, config, root ? &data : nullptr, root ? &valid : nullptr, {});
}

std::string bits_of(const Sweep& cells) {
    Digest digest;
    digest.add_bytes(std::as_bytes(std::span(cells)));
    return digest.hex();
}

TEST(Sweep, IsTheSameOnEveryNumberOfRanksAndGroups) {
    SweepConfig config = small_sweep();
    std::string first;
    for (int ranks = 1; ranks <= world().size(); ++ranks)
        for (int per_cell = 1; per_cell <= ranks; ++per_cell) {
            config.ranks_per_cell = per_cell;
            const std::string bits = on_ranks(
                ranks, [&](const Communicator& part) { return bits_of(sweep(part, config)); });
            if (first.empty()) first = bits;
            EXPECT_EQ(bits, first) << ranks << " ranks, " << per_cell << " a cell";
        }
}

TEST(Sweep, ACellIsWhatARunByItselfIs) {
    const SweepConfig config = small_sweep();
    const Sweep cells = sweep(world(), config);
    const bool root = world().rank() == 0;
    auto [data, valid] = small_data();
    const auto scaling = std::make_shared<const FeatureScaling>(
        FeatureScaling::fit(FeatureScalingKind::standardize, data));
    data = data.scaled(scaling);
    valid = valid.scaled(scaling);
    for (const std::size_t cell : {std::size_t{1}, std::size_t{2}}) {  // of either depth
        TrainConfig train = config.points[cell / 2].train;
        train.seed = 3 + cell % 2;
        Trainer trainer(world(), train, root ? &data : nullptr);
        StepRecord record;
        std::int64_t reached = 0;
        double first_ratio = 0.0, ratio = 0.0;
        EvaluationSums total;
        for (std::int64_t step = 1; step <= 24; ++step) {
            record = trainer.step();
            if (record.statistics) {
                const auto& layers = record.statistics->layers;
                ratio =
                    std::sqrt(layers.front().backward_variance / layers.back().backward_variance);
                if (step == 1) first_ratio = ratio;
            }
            if (step % 2 != 0) continue;
            total = trainer.evaluate(root ? &valid : nullptr).total;
            if (*total.accuracy() >= 0.9 && reached == 0) reached = step;
        }
        EXPECT_EQ(cells[cell].steps, 24);
        EXPECT_EQ(cells[cell].diverged_at, 0);
        EXPECT_EQ(cells[cell].loss, *record.loss);
        EXPECT_EQ(cells[cell].valid_loss, *total.loss());
        EXPECT_EQ(cells[cell].valid_accuracy, *total.accuracy());
        EXPECT_EQ(cells[cell].steps_to_target, reached);
        EXPECT_GT(reached, 0);
        EXPECT_EQ(cells[cell].first_gradient_ratio, first_ratio);
        EXPECT_EQ(cells[cell].last_gradient_ratio, ratio);
        EXPECT_EQ(std::string(cells[cell].digest.begin(), cells[cell].digest.end()),
                  trainer.digest());
    }
}

TEST(Sweep, DivergenceIsAResultAndTheOthersGoOn) {
    const Sweep cells = sweep(world(), small_sweep());
    ASSERT_EQ(cells.size(), 8u);
    for (std::size_t cell = 0; cell < cells.size(); ++cell) {
        const SweepCell& found = cells[cell];
        const bool diverges = cell >= 4;  // lr 1e6
        EXPECT_EQ(found.diverged_at > 0, diverges) << cell;
        EXPECT_EQ(std::isnan(found.loss), diverges);
        EXPECT_EQ(std::isnan(found.valid_accuracy), diverges);
        EXPECT_EQ(found.digest[0] == 0, diverges);
        if (diverges) {
            EXPECT_GT(found.diverged_at, 1);
            // A step that diverges isn't done; one after which evaluation does, is.
            EXPECT_TRUE(found.steps == found.diverged_at - 1 || found.steps == found.diverged_at);
            EXPECT_FALSE(std::isnan(found.first_gradient_ratio));
        }
    }
}

TEST(Sweep, WhatACellCannotTrainOnNamesItBeforeAnythingRuns) {
    SweepConfig config = small_sweep();
    config.points[1].train.model.mlp().layer_widths.front() = 3;
    if (world().rank() != 0) return;  // which finds it before it calls the others
    const std::string message = error_of([&] { sweep(world(), config); });
    EXPECT_NE(message.find("lr=0.5 depth=3 seed=3: "), std::string::npos) << message;
}

TEST(Sweep, AHeldOutLossThatIsNoNumberStopsAllRanks) {
    auto [data, valid] = small_data();
    const bool root = world().rank() == 0;
    // Outputs grow by about 500 a layer, beyond all floats.
    std::vector<Index> widths(26, 32);
    widths.front() = widths.back() = 2;
    TrainConfig train = point(0.1, widths).train;
    train.model.mlp().activation = Activation::identity;
    train.model.init().scheme = InitScheme::normal;
    train.model.init().std = 90.0;
    Trainer trainer(world(), train, root ? &data : nullptr);
    EXPECT_THROW(trainer.evaluate(root ? &valid : nullptr), DivergedError);
    EXPECT_THROW(trainer.step(), DivergedError);
}

TEST(Sweep, NamesItsCells) {
    SweepConfig config = small_sweep();
    EXPECT_EQ(config.cells(), 8);
    EXPECT_EQ(config.name_of(0), "lr=0.5 depth=1 seed=3");
    EXPECT_EQ(config.name_of(3), "lr=0.5 depth=3 seed=4");
    EXPECT_EQ(config.name_of(7), "lr=1e6 depth=3 seed=4");
    EXPECT_EQ(points_of(config.grid, 100), 4);
    EXPECT_EQ(points_of(config.grid, 3), 4);
    const std::vector<SweepDimension> large(64, {"x", std::vector<std::string>(1000, "1")});
    EXPECT_EQ(points_of(large, 4096), 4097);
}

/// Everything that a plan can see of a dataset.
std::string contents_of(const Dataset& data) {
    Digest digest;
    for (const DataPart& part : data.parts()) {
        std::vector<std::int32_t> tokens(static_cast<std::size_t>(part.tokens()));
        std::vector<float> weights(tokens.size());
        part.read(part.begin(), tokens, weights);
        digest.add(std::span<const std::int32_t>(tokens));
        digest.add(std::span<const float>(weights));
        const RowShape shape = part.row_shape();
        std::vector<float> features(static_cast<std::size_t>(shape.features)),
            values(static_cast<std::size_t>(shape.values));
        for (std::int64_t d = 0; shape.features > 0 && d < part.documents(); ++d) {
            part.read_row(d, features, values);
            digest.add(std::span<const float>(features));
            digest.add(std::span<const float>(values));
        }
        digest.add(part.name());
        digest.add(part.documents());
    }
    for (const double share : data.shares()) digest.add(share);
    const TokenizerSpec& spec = data.tokenizer()->spec();
    digest.add(spec.describe());
    return digest.hex() + data.digest();
}

TEST(ShareDatasets, EveryRankHasTheSame) {
    const auto [rows_data, rows_valid] = small_data();
    Table values = rows(9);
    values.classes.clear();
    values.value_names = {"y", "z"};
    for (int i = 0; i < 18; ++i) values.values.push_back(0.5f * static_cast<float>(i));
    values.weights.assign(9, 0.25f);
    const Dataset text(uneven_documents(31, 70, 5));
    const auto [head, tail] = text.split_tail(0.3);
    const Dataset mixed({text.part(0), head.part(0)}, {1.0, 3.0});
    const std::vector<Dataset> all{rows_data, rows_valid, Dataset(values), text, tail, mixed};
    const bool root = world().rank() == 0;
    const auto shared = share_datasets(world(), root ? all : std::vector<Dataset>());
    ASSERT_EQ(shared.size(), all.size());
    for (std::size_t i = 0; i < all.size(); ++i)
        EXPECT_EQ(contents_of(shared[i]), contents_of(all[i])) << i;
    // A file is there once, whatever is made of it.
    EXPECT_EQ(&shared[0].part(0).store(), &shared[1].part(0).store());
    EXPECT_EQ(&shared[3].part(0).store(), &shared[5].part(0).store());
}

}  // namespace
}  // namespace evengrad
