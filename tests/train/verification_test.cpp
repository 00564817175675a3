// Second looks (--verify-interval): flipped bits are found wherever they are put, and nothing else.
#include "train/verification.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/philox.hpp"
#include "model/layer_sink.hpp"
#include "tiny_run.hpp"

namespace evengrad::test {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool slow = true;  // the sanitizers take ten times as long, and have seen it all soon
#else
constexpr bool slow = false;
#endif

/// (More ranks than cores take turns.)
int trials() {
    return slow ? 10 : world().size() == 2 ? 100 : 20;
}

/// Numbers for trial `trial`, alike on all ranks.
std::array<std::uint32_t, 4> random(int trial) {
    return Philox(11, RandomPurpose::test)(static_cast<std::uint32_t>(trial));
}

float flipped(float value, unsigned bit) {
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ (1u << bit));
}

class SecondLooks : public testing::Test {
  protected:
    SecondLooks() {
        config_.plan.global_batch_size = 6;
        config_.plan.micro_batch_size = 1;
        config_.stats_interval = 0;
        config_.verify_interval = 3;
    }

    /// In nodes of one rank, or in one node, by turns.
    void cut_into_nodes(int trial) { config_.ranks_per_node = trial % 2; }

    /// What the third step, the first that is looked at, throws on every rank alike. "" for
    /// nothing.
    std::string found(const TestHooks& hooks) {
        return on_ranks(world().size(), [&](const Communicator& ranks) -> std::string {
            Trainer trainer(ranks, config_, &data_, hooks);
            trainer.step();
            trainer.step();
            try {
                trainer.step();
            } catch (const Error& error) {
                EXPECT_EQ(trainer.steps_done(), 2) << "a step that failed was counted";
                return error.what();
            }
            return "";
        });
    }

    Dataset data_{uneven_documents(60, 60)};
    TrainConfig config_ = tiny_config(3);
};

TEST_F(SecondLooks, FindEveryBitThatFlipsInTheSums) {
    int found_so_many = 0;
    for (int trial = 0; trial < trials(); ++trial) {
        cut_into_nodes(trial);
        TestHooks hooks;
        hooks.sums = [&](std::int64_t step, int rank, std::span<std::uint64_t> sums) {
            const auto words = random(trial);
            if (step == 3 && static_cast<std::uint32_t>(rank) ==
                                 words[0] % static_cast<std::uint32_t>(world().size()))
                sums[words[1] % sums.size()] ^= std::uint64_t{1} << (words[2] % 64);
        };
        const std::string text = found(hooks);
        found_so_many += text.find("checksum") != std::string::npos;
    }
    // Elements between tensors belong to nobody.
    EXPECT_GE(found_so_many, trials() - 2);
}

TEST_F(SecondLooks, FindEveryExponentBitThatFlipsInTheWeights) {
    for (int trial = 0; trial < trials(); ++trial) {
        cut_into_nodes(trial);
        const auto words = random(trial);
        const int bad = static_cast<int>(words[0] % static_cast<std::uint32_t>(world().size()));
        const ParameterTable table(config_.model);
        const Block& block = table.blocks()[words[1] % table.blocks().size()];
        const auto element =
            static_cast<std::size_t>(block.begin + static_cast<Index>(words[2]) % block.count);
        TestHooks hooks;
        hooks.weights = [&](std::int64_t step, int rank, std::span<float> weights) {
            // (The weights of a node that its ranks share are hit once.)
            if (step == 3 && rank == bad)
                weights[element] = flipped(weights[element], 23 + words[3] % 8);
        };
        const std::string text = found(hooks);
        EXPECT_NE(text.find("doesn't hold the weights"), std::string::npos)
            << "trial " << trial << ": " << text;
        EXPECT_NE(text.find(table[block.tensor].name + ", elements "), std::string::npos) << text;
        const std::string node =
            fmt::format("step 3: node {} (host ", config_.ranks_per_node == 1 ? bad : 0);
        EXPECT_EQ(text.find(node), 0u) << text;
    }
}

TEST_F(SecondLooks, FindEveryExponentBitThatFlipsInTheMicroBatchTheyAreAt) {
    for (int trial = 0; trial < trials(); ++trial) {
        cut_into_nodes(trial);
        const auto words = random(trial);
        const std::int64_t k = verified_micro_batch(config_.seed, 3, 6);
        std::int64_t hits = 0, computed_by = 0;
        TestHooks hooks;
        hooks.layer = [&](std::int64_t step, int rank, std::int64_t micro_batch, std::int64_t layer,
                          const LayerValues<float>& values) {
            if (step != 3 || micro_batch != k || layer != static_cast<std::int64_t>(words[0] % 2))
                return;
            // One that says something: not 0, in a row that something comes back to.
            constexpr Index inputs = 32, units = 64;
            Index row = static_cast<Index>(words[1]) % values.rows;
            const auto is_silent = [&](Index r) {
                const float* signal = values.signal + r * units;
                return std::all_of(signal, signal + units, [](float s) { return s == 0.0f; });
            };
            for (Index tries = 0; tries < values.rows && is_silent(row); ++tries)
                row = (row + 1) % values.rows;
            auto* inputs_of_row = const_cast<float*>(values.input) + row * inputs;
            for (Index i = 0; i < inputs; ++i) {
                float& value = inputs_of_row[(static_cast<Index>(words[2]) + i) % inputs];
                if (!(std::abs(value) > 0.01f)) continue;
                value = flipped(value, 23 + words[3] % 4);
                ++hits;
                computed_by = rank;
                break;
            }
        };
        const std::string text = found(hooks);
        std::vector<std::int64_t> once{hits, hits > 0 ? computed_by : 0};
        world().sum(once);
        ASSERT_EQ(once[0], 1) << "trial " << trial;
        const std::string begin =
            fmt::format("step 3: micro-batch {}, computed by rank {} (host ", k, once[1]);
        EXPECT_EQ(text.find(begin), 0u) << "trial " << trial << ": " << text;
        EXPECT_NE(text.find(world().size() >= 3 ? "the first is wrong" : "one of them is wrong"),
                  std::string::npos)
            << text;
    }
}

TEST_F(SecondLooks, RaiseNoAlarmInAThousandStepsAndChangeNothing) {
    const std::int64_t steps = !slow && world().size() == 2 ? 1000 : 50;
    config_ = tiny_config(steps);
    config_.plan.global_batch_size = 2;
    config_.plan.micro_batch_size = 1;
    config_.stats_interval = 0;
    std::vector<std::string> bits;
    for (const std::int64_t interval : {1, 0}) {
        config_.verify_interval = interval;
        config_.ranks_per_node = static_cast<int>(interval);
        bits.push_back(on_ranks(world().size(), [&](const Communicator& ranks) {
            Trainer trainer(ranks, config_, &data_);
            return run_steps(trainer, steps).bits;
        }));
    }
    EXPECT_EQ(bits[0], bits[1]);
}

TEST(VerifiedMicroBatch, IsEachOfThemInTheEnd) {
    std::vector<int> looked_at(7, 0);
    for (std::int64_t step = 1; step <= 700; ++step)
        ++looked_at[static_cast<std::size_t>(verified_micro_batch(5, step, 7))];
    for (const int times : looked_at) EXPECT_NEAR(times, 100, 40);
    EXPECT_NE(verified_micro_batch(5, 3, 1 << 20), verified_micro_batch(6, 3, 1 << 20));
}

}  // namespace
}  // namespace evengrad::test
