// Faults that are planted in a ledger one at a time: each is found, and named.
#include "checkpoint/ledger_check.hpp"

#include <gtest/gtest.h>

#include "checkpoint/made_ledger.hpp"
#include "hdf5/scratch_folder.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

using namespace test;

const std::filesystem::path name = "ledger-00000020.h5";

LedgerFacts checked(const LedgerPart& part) {
    LedgerCheck check;
    check.add(part, name);
    return check.facts();
}

/// What is said of a ledger in which `plant` has changed something.
template <class Plant>
std::string fault(Plant plant, LedgerPart part = made_ledger(1, 20)) {
    plant(part);
    return message_of<Error>([&] { checked(part); });
}

/// Records of a step begin here.
std::ptrdiff_t first_record(const LedgerPart& part, std::int64_t step) {
    std::ptrdiff_t at = 0;
    while (part.records[static_cast<std::size_t>(at)].step < step) ++at;
    return at;
}

LedgerRecord& record(LedgerPart& part, std::int64_t step, std::int64_t k) {
    return part.records[static_cast<std::size_t>(first_record(part, step) + k)];
}

TEST(LedgerCheck, ASoundOneIsSound) {
    const LedgerPart part = made_ledger(1, 20);
    const LedgerFacts facts = checked(part);
    EXPECT_EQ(facts.first_step, 1);
    EXPECT_EQ(facts.steps, 20);
    EXPECT_EQ(facts.micro_batches, std::ssize(part.records));
    EXPECT_EQ(facts.updates, 16);
    EXPECT_EQ(facts.weight_spread, 0.0);
    EXPECT_GT(facts.loss_tokens, 0);
    EXPECT_LT(facts.best_scale, 1e-4);
    EXPECT_EQ(facts.proved_scales, 16);
    EXPECT_NO_THROW(checked(made_ledger(1, 20, 0.0))) << "without clipping";
}

TEST(LedgerCheck, AMissingMicroBatch) {
    for (const std::int64_t k : {0, 1, 3})
        EXPECT_TRUE(contains(
            fault([&](LedgerPart& part) {
                part.records.erase(part.records.begin() + first_record(part, 7) + k);
            }),
            {name.c_str(), "step 7", ("micro-batch " + std::to_string(k)).c_str(), "missing"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.records.pop_back(); }),
                         {"step 20: micro-batch 0 of 1 is missing"}));
}

TEST(LedgerCheck, AMicroBatchThatIsThereTwice) {
    for (const std::int64_t k : {0, 1, 3})
        EXPECT_TRUE(
            contains(fault([&](LedgerPart& part) {
                         part.records.insert(part.records.begin() + first_record(part, 7) + k,
                                             record(part, 7, k));
                     }),
                     {("step 7: micro-batch " + std::to_string(k) + ": is there twice").c_str()}));
    EXPECT_TRUE(
        contains(fault([](LedgerPart& part) { part.records.push_back(record(part, 7, 0)); }),
                 {"step 7", "belongs to no step"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) {
                             LedgerRecord more = record(part, 7, 3);
                             more.micro_batch = 4;
                             part.records.insert(part.records.begin() + first_record(part, 8),
                                                 more);
                         }),
                         {"step 7: micro-batch 4: the step has 4"}));
}

TEST(LedgerCheck, AMissingOrDoubleStep) {
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.steps.erase(part.steps.begin() + 6); }),
                         {"step 8: follows step 6"}));
    EXPECT_TRUE(contains(
        fault([](LedgerPart& part) { part.steps.insert(part.steps.begin() + 6, part.steps[6]); }),
        {"step 7: is there twice"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.first_step = 0; }),
                         {"step 1: follows step -1"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.steps[6].micro_batches = 0; }),
                         {"step 7: has 0 micro-batches"}));
    LedgerCheck check;
    check.add(made_ledger(1, 10), "ledger-00000010.h5");
    EXPECT_EQ(check.next_step(), 11);
    EXPECT_TRUE(contains(message_of<Error>([&] { check.add(made_ledger(21, 30), "c.h5"); }),
                         {"c.h5: step 21: follows step 10: what is between them is missing"}));
    EXPECT_TRUE(contains(message_of<Error>([&] { check.add(made_ledger(9, 20), "b.h5"); }),
                         {"b.h5: step 9: is there twice", "step 11 comes next"}));
    check.add(made_ledger(11, 20), "ledger-00000020.h5", 15);
    EXPECT_EQ(check.next_step(), 16) << "what comes later is left out";
}

