// Accumulator, ledger and normalization over ranks that share sums and ranks that don't.
#include <type_traits>

#include "base/digest.hpp"
#include "train/sums_of_ranks.hpp"
#include "train/tiny_run.hpp"

namespace evengrad {
namespace {

using namespace test;

// R5: what is local, global and normalized are three types, and each step accepts one of them.
template <class Sum>
constexpr bool can_normalize =
    std::is_invocable_v<decltype(&MeanGradient::normalize), Sum, const ParameterTable&,
                        const QuantumTable&, Denominator, std::uint64_t, const Communicator&>;
template <class Gradient>
constexpr bool can_update =
    std::is_invocable_v<decltype(&Optimizer::update), Optimizer&, Gradient, double, double,
                        std::int64_t, std::span<float>, UpdateObserver*>;
TEST(Types, R5LocalGlobalAndNormalizedCanNotBeMixedUp) {
    static_assert(std::is_invocable_v<decltype(&GlobalSum::reduce), const NodeSum&, const Topology&,
                                      const Ownership&, std::span<const char>, std::int64_t>);
    static_assert(
        !std::is_invocable_v<decltype(&GlobalSum::reduce), const GlobalSum&, const Topology&,
                             const Ownership&, std::span<const char>, std::int64_t>);
    static_assert(can_normalize<GlobalSum&&>);
    static_assert(!can_normalize<GlobalSum&>, "a global sum is consumed");
    static_assert(!can_normalize<NodeSum>);
    static_assert(!can_normalize<MeanGradient>);
    static_assert(can_update<const MeanGradient&>);
    static_assert(!can_update<const GlobalSum&> && !can_update<const NodeSum&>);
    static_assert(!std::is_invocable_v<decltype(&clip_factor), const GlobalSum&, double>);
    static_assert(!std::is_constructible_v<GlobalSum, NodeSum> &&
                  !std::is_constructible_v<GlobalSum, std::span<std::uint64_t>, BlockRun> &&
                  !std::is_default_constructible_v<GlobalSum>);
    static_assert(!std::is_constructible_v<MeanGradient, NodeSum> &&
                  !std::is_constructible_v<MeanGradient, GlobalSum> &&
                  !std::is_default_constructible_v<MeanGradient>);
}
// R16: counts are 64-bit integers.
static_assert(std::is_same_v<decltype(LedgerRow::tokens), std::int64_t>);
static_assert(std::is_same_v<decltype(Ledger().tokens()), std::int64_t>);

class Sums : public testing::Test {
  protected:
    GptConfig model_{.num_layers = 1,
                     .hidden_size = 64,
                     .ffn_hidden_size = 48,
                     .num_attention_heads = 2,
                     .seq_length = 24,
                     .vocab_size = 2500};  // wte: three blocks, the last one short
    ParameterTable table_{model_};

