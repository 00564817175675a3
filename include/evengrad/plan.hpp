// From data to work: which sequences a step trains on, and into which micro-batches they are cut.
//
// Pure functions of seed, step and data, never of the number of ranks: a micro-batch is the
// canonical, indivisible unit of work. The loss reduction lives here and only here: it gives every
// token a weight and the step a denominator; everything after this knows weighted sums only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <evengrad/dataset.hpp>

namespace evengrad {

/// How documents become sequences.
enum class SequenceMode {
    documents,  ///< each document by itself, cut where it exceeds seq_length
    stream,     ///< all documents end to end, cut every seq_length tokens
};

/// How the losses of a global batch's tokens become the one number that is minimized. With w_t the
/// weight that the data give token t, l_t its loss, and W(x) the weights in x added up:
///
///     token-mean        sum_t w_t l_t / W(batch)
///     sequence-mean     mean over sequences s with W(s) > 0 of sum_{t in s} w_t l_t / W(s)
///     sum               sum_t w_t l_t
///     constant:C        sum_t w_t l_t / (C x sequences): Liu et al., "Understanding R1-Zero-like
///                       training" (Dr. GRPO), 2025
///     micro-batch-mean  mean over micro-batches k with W(k) > 0 of sum_{t in k} w_t l_t / W(k)
///     rank-mean:R       the same over R pretended ranks, to which micro-batches are dealt in turn
///
/// The last two are how trainers got it wrong: what they minimize depends on how the work is cut.
struct LossReduction {
    enum class Kind { token_mean, sequence_mean, sum, constant, micro_batch_mean, rank_mean };
    Kind kind = Kind::token_mean;
    double constant = 0.0;   ///< C, tokens
    std::int64_t ranks = 0;  ///< R

    /// @throws Error for anything that isn't one of the above, with C > 0 and R >= 1.
    static LossReduction parse(const std::string& text);
    std::string text() const;  ///< what parse() reads
    /// Whether it averages averages over parts of the batch that have no meaning by themselves.
    bool is_mean_of_means() const {
        return kind == Kind::micro_batch_mean || kind == Kind::rank_mean;
    }
};

struct PlanConfig {
    SequenceMode sequences = SequenceMode::documents;
    std::int64_t seq_length = 128;        ///< tokens; Trainer takes the model's
    std::int64_t global_batch_size = 32;  ///< sequences a step
    std::int64_t micro_batch_size = 4;    ///< sequences a micro-batch; unused with the next
    std::int64_t micro_batch_tokens = 0;  ///< tokens a micro-batch at most; 0: count sequences
    LossReduction reduction;              ///< of training; what is held out has its token mean
    std::uint64_t seed = 1234;            ///< Trainer takes TrainConfig::seed

    std::vector<std::string> validate() const;  ///< all problems at once
};

/// A run of input positions of one part of the data. Position i reads the file's token begin + i
/// and predicts the token begin + i + 1.
struct Sequence {
    std::int64_t part = 0;  ///< of Dataset::parts()
    std::int64_t begin = 0;
    std::int32_t length = 0;
    std::int64_t document = 0;  ///< of the part; that of its first token
};

/// The sequences of a dataset, by number, without a list of them.
class Sequences {
  public:
    Sequences(const Dataset& data, SequenceMode mode, std::int64_t seq_length);

    std::int64_t size() const { return first_.back(); }
    /// Numbers [first_of(p), first_of(p + 1)) are part p's, in the order of its tokens.
    std::int64_t first_of(std::int64_t part) const;
    Sequence operator[](std::int64_t id) const;

  private:
    const Dataset* data_;
    SequenceMode mode_;
    std::int64_t seq_length_;
    std::vector<std::int64_t> first_;                           ///< [parts + 1]
    std::vector<std::vector<std::int64_t>> first_of_document_;  ///< mode documents: [documents + 1]
};

/// A bijection of [0, size) chosen by (seed, epoch): a shuffle that needs no memory. Four rounds of
/// a Feistel network on Philox, with cycle walking (Black and Rogaway, "Ciphers with arbitrary
/// finite domains", CT-RSA 2002).
class Permutation {
  public:
    Permutation(std::uint64_t size, std::uint64_t seed, std::uint64_t epoch);
    std::uint64_t operator()(std::uint64_t index) const;