TEST(LedgerCheck, ALossThatIsOneBitOff) {
    const auto next = [](double& value) { value = std::nextafter(value, 10.0); };
    EXPECT_TRUE(contains(fault([&](LedgerPart& part) { next(record(part, 4, 0).loss); }),
                         {"step 4: its loss is", "its micro-batches' is"}));
    EXPECT_TRUE(contains(fault([&](LedgerPart& part) { next(part.steps[6].loss); }),
                         {"step 7: its loss is"}));
    EXPECT_TRUE(contains(fault([&](LedgerPart& part) { record(part, 7, 1).loss = std::nan(""); }),
                         {"step 7: micro-batch 1: its loss is nan"}));
}

TEST(LedgerCheck, R16TokenCounts) {
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { ++record(part, 7, 1).loss_tokens; }),
                         {"step 7: has 40 loss tokens, its micro-batches have 41"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { --part.steps[6].loss_tokens; }),
                         {"step 7: has 39 loss tokens, its micro-batches have 40"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { record(part, 7, 1).loss_sequences = 4; }),
                         {"step 7: micro-batch 1: ", "4 of them"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { record(part, 7, 2).loss_tokens = 1; }),
                         {"step 7: micro-batch 2: "}));
}

TEST(LedgerCheck, R18Denominators) {
    EXPECT_TRUE(contains(
        fault([](LedgerPart& part) { part.steps[6].denominator = part.steps[5].denominator; }),
        {"step 7: its denominator is", "token-mean of its micro-batches makes"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) {
                             record(part, 7, 1).weight += 0.5;
                             record(part, 7, 1).squared_weight += 0.75;
                         }),
                         {"step 7: its denominator is"}));
    EXPECT_TRUE(
        contains(fault([](LedgerPart& part) { record(part, 7, 1).squared_weight *= 100.0; }),
                 {"step 7: micro-batch 1: ", "squared"}));
    EXPECT_TRUE(
        contains(fault([](LedgerPart& part) { part.loss_reduction = "sequence-mean"; }),
                 {"step 1: micro-batch 0: its weight is 2, under sequence-mean it must be 1"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.loss_reduction = "mean"; }),
                         {"--loss-reduction mean"}));
}

// Sums are those of made_ledger; weights and denominators become the reduction's.
LedgerPart reduced(const std::string& reduction) {
    LedgerPart part = made_ledger(1, 20, 0.0);
    part.loss_reduction = reduction;
    for (LedgerStep& step : part.steps) {
        if (step.loss_tokens == 0) continue;
        LedgerRecord* records = &record(part, step.step, 0);
        double sequences = 0.0, loss_sequences = 0.0, micro_batches = 0.0, loss = 0.0;
        const auto m = step.micro_batches;
        const auto weigh = [&](LedgerRecord& r, double weight) {
            const double share = weight / r.weight;
            r.weight *= share;
            r.squared_weight *= share * share;
        };
        for (std::int64_t k = 0; k < m; ++k) {
            LedgerRecord& r = records[k];
            sequences += static_cast<double>(r.sequences);
            loss_sequences += static_cast<double>(r.loss_sequences);
            micro_batches += r.loss_tokens > 0;
            loss += r.loss;
            if (r.loss_tokens == 0) continue;
            if (reduction == "sequence-mean") weigh(r, static_cast<double>(r.loss_sequences));
            if (reduction == "micro-batch-mean") weigh(r, 1.0);
            // Two pretended ranks: 0 and 2, 1 and 3. Micro-batch 2 has no loss.
            if (reduction == "rank-mean:2") weigh(r, k % 2 == 1 && m == 4 ? 0.5 : 1.0);
        }
        const double before = step.denominator;
        if (reduction == "sequence-mean") step.denominator = loss_sequences;
        if (reduction == "micro-batch-mean") step.denominator = micro_batches;
        if (reduction == "rank-mean:2") step.denominator = m == 1 ? 1.0 : 2.0;
        if (reduction == "sum") step.denominator = 1.0;
        if (reduction == "constant:7.5") step.denominator = 7.5 * sequences;
        step.loss = loss / step.denominator;
        step.grad_norm = step.clipped_grad_norm = step.grad_norm * before / step.denominator;
        step.probe *= before / step.denominator;
    }
    return part;
}

