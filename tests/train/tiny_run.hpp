// A small training run on uneven documents, and the same run on any number of this program's ranks.
#pragma once

#include <bit>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/digest.hpp"
#include "hdf5/scratch_folder.hpp"
#include "mpi_main.hpp"
#include <evengrad/error.hpp>
#include <evengrad/train.hpp>

namespace evengrad::test {

/// Documents of 2 to `longest` tokens, most of them short; the loss is on their second half, and on
/// nothing in every `masked_every`-th (0: in none).
inline Documents uneven_documents(int documents, int longest, int masked_every = 0) {
    std::mt19937 random(7);
    Documents data;
    data.source = "synthetic.jsonl";
    for (int d = 0; d < documents; ++d) {
        const double share = static_cast<double>(random() % 1000) / 1000.0;
        const int length = 2 + static_cast<int>((longest - 2) * share * share * share);
        const bool masked = masked_every > 0 && d % masked_every == 0;
        for (int i = 0; i < length; ++i) {
            const bool end = i == 0 || i == length - 1;
            data.tokens.push_back(end ? TokenizerSpec().end_of_text
                                      : static_cast<std::int32_t>(
                                            97 + (random() % 20) * static_cast<unsigned>(i % 2)));
            data.weights.push_back(!masked && i > 0 && i >= length / 2 ? 1.0f : 0.0f);
        }
        data.offsets.push_back(static_cast<std::int64_t>(data.tokens.size()));
        data.lines.push_back(d + 1);
    }
    return data;
}

/// Two layers of 32; the vocabulary is large enough that one tensor has two blocks.
inline TrainConfig tiny_config(std::int64_t train_iters) {
    TrainConfig config;
    GptConfig gpt;
    gpt.num_layers = 2;
    gpt.hidden_size = 32;
    gpt.ffn_hidden_size = 64;
    gpt.num_attention_heads = 2;
    gpt.seq_length = 96;
    gpt.vocab_size = 2100;
    gpt.init.std = 0.05;
    gpt.dropout = 0.1;
    config.model = gpt;
    config.plan.seq_length = 96;
    config.plan.global_batch_size = 24;
    config.plan.micro_batch_size = 2;
    config.schedule.lr = 3e-3;
    config.schedule.warmup_iters = 2;
    config.schedule.train_iters = train_iters;
    config.verify_interval = 2;  // second looks, which must change nothing and never cry wolf
    return config;
}

/// The documents without any loss in the first step of tiny_config's plan.
inline Documents without_loss_in_first_step(Documents documents) {
    const Dataset whole(documents);
    for (const std::int64_t id : Planner(whole, tiny_config(1).plan).plan(0).sequence_ids)
        for (auto t = documents.offsets[static_cast<std::size_t>(id)];
             t < documents.offsets[static_cast<std::size_t>(id) + 1]; ++t)
            documents.weights[static_cast<std::size_t>(t)] = 0.0f;
    return documents;
}

/// What a run gave. The first line of defense is `bits`: everything that must not depend on layout.
struct RunResult {
    std::string bits;
    std::vector<std::vector<std::int64_t>> who;  ///< by step, by micro-batch: rank
    std::vector<StepRecord> records;
};

/// Every bit of them.
inline std::string digest_of(const StepStatistics& statistics) {
    Digest digest;
    const auto add = [&]<class T>(const std::vector<T>& values) {
        digest.add_bytes(std::as_bytes(std::span(values)));
    };
    add(statistics.tensors);
    add(statistics.gradient_counts);
    add(statistics.weight_counts);
    add(statistics.layers);
    return digest.hex();
}

/// Steps of a trainer, as text in which every bit of losses, norms and statistics shows.
inline RunResult run_steps(Trainer& trainer, std::int64_t steps) {
    RunResult result;
    for (std::int64_t i = 0; i < steps; ++i) {
        const StepRecord record = trainer.step();
        const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value); };
        result.bits +=
            fmt::format("{}: loss {:016x} norm {:016x} clipped {:016x} tokens {} lost {} {}\n",
                        record.step, bits(record.loss.value_or(-1.0)), bits(record.grad_norm),
                        bits(record.clipped_grad_norm), record.loss_tokens, record.rounded_to_zero,
                        record.recomputed ? "twice" : "once");
        if (record.statistics) result.bits += digest_of(*record.statistics) + '\n';
        std::vector<std::int64_t> ranks;
        for (const LedgerEntry& entry : trainer.ledger()) ranks.push_back(entry.rank);
        result.who.push_back(std::move(ranks));
        result.records.push_back(record);
    }
    result.bits += trainer.digest();
    return result;
}

/// @collective Calls function(communicator of the first `ranks` ranks) on those, which gives a
/// text. Checks that they all got the same one, and returns it on every rank of the world.
template <class Function>
std::string on_ranks(int ranks, Function&& function) {
    const bool inside = world().rank() < ranks;
    const Communicator part = world().split(inside ? 0 : 1, world().rank());
    std::string own, text;
    if (inside) text = own = function(part);
    world().broadcast(text, 0);
    if (inside) {
        EXPECT_EQ(own, text) << "of " << ranks << " ranks, " << world().rank() << " got another";
    }
    return text;
}

/// A way to spread a run.
struct Layout {
    int ranks = 1;
    int ranks_per_node = 0;
};

inline std::string name(const Layout& layout) {
    return fmt::format("{} ranks, {} per node", layout.ranks, layout.ranks_per_node);
}

/// All layouts that this program's ranks allow: 1 to all ranks, in nodes of 1, 2, 3 and all ranks.
inline std::vector<Layout> layouts() {
    std::vector<Layout> all;
    for (int ranks = 1; ranks <= world().size(); ++ranks)
        for (int per_node = 0; per_node < ranks && per_node <= 3; ++per_node)
            all.push_back({ranks, per_node});
    return all;
}

/// The message of the Error that `function` must throw here; "" and a failure when it doesn't.
template <class Function>
std::string error_of(Function&& function) {
    return message_of<Error>(std::ref(function));
}

}  // namespace evengrad::test
