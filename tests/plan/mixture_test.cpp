// Several files, drawn in proportion to their shares.
#include <cmath>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "data/memory_store.hpp"
#include "plan/documents.hpp"
#include <evengrad/error.hpp>

namespace evengrad::test {
namespace {

DataPart part(int count, std::int64_t longest) {
    return DataPart(std::make_shared<const MemoryStore>(uneven_documents(count, longest),
                                                        std::make_shared<const NumberTokenizer>()));
}

PlanConfig config() {
    PlanConfig c;
    c.seq_length = 16;
    c.global_batch_size = 7;
    c.micro_batch_size = 2;
    return c;
}

/// How often each sequence is drawn in steps [0, steps).
std::map<std::int64_t, int> drawn(const Planner& planner, std::int64_t steps) {
    std::map<std::int64_t, int> times;
    for (std::int64_t step = 0; step < steps; ++step)
        for (const std::int64_t id : planner.plan(step).sequence_ids) ++times[id];
    return times;
}

TEST(Mixture, WithoutSharesEverySequenceOfEveryPartComesOnceAnEpoch) {
    const Dataset data({part(30, 40), part(5, 90)});
    const Planner planner(data, config());
    const auto times = drawn(planner, planner.steps_per_epoch());
    EXPECT_EQ(static_cast<std::int64_t>(times.size()), planner.sequences().size());
    for (const auto& [id, count] : times) EXPECT_EQ(count, 1) << id;
}

TEST(Mixture, PartsAreDrawnByTheirSharesAndEachGoesThroughItsOwnEpochs) {
    const Dataset data({part(30, 40), part(5, 90), part(60, 20)}, {3.0, 5.0, 2.0});
    for (const SequenceMode mode : {SequenceMode::documents, SequenceMode::stream}) {
        PlanConfig c = config();
        c.sequences = mode;
        const Planner planner(data, c);
        const Sequences& sequences = planner.sequences();
        constexpr std::int64_t epochs = 4;
        const auto times = drawn(planner, epochs * planner.steps_per_epoch());
        const double shares[] = {0.3, 0.5, 0.2};
        std::int64_t all = 0;
        for (std::int64_t p = 0; p < 3; ++p) {
            const std::int64_t first = sequences.first_of(p), last = sequences.first_of(p + 1);
            std::int64_t total = 0;
            int least = 1 << 30, most = 0;
            for (std::int64_t id = first; id < last; ++id) {
                const auto found = times.find(id);
                const int count = found == times.end() ? 0 : found->second;
                total += count;
                least = std::min(least, count);
                most = std::max(most, count);
            }
            const double draws = static_cast<double>(planner.draws()[static_cast<std::size_t>(p)]);
            EXPECT_EQ(static_cast<double>(total), epochs * draws);
            EXPECT_NEAR(draws, shares[p] * static_cast<double>(sequences.size()), 1.0);
            EXPECT_LE(most - least, 1) << "a sequence came again before all had come";
            all += total;
        }
        EXPECT_EQ(all, epochs * sequences.size());
    }
}

// Sequences are read from where they belong.
TEST(Mixture, SequencesStayInTheirPart) {
    const Dataset data({part(30, 40), part(5, 90)});
    const Planner planner(data, config());
    const Sequences& sequences = planner.sequences();
    for (std::int64_t id = 0; id < sequences.size(); ++id) {
        const Sequence s = sequences[id];
        EXPECT_EQ(s.part, id >= sequences.first_of(1));
        const auto [begin, end] = data.part(s.part).document(s.document);
        EXPECT_GE(s.begin, begin);
        EXPECT_LT(s.begin + s.length, end);
        std::int32_t token = 0;  // numbers: each token is its place in its file
        data.part(s.part).read(s.begin, {&token, 1}, {});
        EXPECT_EQ(token, s.begin);
    }
}

TEST(Mixture, OrderDependsOnSeedAndEpochOnly) {
    const Dataset data({part(30, 40), part(5, 90)}, {1.0, 1.0});
    const Planner one(data, config()), two(data, config());
    for (const std::int64_t step : {30, 3, 11})
        EXPECT_EQ(one.plan(step).sequence_ids, two.plan(step).sequence_ids);
    PlanConfig other = config();
    other.seed = 77;
    EXPECT_NE(one.plan(3).sequence_ids, Planner(data, other).plan(3).sequence_ids);
}

TEST(Mixture, AShareTooSmallForOneDrawIsAnError) {
    const Dataset data({part(30, 40), part(5, 90)}, {1.0, 1e-6});
    EXPECT_THROW(Planner(data, config()), Error);
}

// R17: fractional weights add up exactly, whatever they are and however they are cut.
TEST(Weights, R17_FractionalWeightsAreTheDenominator) {
    Documents documents = uneven_documents(40, 30);
    double sum = 0.0;
    for (std::size_t d = 0; d + 1 < documents.offsets.size(); ++d)
        for (auto t = documents.offsets[d]; t < documents.offsets[d + 1]; ++t) {
            const bool first = t == documents.offsets[d];
            const float weight =
                first ? 0.0f : round_weight(static_cast<double>(t % 11) * 0.1234567);
            documents.weights[static_cast<std::size_t>(t)] = weight;
            sum += static_cast<double>(weight);
        }
    const Dataset data = dataset(documents);
    for (const std::int64_t size : {1, 3, 40}) {
        PlanConfig c = config();
        c.global_batch_size = 1000;
        c.micro_batch_size = size;
        const StepPlan plan = Planner(data, c).plan(0);
        EXPECT_EQ(plan.denominator, sum);
        EXPECT_EQ(std::accumulate(plan.weight.begin(), plan.weight.end(), 0.0), sum);
    }
}

TEST(Weights, R17_AreRoundedToMultiplesOfTheQuantumThatFloatsHold) {
    EXPECT_EQ(round_weight(0.0), 0.0f);
    EXPECT_EQ(round_weight(1.0), 1.0f);
    EXPECT_EQ(round_weight(largest_weight), 65536.0f);
    EXPECT_EQ(round_weight(0.3), static_cast<float>(std::nearbyint(0.3 * 0x1p24) * 0x1p-24));
    EXPECT_EQ(round_weight(1e-9), 0.0f);
    for (const double value : {0.1, 0.7, 1.1, 3.14159, 1000.0001, 65535.999}) {
        const double rounded = static_cast<double>(round_weight(value));
        EXPECT_EQ(std::fmod(rounded, weight_quantum), 0.0) << value;
        EXPECT_NEAR(rounded, value, value * 0x1p-24 + weight_quantum / 2);
    }
}

}  // namespace
}  // namespace evengrad::test