TEST(LedgerCheck, EveryReductionHasItsDenominator) {
    const std::vector<std::string> reductions{"token-mean",       "sequence-mean", "sum",
                                              "micro-batch-mean", "constant:7.5",  "rank-mean:2"};
    for (const std::string& reduction : reductions) {
        EXPECT_NO_THROW(checked(reduced(reduction))) << reduction;
        EXPECT_TRUE(contains(
            fault([](LedgerPart& part) { part.steps[6].denominator *= 2.0; }, reduced(reduction)),
            {"step 7: its denominator is", reduction.c_str()}));
        // Averages of averages are a token mean, too, but of tokens that don't weigh the same.
        const bool weighs = reduction.ends_with("-mean") || reduction.starts_with("rank-mean");
        const bool uniform = reduction == "token-mean" || !weighs;
        EXPECT_EQ(checked(reduced(reduction)).weight_spread == 0.0, uniform) << reduction;
        for (const std::string& other : reductions)
            if (other != reduction && (other != "token-mean" || uniform)) {
                EXPECT_NE(fault([&](LedgerPart& part) { part.loss_reduction = other; },
                                reduced(reduction)),
                          "")
                    << reduction << " as " << other;
            }
    }
    EXPECT_TRUE(contains(fault(
                             [](LedgerPart& part) {
                                 record(part, 7, 3).weight *= 1.5;
                                 record(part, 7, 3).squared_weight *= 2.25;
                             },
                             reduced("rank-mean:2")),
                         {"step 7: micro-batches of pretended rank 1 weigh 1.25"}));
    LedgerCheck check;
    check.add(reduced("sum"), "a.h5", 5);
    EXPECT_TRUE(
        contains(message_of<Error>([&] { check.add(reduced("token-mean"), "b.h5"); }),
                 {"b.h5: its loss reduction is token-mean, that of the steps before it sum"}));
}

TEST(LedgerCheck, AnUpdateThatWasLeftOut) {
    LedgerPart part = made_ledger(1, 20);
    LedgerStep& step = part.steps[6];
    step.updated = 0;
    EXPECT_TRUE(contains(fault([](LedgerPart&) {}, part),
                         {"step 7: its clipped gradient norm is", "was left out is 0"}));
    step.clipped_grad_norm = 0.0;
    EXPECT_TRUE(contains(fault([](LedgerPart&) {}, part),
                         {"step 7: was no update, but the probe of its gradient is"}));
    step.probe = 0.0;
    EXPECT_EQ(checked(part).updates, 15);
}

TEST(LedgerCheck, Checksums) {
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { record(part, 7, 1).checksum ^= 1; }),
                         {"step 7: the checksum"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.steps[6].checksum += 1; }),
                         {"step 7: the checksum"}));
}