  private:
    std::uint64_t size_, seed_, epoch_;
    unsigned half_bits_;
};

/// One micro-batch of a plan, as views into it. N positions, S sequences, end to end, no padding.
struct MicroBatch {
    std::span<const std::int32_t> lengths;       ///< [S], adds up to N
    std::span<const std::int32_t> keys;          ///< [S] place in the global batch; keys dropout
    std::span<const std::int64_t> sequence_ids;  ///< [S]
    std::span<const std::int32_t> tokens;        ///< [N] inputs
    std::span<const std::int32_t> targets;       ///< [N] what each position is to predict
    std::span<const float> weights;              ///< [N] weight of that prediction's loss; 0: none
    std::span<const float> features = {};        ///< [N, features] of data that are rows of numbers
    std::span<const float> values = {};  ///< [N, values] what these rows are to give, if numbers

    /// Its sequence s, whose positions begin at `position`, as a micro-batch of its own.
    MicroBatch sequence(std::size_t s, std::size_t position) const;
};

/// All work of one step. Flat arrays, so that it travels in a few broadcasts.
struct StepPlan {
    std::int64_t step = 0;   ///< 0 for the first
    std::int64_t epoch = 0;  ///< 0 for the first
    double denominator = 0;  ///< what the summed loss and gradient are divided by
    std::vector<std::int64_t> sequence_begin{0};  ///< [M + 1] micro-batch k holds these sequences
    std::vector<std::int64_t> token_begin{0};     ///< [M + 1] and these positions
    std::vector<std::int64_t> loss_tokens;        ///< [M] positions with a weight above 0
    std::vector<double> weight;                   ///< [M] their weights added up
    std::vector<std::int64_t> sequence_ids;
    std::vector<std::int32_t> lengths, keys, tokens, targets;
    std::vector<float> weights;
    std::vector<float> features, values;  ///< of rows of numbers: [positions, width] each

    std::int64_t size() const { return static_cast<std::int64_t>(loss_tokens.size()); }  ///< M
    MicroBatch micro_batch(std::int64_t k) const;
    std::int64_t total_loss_tokens() const;

    /// Appends a micro-batch of these sequences; `keys` are their places in the global batch.
    void append(const Dataset& data, std::span<const Sequence> sequences,
                std::span<const std::int64_t> ids, std::span<const std::int32_t> keys);
};

/// Turns a plan under token mean into one under another reduction: token weights, their sums and
/// the denominator. Each weight is rounded to float once; the order of sums is the plan's. @local
void apply_reduction(const LossReduction& reduction, StepPlan& plan);

/// The global batches of a training run, step by step. An epoch's last batch may be short (R4).
///
/// Without shares an epoch is every sequence once, in an order that seed and epoch choose. With
/// shares it has as many draws, of which each part gives its share (largest remainder); a part's
/// draws go through all its sequences before any comes again.
class Planner {
  public:
    /// @throws Error when no token carries a loss, or a share is too small for one draw an epoch.
    Planner(const Dataset& data, const PlanConfig& config);

    std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
    const Sequences& sequences() const { return sequences_; }
    /// Draws that each part gives an epoch: [parts].
    const std::vector<std::int64_t>& draws() const { return draws_; }
    /// The plan of step `step` (0-based), under the configured reduction.
    StepPlan plan(std::int64_t step) const;
    /// These sequences, by number, as one plan under token mean: a token's weight is the data's,
    /// the denominator their sum. For evaluation.
    StepPlan plan_of(const std::vector<std::int64_t>& ids) const;

  private:
    std::int64_t draw(std::int64_t epoch, std::int64_t index) const;

    const Dataset* data_;
    PlanConfig config_;
    Sequences sequences_;
    std::vector<std::int64_t> draws_;
    std::int64_t steps_per_epoch_;
};

/// Micro-batches (by index) of each node: longest processing time first onto the node that would
/// finish it first (Graham 1969, for machines of unequal speed). `speeds` [nodes] are above 0, in
/// any unit: ranks, or measured. Each list is by falling cost.
std::vector<std::vector<std::int64_t>> deal_to_nodes(std::span<const double> costs,
                                                     std::span<const double> speeds);

}  // namespace evengrad
