// Evaluation: the exact mean loss of a model over held-out data, in total and by what it is made
// of.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <evengrad/checkpoint.hpp>
#include <evengrad/communicator.hpp>
#include <evengrad/dataset.hpp>
#include <evengrad/plan.hpp>

namespace evengrad {

/// Sums over predicted tokens. What they give is undefined, not 0, where nothing was summed (R9).
struct EvaluationSums {
    std::int64_t sequences = 0;    ///< as the model sees them: cut at seq_length
    std::int64_t loss_tokens = 0;  ///< with a weight above 0
    double weight = 0.0;           ///< their weights
    double nats = 0.0;             ///< weight * loss
    double bytes = 0.0;            ///< weight * bytes of the token's text; end_of_text has none
    double correct = 0.0;  ///< weight of those that the model found likeliest of all; NaN where
                           ///< values are predicted

    EvaluationSums& operator+=(const EvaluationSums& other);

    std::optional<double> loss() const;        ///< nats / weight: the weighted token mean
    std::optional<double> accuracy() const;    ///< correct / weight
    std::optional<double> perplexity() const;  ///< exp(loss), if it isn't beyond all doubles
    /// nats / ln 2 / bytes, which can be compared across tokenizers: with weights of 0 and 1 the
    /// bits that all loss tokens cost, end_of_text among them, by the bytes they stand for. None
    /// for ids, classes and values, which stand for no text.
    std::optional<double> bits_per_byte() const;
};

/// The same on every rank and, bit for bit, on every layout (R15): a sequence is a micro-batch by
/// itself, and what they give is summed in the data's order.
struct Evaluation {
    EvaluationSums total;               ///< the parts, added up in order
    std::vector<EvaluationSums> parts;  ///< [Dataset::parts()]
    /// By length of completion: [i] holds the sequences of 2^i to 2^(i+1) - 1 loss tokens. Those
    /// without any are in `parts` only.
    std::vector<EvaluationSums> lengths;
};

/// What an evaluation looks at.
struct EvaluateConfig {
    SequenceMode sequences = SequenceMode::documents;
    /// So many sequences at most, the same ones every time: chosen evenly from all by `seed` and
    /// the number of sequences in the data. 0: all.
    std::int64_t most_sequences = 0;
    std::uint64_t seed = 1234;
};

/// Told on rank 0, now and then: sequences done and to be done, positions computed so far.
using EvaluationProgress =
    std::function<void(std::int64_t done, std::int64_t all, std::int64_t positions)>;

/// @collective Evaluates a checkpoint's weights, of which each node holds one copy and nothing of
/// what training needs beside them. `checkpoint`, `data` and `progress` (which may be empty) matter
/// on rank 0 only; a mixture's shares don't matter, every token counts once.
/// @throws Error: data without any loss token or with a larger vocabulary, a damaged checkpoint,
/// mixed CPUs unless allowed. DivergedError, on all ranks alike: a loss that is no number (naming
/// the document).
Evaluation evaluate_checkpoint(const Communicator& world, const CheckpointInfo& checkpoint,
                               const Dataset* data, const EvaluateConfig& config,
                               int ranks_per_node = 0, bool allow_mixed_cpus = false,
                               const EvaluationProgress& progress = {});

/// How the run that wrote a checkpoint made sequences of documents. @local @throws Error
SequenceMode sequence_mode_of(const CheckpointInfo& checkpoint);

}  // namespace evengrad