TEST(LedgerCheck, R3AStrayFactorInTheGradient) {
    const auto scaled = [](std::size_t step, double factor) {
        return [=](LedgerPart& part) {
            part.steps[step - 1].grad_norm *= factor;
            part.steps[step - 1].clipped_grad_norm = part.steps[step - 1].grad_norm;
        };
    };
    const LedgerPart part = made_ledger(1, 20, 0.0);
    for (const double factor : {2.0, 0.5, 1.0 + 1e-6, 1.0 - 1e-6})
        EXPECT_TRUE(contains(fault(scaled(4, factor), part), {"step 4: its gradient norm"}))
            << factor << " of one micro-batch, whose norm is the gradient's";
    for (const double factor : {2.0, 4.0, 1.2})
        EXPECT_TRUE(contains(fault(scaled(7, factor), part), {"step 7: its gradient norm"}))
            << factor << " of four micro-batches";
    EXPECT_NO_THROW(checked([&] {
        LedgerPart smaller = part;
        scaled(7, 0.5)(smaller);
        return smaller;
    }()))
        << "three gradients that nearly cancel could be so small: this is no proof";
    EXPECT_TRUE(contains(fault(scaled(7, std::nan("")), part), {"step 7: its gradient norm nan"}));
    // Within what rounding onto the grids can have changed.
    EXPECT_TRUE(fault(
                    [&](LedgerPart& p) {
                        scaled(4, 1.0 + 1e-6)(p);
                        p.steps[3].rounding = -1.0;
                    },
                    part)
                    .find("step 4") != std::string::npos);
    LedgerPart rounded = part;
    scaled(4, 1.0 + 1e-6)(rounded);
    rounded.steps[3].rounding = 1e-3;
    EXPECT_NO_THROW(checked(rounded));
}

TEST(LedgerCheck, R3AStrayFactorInWhatTheOptimizerTook) {
    for (const double factor : {2.0, 0.5, 4.0, 1.0 / 3.0, -1.0, 1.0 + 1e-4, 1.0 - 1e-4, 0.0})
        for (const std::int64_t step : {4, 7})
            EXPECT_TRUE(contains(
                fault([&](LedgerPart& part) {
                    part.steps[static_cast<std::size_t>(step) - 1].probe *= factor;
                }),
                {fmt::format("step {}: the gradient that the optimizer took", step).c_str(),
                 fmt::format(": {:.6g} times as much", factor == 0.0 ? 0.0 : factor).c_str()}))
                << factor;
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { record(part, 7, 1).probe += 1e-3; }),
                         {"step 7: the gradient that the optimizer took"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.steps[6].probe = std::nan(""); }),
                         {"step 7: the gradient that the optimizer took"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.steps[4].probe = 1.0; }),
                         {"step 5: was no update, but the probe"}));
}

TEST(LedgerCheck, R11Clipping) {
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.steps[0].clipped_grad_norm *= 1.01; }),
                         {"step 1: its clipped gradient norm"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.clip_grad = 1e-3; }),
                         {"step 1: its clipped gradient norm"}));
}

TEST(LedgerCheck, R7AStepWithoutLossTokensDoesNothing) {
    for (const auto& plant : std::vector<std::function<void(LedgerStep&)>>{
             [](LedgerStep& step) { step.loss = 0.0; }, [](LedgerStep& step) { step.updated = 1; },
             [](LedgerStep& step) { step.checksum = 1; },
             [](LedgerStep& step) { step.grad_norm = 1e-3; },
             [](LedgerStep& step) { step.denominator = 1.0; }})
        EXPECT_TRUE(contains(fault([&](LedgerPart& part) { plant(part.steps[4]); }), {"step 5: "}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { part.steps[6].updated = 2; }),
                         {"step 7: 'updated' is 2"}));
    EXPECT_TRUE(contains(fault([](LedgerPart& part) { record(part, 5, 0).squared_norm = 1.0; }),
                         {"step 5: micro-batch 0: no loss tokens, but"}));
}

}  // namespace
}  // namespace evengrad