    /// A plan with this many micro-batches of these loss tokens.
    static StepPlan plan_of(const std::vector<std::int64_t>& tokens) {
        StepPlan plan;
        plan.loss_tokens = tokens;
        plan.weight.assign(tokens.begin(), tokens.end());
        plan.denominator = static_cast<double>(plan.total_loss_tokens());
        return plan;
    }
    /// Uneven pseudo-random contributions, a function of micro-batch and element.
    static std::vector<float> values(std::int64_t k, Index count, float scale) {
        std::mt19937 random(static_cast<unsigned>(k) + 1);
        std::normal_distribution<float> normal(0.0f, scale);
        std::vector<float> result(static_cast<std::size_t>(count));
        for (float& value : result) value = normal(random);
        return result;
    }
};

TEST_F(Sums, R18ADenominatorOfAnotherStepIsRefused) {
    const StepPlan plan = plan_of({1, 9});
    SumsOfRanks sums(world(), 0, table_);
    sums.run(
        plan, [](std::int64_t) { return 0; },
        [&](std::int64_t k) {
            const float one = 1.0f;
            sums.accumulator.add(0, 0, std::span(&one, 1));
            return planned_row(plan, k, 1.0);
        });
    EXPECT_THROW(sums.mean(plan.denominator, 1), std::logic_error);
}

TEST_F(Sums, R1R2GoldenNumbers) {
    // (loss sum, tokens): token means 9.2 and 2.5, where means of means are 6.0 and 2.0.
    struct Golden {
        std::vector<float> sums;
        std::vector<std::int64_t> tokens;
        float mean;
    };
    for (const Golden& golden : {Golden{{2, 90}, {1, 9}, 9.2f}, Golden{{1, 9}, {1, 3}, 2.5f}}) {
        const StepPlan plan = plan_of(golden.tokens);
        for (int owner_of_second = 0; owner_of_second < world().size(); ++owner_of_second) {
            for (const int per_node : {0, 1, 2}) {
                SumsOfRanks sums(world(), per_node, table_);
                sums.run(
                    plan, [&](std::int64_t k) { return k == 0 ? 0 : owner_of_second; },
                    [&](std::int64_t k) {
                        const float sum = golden.sums[static_cast<std::size_t>(k)];
                        sums.accumulator.add(0, 7, std::span(&sum, 1));
                        return planned_row(plan, k, sum);
                    });
                sums.ledger.verify(plan);
                EXPECT_FLOAT_EQ(static_cast<float>(sums.ledger.loss() / plan.denominator),
                                golden.mean);
                const MeanGradient gradient = sums.mean(plan.denominator);
                EXPECT_FLOAT_EQ(static_cast<float>(gradient.norm()), golden.mean);
                const auto all = sums.take_all(gradient);
                if (world().rank() == 0) {
                    EXPECT_EQ(all[7], golden.mean);
                }
            }
        }
    }
}

TEST_F(Sums, R2R8SkewedOwnersAndRanksWithNothingGiveTheSameBits) {
    constexpr std::int64_t micro_batches = 9;
    const StepPlan plan = plan_of({4000, 1, 9, 0, 17, 2, 333, 5, 1});
    std::string expected;
    for (const Layout& layout : layouts()) {
        for (int dealing = 0; dealing < 3; ++dealing) {
            const std::string bits = on_ranks(layout.ranks, [&](const Communicator& ranks) {
                const auto owner = [&](std::int64_t k) {
                    if (dealing == 0) return static_cast<int>(k % ranks.size());
                    if (dealing == 1) return ranks.size() - 1;  // all others have nothing
                    return k == 0 ? 0 : ranks.size() - 1;  // one long, one with all the short ones
                };
                SumsOfRanks sums(ranks, layout.ranks_per_node, table_);
                sums.run(plan, owner, [&](std::int64_t k) {
                    for (Index t = 0; t < table_.size(); ++t)
                        if (plan.loss_tokens[static_cast<std::size_t>(k)] > 0 && t != 3)
                            sums.accumulator.add(
                                t, 0,
                                values(k, table_[t].count, std::ldexp(1.0f, static_cast<int>(k))));
                    return planned_row(plan, k, 0.1 * static_cast<double>(k));
                });
                sums.ledger.verify(plan);
                const MeanGradient gradient = sums.mean(plan.denominator);
                const double clip = clip_factor(gradient, 0.5);
                EXPECT_NEAR(clip * gradient.norm(), 0.5, 1e-5);
                EXPECT_EQ(clip_factor(gradient, 0.0), 1.0);
                EXPECT_EQ(clip_factor(gradient, 2 * gradient.norm()), 1.0);
                std::string text = fmt::format("{:016x} {:016x} {:016x} {}",
                                               std::bit_cast<std::uint64_t>(gradient.norm()),
                                               std::bit_cast<std::uint64_t>(sums.ledger.loss()),
                                               sums.ledger.checksum(), sums.ledger.tokens());
                for (std::int64_t k = 0; k < micro_batches; ++k)
                    text += fmt::format(
                        " {:016x}",
                        std::bit_cast<std::uint64_t>(
                            sums.ledger.rows()[static_cast<std::size_t>(k)].squared_norm));
                // R11: clipped after the division, and alike everywhere.
                const auto all = sums.take_all(gradient, clip);
                std::string taken;
                if (ranks.rank() == 0) {
                    double squared = 0.0;
                    for (const float value : all) squared += static_cast<double>(value) * value;
                    EXPECT_NEAR(std::sqrt(squared), 0.5, 1e-5);
                    Digest digest;
                    digest.add(std::span<const float>(all));
                    taken = digest.hex();
                }
                ranks.broadcast(taken, 0);
                // Taking zeroes the owned sums, and reducing those of others: all is ready.
                sums.store.barrier();
                for (const std::uint64_t sum : sums.store.sum().sums) EXPECT_EQ(sum, 0u);
                sums.store.barrier();
                return text + " " + taken;
            });
            if (expected.empty()) expected = bits;
            EXPECT_EQ(bits, expected) << name(layout) << ", dealing " << dealing;
        }
    }
}

TEST_F(Sums, PiecesOfATensorAddUpWhereverBlocksBegin) {
    // One contribution in one piece, against the same in pieces across block borders.
    const StepPlan plan = plan_of({1});
    const auto all = values(0, table_[0].count, 1.0f);
    std::vector<std::string> digests;
    for (const std::size_t piece : {all.size(), std::size_t{65536}, std::size_t{50'001}}) {
        SumsOfRanks sums(world(), 0, table_);
        sums.run(
            plan, [](std::int64_t) { return 0; },
            [&](std::int64_t k) {
                for (std::size_t at = 0; at < all.size(); at += piece)
                    sums.accumulator.add(
                        0, static_cast<Index>(at),
                        std::span(all).subspan(at, std::min(piece, all.size() - at)));
                return planned_row(plan, k);
            });
        const auto taken = sums.take_all(sums.mean(1.0));
        if (world().rank() != 0) continue;
        for (std::size_t i = 0; i < all.size(); ++i)
            ASSERT_NEAR(taken[i], all[i], 1e-11f + 1e-6f * std::abs(all[i])) << i;
        Digest digest;
        digest.add(std::span<const float>(taken));
        digests.push_back(digest.hex());
        EXPECT_EQ(digests.back(), digests.front()) << piece;
    }
}

TEST_F(Sums, RanksOfANodeAddToTheSameBlocksAtOnce) {
    constexpr std::int64_t times = 300;
    SumsOfRanks sums(world(), 0, table_);
    sums.quanta.set(0, -30);
    const std::vector<float> ones(static_cast<std::size_t>(table_[0].count), 1.0f);
    for (std::int64_t i = 0; i < times; ++i) sums.accumulator.add(0, 0, ones);
    sums.store.barrier();
    const auto expected = static_cast<std::uint64_t>(times * world().size()) << 30;
    const auto all = sums.store.sum().sums.first(ones.size());
    EXPECT_EQ(std::count(all.begin(), all.end(), expected), std::ssize(ones));
    sums.store.barrier();
}

TEST_F(Sums, AChangedSumIsFoundOnEveryRank) {
    const StepPlan plan = plan_of({1, 1, 1, 1});
    for (const int per_node : {0, 1, 2}) {
        for (const int bit : {0, 33, 63}) {
            SumsOfRanks sums(world(), per_node, table_);
            sums.run(
                plan, [](std::int64_t k) { return static_cast<int>(k) % world().size(); },
                [&](std::int64_t k) {
                    sums.accumulator.add(0, 0, values(k, table_[0].count, 1.0f));
                    return planned_row(plan, k);
                });
            if (world().rank() == world().size() - 1)  // its node has contributed
                sums.store.sum().sums[70'000] ^= std::uint64_t{1} << bit;
            sums.store.barrier();
            const std::string text = error_of([&] { sums.mean(4.0); });
            EXPECT_NE(text.find("checksum"), std::string::npos) << text;
        }
    }
}

TEST_F(Sums, NonFiniteElementsAreKeptApartFromTheLargest) {
    SumsOfRanks sums(world(), 0, table_);
    const float good[] = {1.0f, -3.0f}, nan[] = {5.0f, std::nanf("")}, infinite[] = {-INFINITY};
    sums.accumulator.begin_pass();
    EXPECT_EQ(sums.accumulator.first_non_finite(), NonFinite::none);
    sums.accumulator.begin_micro_batch(8);
    sums.accumulator.add(2, 0, infinite);
    sums.accumulator.begin_micro_batch(5);
    sums.accumulator.add(1, 0, good);
    sums.accumulator.add(4, 0, nan);
    sums.accumulator.begin_micro_batch(6);
    sums.accumulator.add(3, 0, nan);
    EXPECT_EQ(NonFinite::micro_batch(sums.accumulator.first_non_finite()), 5);
    EXPECT_EQ(NonFinite::tensor(sums.accumulator.first_non_finite()), 4);
    EXPECT_EQ(std::bit_cast<float>(sums.accumulator.largest()[1]), 3.0f);
    EXPECT_EQ(sums.accumulator.largest()[4], 0u);
    sums.accumulator.begin_pass();
    EXPECT_EQ(sums.accumulator.first_non_finite(), NonFinite::none);
    EXPECT_EQ(sums.accumulator.largest()[1], 0u);
}

TEST_F(Sums, R19TheLedgerRefusesWhatWasNotPlanned) {
    StepPlan plan = plan_of({5, 7, 0});
    plan.step = 41;
    const auto refusal = [&](auto change) {
        Ledger ledger(3);
        for (std::int64_t k = 0; k < 3; ++k) {
            LedgerRow row = planned_row(plan, k, 1.0);
            change(k, row);
            if (row.rank >= 0 && k % world().size() == world().rank()) ledger.record(k, row);
        }
        ledger.combine(world());
        return error_of([&] { ledger.verify(plan); });
    };
    const auto expect = [](const std::string& text, std::initializer_list<const char*> parts) {
        for (const char* part : parts)
            EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
    };
    expect(refusal([](std::int64_t k, LedgerRow& row) { row.rank = k == 1 ? -1 : 0; }),
           {"step 42", "micro-batch 1", "0 times"});
    expect(refusal([](std::int64_t k, LedgerRow& row) { row.tokens += k == 1; }),
           {"step 42", "micro-batch 1", "8 loss tokens", "7"});
    expect(refusal([](std::int64_t k, LedgerRow& row) { row.weight += k == 2 ? 0.5 : 0.0; }),
           {"step 42", "micro-batch 2", "0.5"});

    // Computed on two ranks: counted twice, unless there is one rank only.
    Ledger ledger(3);
    for (std::int64_t k = 0; k < 3; ++k) ledger.record(k, planned_row(plan, k));
    ledger.combine(world());
    if (world().size() > 1)
        expect(error_of([&] { ledger.verify(plan); }),
               {"micro-batch 0", fmt::format("{} times", world().size()).c_str()});
    else
        EXPECT_NO_THROW(ledger.verify(plan));
    // A ledger of another length is another step's.
    Ledger shorter(2);
    expect(error_of([&] { shorter.verify(plan); }), {"step 42", "2 rows", "3 micro-batches"});
}

TEST_F(Sums, R16TokensBeyondFloatAreCounted) {
    const std::int64_t many = (std::int64_t{1} << 24) + 1;
    const StepPlan plan = plan_of({many, (std::int64_t{1} << 53) - many, 2});
    Ledger ledger(3);
    for (std::int64_t k = 0; k < 3; ++k)
        if (k % world().size() == world().rank()) ledger.record(k, planned_row(plan, k));
    ledger.combine(world());
    ledger.verify(plan);
    EXPECT_EQ(ledger.rows()[0].tokens, 16'777'217);
    EXPECT_EQ(ledger.tokens(), (std::int64_t{1} << 53) + 2);
    EXPECT_EQ(plan.total_loss_tokens(), (std::int64_t{1} << 53) + 2);
}

TEST_F(Sums, NothingIsDividedByZero) {
    SumsOfRanks sums(world(), 0, table_);
    sums.run(
        plan_of({0}), [](std::int64_t) { return 0; }, [&](std::int64_t) { return LedgerRow{}; });
    EXPECT_THROW(sums.mean(0.0), std::logic_error);
}

}  // namespace
}  // namespace evengrad
