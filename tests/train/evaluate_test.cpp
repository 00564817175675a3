// Evaluation against double precision, over all layouts, and what its sums mean.
#include <cmath>
#include <numbers>
#include <set>

#include "train/evaluation.hpp"
#include "train/tiny_run.hpp"

namespace evengrad {
namespace {

using namespace test;

std::string bits(double value) {
    return fmt::format("{:016x}", std::bit_cast<std::uint64_t>(value));
}
std::string bits(const EvaluationSums& sums) {
    return fmt::format("{} {} {} {} {}\n", sums.sequences, sums.loss_tokens, bits(sums.weight),
                       bits(sums.nats), bits(sums.bytes));
}
std::string bits(const Evaluation& evaluation) {
    std::string text = bits(evaluation.total);
    for (const EvaluationSums& sums : evaluation.parts) text += "part " + bits(sums);
    for (const EvaluationSums& sums : evaluation.lengths) text += "length " + bits(sums);
    return text;
}

/// Two files of uneven documents; the second has weights that aren't 0 or 1, and a document cut
/// into several sequences.
Dataset held_out() {
    Documents second = uneven_documents(9, 250, 4);
    for (std::size_t i = 0; i < second.weights.size(); ++i)
        second.weights[i] *= i % 3 == 0 ? 0.25f : 2.0f;
    second.source = "second.jsonl";
    const Dataset one(uneven_documents(31, 70, 5)), two(std::move(second));
    return Dataset({one.part(0), two.part(0)}, {1.0, 3.0});
}

EvaluateConfig some(std::int64_t sequences, std::uint64_t seed = 1234) {
    return {SequenceMode::documents, sequences, seed};
}

/// Evaluates weights that are all 0: every logit is 0, every token as likely as any other.
Evaluation evaluate_uniform(const Communicator& ranks, const Dataset& data,
                            const EvaluateConfig& config = {}) {
    GptConfig config_of_model = tiny_config(1).model.gpt();
    config_of_model.vocab_size = TokenizerSpec().vocabulary_size;
    const Topology topology(ranks, 0);
    const ParameterTable table(config_of_model);
    const NodeStore store(topology, table, NodeStore::Holds::weights);
    const auto model = make_model<float>(config_of_model, table);
    return evaluate(topology, store, config_of_model, *model, ranks.rank() == 0 ? &data : nullptr,
                    config);
}

Documents one_document(std::vector<std::int32_t> tokens, std::vector<float> weights) {
    const auto size = static_cast<std::int64_t>(tokens.size());
    return {.source = "one.txt",
            .tokens = std::move(tokens),
            .weights = std::move(weights),
            .offsets = {0, size},
            .lines = {1}};
}

TEST(Evaluate, R15TheTokenMeanWhateverMicroBatchesAndRanks) {
    const Dataset train{uneven_documents(60, 60)}, held = held_out();
    struct Cut {
        std::int64_t size, tokens;
    };
    std::string expected;
    for (const Layout& layout : layouts())
        for (const Cut cut : {Cut{1, 0}, Cut{2, 0}, Cut{24, 0}, Cut{1, 60}}) {
            TrainConfig config = tiny_config(4);
            config.ranks_per_node = layout.ranks_per_node;
            config.plan.micro_batch_size = cut.size;
            config.plan.micro_batch_tokens = cut.tokens;
            const std::string found = on_ranks(layout.ranks, [&](const Communicator& ranks) {
                // Not trained: for other cuts the weights would agree to rounding only.
                Trainer trainer(ranks, config, &train);
                return bits(trainer.evaluate(ranks.rank() == 0 ? &held : nullptr));
            });
            if (expected.empty()) expected = found;
            EXPECT_EQ(found, expected) << name(layout) << ", " << cut.size << ", " << cut.tokens;
        }
}

TEST(Evaluate, R15AgreesWithDoublePrecisionAndNotWithMeansOfMeans) {
    const Dataset train{uneven_documents(60, 60)}, held = held_out();
    on_ranks(world().size(), [&](const Communicator& ranks) {
        Trainer trainer(ranks, tiny_config(4), &train);
        run_steps(trainer, 2);
        const Evaluation evaluation = trainer.evaluate(&held);
        const std::vector<double> weights(trainer.weights().begin(), trainer.weights().end());
        const auto model = make_model<double>(trainer.config().model, trainer.parameters());
        PlanConfig config = trainer.config().plan;
        config.micro_batch_size = 1;
        const Planner planner(held, config);
        EvaluationSums total;
        std::vector<EvaluationSums> parts(2), lengths(evaluation.lengths.size());
        double means = 0.0, with_loss = 0.0;
        for (std::int64_t id = 0; id < planner.sequences().size(); ++id) {
            const StepPlan plan = planner.plan_of({id});
            model->reserve(MicroBatchSize::of(plan.micro_batch(0)), false);
            EvaluationSums sums{1, plan.loss_tokens[0], plan.denominator,
                                model->forward(weights.data(), plan.micro_batch(0)).loss, 0.0};
            total += sums;
            parts[static_cast<std::size_t>(planner.sequences()[id].part)] += sums;
            if (sums.loss_tokens == 0) continue;
            means += *sums.loss();
            with_loss += 1.0;
            std::size_t octave = 0;
            while ((std::int64_t{2} << octave) <= sums.loss_tokens) ++octave;
            if (octave >= lengths.size())
                ADD_FAILURE() << "no bucket for " << sums.loss_tokens;
            else
                lengths[octave] += sums;
        }
        const auto expect_same = [](const EvaluationSums& found, const EvaluationSums& exact) {
            EXPECT_EQ(found.sequences, exact.sequences);
            EXPECT_EQ(found.loss_tokens, exact.loss_tokens);
            EXPECT_EQ(found.weight, exact.weight);
            if (exact.weight > 0.0) {
                EXPECT_NEAR(*found.loss() / *exact.loss(), 1.0, 1e-6);
            }
        };
        expect_same(evaluation.total, total);
        for (std::size_t p = 0; p < 2; ++p) expect_same(evaluation.parts[p], parts[p]);
        for (std::size_t i = 0; i < lengths.size(); ++i)
            expect_same(evaluation.lengths[i], lengths[i]);
        if (ranks.rank() == 0)
            fmt::print("token mean: error {:.1e}; the mean of means is off by {:.1e}\n",
                       std::abs(*evaluation.total.loss() / *total.loss() - 1.0),
                       std::abs(means / with_loss / *total.loss() - 1.0));
        EXPECT_GT(lengths.size(), 5u);
        EXPECT_GT(std::abs(means / with_loss / *total.loss() - 1.0), 1e-5)
            << "this data can't tell the token mean from others";
        return bits(evaluation);
    });
}

TEST(Evaluate, BreakdownsAddUp) {
    const Dataset held = held_out();
    const Evaluation evaluation = evaluate_uniform(world(), held);
    ASSERT_EQ(evaluation.parts.size(), 2u);
    EvaluationSums parts, lengths;
    for (const EvaluationSums& sums : evaluation.parts) parts += sums;
    for (const EvaluationSums& sums : evaluation.lengths) lengths += sums;
    EXPECT_EQ(bits(parts), bits(evaluation.total));
    EXPECT_LT(lengths.sequences, parts.sequences);  // some have no loss
    EXPECT_EQ(lengths.loss_tokens, parts.loss_tokens);
    EXPECT_EQ(lengths.weight, parts.weight);
    EXPECT_EQ(lengths.bytes, parts.bytes);
    EXPECT_NEAR(lengths.nats / parts.nats, 1.0, 1e-12);
}

TEST(Evaluate, UniformLogitsGiveTheLogarithmOfTheVocabularyAndBitsPerByteByHand) {
    const std::int32_t end = TokenizerSpec().end_of_text;
    const double log2_of_vocabulary = std::log2(257.0);
    struct Case {
        std::vector<float> weights;
        double weight, bytes;  ///< of A, B and the end, which has no bytes
    };
    for (const Case& c : {Case{{0, 1, 1, 1}, 3, 2}, Case{{0, 0, 1, 1}, 2, 1},
                          Case{{0, 0.5f, 0.5f, 0.5f}, 1.5, 1}, Case{{0, 1, 0, 2}, 3, 1}}) {
        const Dataset data{one_document({end, 65, 66, end}, c.weights)};
        const EvaluationSums total = evaluate_uniform(world(), data).total;
        EXPECT_EQ(total.weight, c.weight);
        EXPECT_EQ(total.bytes, c.bytes);
        EXPECT_NEAR(*total.loss(), std::log(257.0), 1e-5);
        EXPECT_NEAR(*total.perplexity(), 257.0, 1e-3);
        EXPECT_NEAR(*total.bits_per_byte(), c.weight * log2_of_vocabulary / c.bytes, 1e-5);
    }
    // Numbers stand for no text, and an end of text has none.
    const Dataset ids(one_document({0, 65, 66, 0}, {0, 1, 1, 1}),
                      make_tokenizer({"ids", 257, 0, ""}));
    EXPECT_NEAR(*evaluate_uniform(world(), ids).total.loss(), std::log(257.0), 1e-5);
    EXPECT_FALSE(evaluate_uniform(world(), ids).total.bits_per_byte());
    const Dataset only_end{one_document({end, 65, 66, end}, {0, 0, 0, 1})};
    EXPECT_FALSE(evaluate_uniform(world(), only_end).total.bits_per_byte());
}

TEST(Evaluate, R9WithoutLossNothingIsDefined) {
    const EvaluationSums nothing;
    EXPECT_FALSE(nothing.loss());
    EXPECT_FALSE(nothing.perplexity());
    EXPECT_FALSE(nothing.bits_per_byte());
    EXPECT_FALSE((EvaluationSums{1, 1, 1.0, 800.0, 1.0}.perplexity()));  // beyond all doubles

    const std::int32_t end = TokenizerSpec().end_of_text;
    const Dataset masked{one_document({end, 65, 66, end}, {0, 0, 0, 0})};
    const Dataset good{uneven_documents(4, 30)};
    const Dataset both({good.part(0), masked.part(0)});
    const Evaluation evaluation = evaluate_uniform(world(), both);
    EXPECT_EQ(evaluation.parts[1].sequences, 1);
    EXPECT_FALSE(evaluation.parts[1].loss());
    EXPECT_EQ(bits(*evaluation.total.loss()), bits(*evaluation.parts[0].loss()));
    if (world().rank() == 0) {
        const std::string text = error_of([&] { check_evaluation_data(masked, GptConfig()); });
        EXPECT_NE(text.find("one.txt: no token carries a loss"), std::string::npos) << text;
    }
}

TEST(Evaluate, R15GoldenNumbers) {
    EvaluationSums sums{1, 1, 1.0, 2.0, 0.0};
    sums += {1, 9, 9.0, 90.0, 0.0};
    EXPECT_DOUBLE_EQ(*sums.loss(), 9.2);  // torchtitan 4167; the mean of means is 6
    EvaluationSums other{1, 1, 1.0, 1.0, 0.0};
    other += {1, 3, 3.0, 9.0, 0.0};
    EXPECT_DOUBLE_EQ(*other.loss(), 2.5);  // ms-swift 10076; the mean of means is 2
}

TEST(Evaluate, SomeSequencesAreTheSameOnesEveryTime) {
    const Dataset held = held_out();
    const Evaluation all = evaluate_uniform(world(), held);
    const std::string first = bits(evaluate_uniform(world(), held, some(7)));
    EXPECT_EQ(first, bits(evaluate_uniform(world(), held, some(7))));
    EXPECT_EQ(evaluate_uniform(world(), held, some(7)).total.sequences, 7);
    EXPECT_EQ(bits(evaluate_uniform(world(), held, some(all.total.sequences))), bits(all));
    EXPECT_EQ(bits(evaluate_uniform(world(), held, some(1000))), bits(all));
    std::set<std::string> by_seed;
    for (std::uint64_t seed = 0; seed < 5; ++seed)
        by_seed.insert(bits(evaluate_uniform(world(), held, some(7, seed))));
    EXPECT_GT(by_seed.size(), 2u);
    // Shares decide what training draws; here every token counts once.
    const Dataset plain(held.parts());
    EXPECT_EQ(bits(evaluate_uniform(world(), plain)), bits(all));
}

}  // namespace
}  // namespace evengrad
