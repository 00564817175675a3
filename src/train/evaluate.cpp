#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <numeric>

#include "base/cpu.hpp"
#include "checkpoint/schema.hpp"
#include "kernels/blas.hpp"
#include "train/evaluation.hpp"

namespace evengrad {

namespace {

/// Sequences at a time, so that held-out data may be larger than memory, and progress shows. Enough
/// for all ranks to be busy; the result doesn't depend on it.
std::int64_t window_size(std::int64_t seq_length, int ranks) {
    constexpr std::int64_t positions = 1 << 16, most = 4096, per_rank = 8;
    return std::min(most, std::max(positions / seq_length, per_rank * ranks));
}

/// Which sequences an evaluation takes, in the data's order.
class Choice {
  public:
    Choice(std::int64_t all, const EvaluateConfig& config) : size_(all) {
        if (config.most_sequences == 0 || config.most_sequences >= all) return;
        size_ = config.most_sequences;
        const Permutation shuffle(static_cast<std::uint64_t>(all), config.seed, 0);
        for (std::int64_t i = 0; i < size_; ++i)
            chosen_.push_back(static_cast<std::int64_t>(shuffle(static_cast<std::uint64_t>(i))));
        std::sort(chosen_.begin(), chosen_.end());
    }

    std::int64_t size() const { return size_; }
    std::vector<std::int64_t> ids(std::int64_t first, std::int64_t last) const {
        if (!chosen_.empty()) return {chosen_.begin() + first, chosen_.begin() + last};
        std::vector<std::int64_t> all(static_cast<std::size_t>(last - first));
        std::iota(all.begin(), all.end(), first);
        return all;
    }

  private:
    std::int64_t size_;
    std::vector<std::int64_t> chosen_;  ///< empty: all
};

/// Rank 0's side: it has the data, makes the plans, and adds up what they gave.
class Evaluator {
  public:
    Evaluator(const Dataset& data, const EvaluateConfig& config, const ModelConfig& model)
        : data_(data.parts()),
          planner_(data_, plan_config(config, model.seq_length())),
          choice_(planner_.sequences().size(), config) {
        result_.parts.resize(data_.parts().size());
        has_classes_ = data_.row_shape().values == 0;
        const Tokenizer& tokenizer = *data_.tokenizer();
        if (!tokenizer.spec().has_text()) return;
        for (std::int32_t token = 0; token < tokenizer.vocabulary_size(); ++token)
            bytes_of_.push_back(static_cast<double>(tokenizer.text_of(token).size()));
    }

    std::int64_t size() const { return choice_.size(); }
    StepPlan plan(std::int64_t first, std::int64_t last) const {
        return planner_.plan_of(choice_.ids(first, last));
    }

    void add(const StepPlan& plan, const Ledger& ledger) {
        for (std::int64_t k = 0; k < plan.size(); ++k) {
            const LedgerRow& row = ledger.rows()[static_cast<std::size_t>(k)];
            const MicroBatch batch = plan.micro_batch(k);
            constexpr double none = std::numeric_limits<double>::quiet_NaN();
            const EvaluationSums sums{1,        row.tokens,   row.weight,
                                      row.loss, bytes(batch), has_classes_ ? row.correct : none};
            result_.parts[static_cast<std::size_t>(sequence_of(batch).part)] += sums;
            if (row.tokens == 0) continue;
            const auto octave = static_cast<std::size_t>(
                std::bit_width(static_cast<std::uint64_t>(row.tokens)) - 1);
            if (octave >= result_.lengths.size()) result_.lengths.resize(octave + 1);
            result_.lengths[octave] += sums;
        }
    }

    /// The document of a micro-batch, for messages.
    std::string describe(const MicroBatch& batch) const {
        const Sequence sequence = sequence_of(batch);
        return data_.part(sequence.part).describe(sequence.document);
    }

    Evaluation result() {
        for (const EvaluationSums& part : result_.parts) result_.total += part;
        return std::move(result_);
    }

  private:
    static PlanConfig plan_config(const EvaluateConfig& config, std::int64_t seq_length) {
        PlanConfig plan;
        plan.sequences = config.sequences;
        plan.seq_length = seq_length;
        // One sequence a micro-batch: the result doesn't depend on how training cuts (R15).
        plan.micro_batch_size = 1;
        return plan;
    }

    Sequence sequence_of(const MicroBatch& batch) const {
        return planner_.sequences()[batch.sequence_ids.front()];
    }

    double bytes(const MicroBatch& batch) const {
        double sum = 0.0;  // exact: weights are multiples of 2^-24
        if (bytes_of_.empty()) return sum;
        for (std::size_t i = 0; i < batch.targets.size(); ++i)
            sum += static_cast<double>(batch.weights[i]) *
                   bytes_of_[static_cast<std::size_t>(batch.targets[i])];
        return sum;
    }

    Dataset data_;  ///< without shares
    Planner planner_;
    Choice choice_;
    bool has_classes_ = true;
    std::vector<double> bytes_of_;  ///< by token; empty: they have no text
    Evaluation result_;
};

/// @collective All ranks have the combined ledger, so all of them stop; rank 0 knows the document.
void check_losses(const Communicator& world, const std::optional<Evaluator>& evaluator,
                  const StepPlan& plan, const Ledger& ledger) {
    const auto& rows = ledger.rows();
    const auto found = std::find_if(rows.begin(), rows.end(),
                                    [](const LedgerRow& row) { return !std::isfinite(row.loss); });
    if (found == rows.end()) return;
    std::string document =
        evaluator ? evaluator->describe(plan.micro_batch(found - rows.begin())) : "";
    world.broadcast(document, 0);
    throw DivergedError(fmt::format("{}: its loss is not a number", document),
                        "the model's numbers overflow; evaluate an earlier checkpoint");
}

/// @collective
void broadcast(const Communicator& world, std::vector<EvaluationSums>& sums) {
    constexpr std::size_t size = sizeof(EvaluationSums) / sizeof(std::uint64_t);
    static_assert(size * sizeof(std::uint64_t) == sizeof(EvaluationSums) &&
                      std::is_trivially_copyable_v<EvaluationSums>,
                  "sums are 64-bit words");
    std::vector<std::uint64_t> words(size * sums.size());
    if (!sums.empty()) std::memcpy(words.data(), sums.data(), 8 * words.size());
    world.broadcast_resized(words, 0);
    sums.resize(words.size() / size);
    if (!sums.empty()) std::memcpy(static_cast<void*>(sums.data()), words.data(), 8 * words.size());
}

}  // namespace

EvaluationSums& EvaluationSums::operator+=(const EvaluationSums& other) {
    sequences += other.sequences;
    loss_tokens += other.loss_tokens;
    weight += other.weight;
    nats += other.nats;
    bytes += other.bytes;
    correct += other.correct;
    return *this;
}

std::optional<double> EvaluationSums::loss() const {
    if (!(weight > 0.0)) return std::nullopt;
    return nats / weight;
}

std::optional<double> EvaluationSums::perplexity() const {
    const auto mean = loss();
    if (!mean || !std::isfinite(std::exp(*mean))) return std::nullopt;
    return std::exp(*mean);
}

std::optional<double> EvaluationSums::accuracy() const {
    if (!(weight > 0.0) || std::isnan(correct)) return std::nullopt;
    return correct / weight;
}

std::optional<double> EvaluationSums::bits_per_byte() const {
    if (!(bytes > 0.0)) return std::nullopt;
    return nats / std::numbers::ln2 / bytes;
}

void check_evaluation_data(const Dataset& data, const ModelConfig& model) {
    check_data(data, model);
    if (!data.has_loss())
        throw Error(fmt::format("{}: no token carries a loss, there is nothing to evaluate on",
                                data.source()),
                    "give data with text, or with completions");
}

Evaluation evaluate(const Topology& topology, const NodeStore& store,
                    const ModelConfig& model_config, Model<float>& model, const Dataset* data,
                    const EvaluateConfig& config, const EvaluationProgress& progress) {
    const Communicator& world = topology.world();
    std::optional<Evaluator> evaluator;
    std::int64_t sequences = 0;
    if (world.rank() == 0) {
        EVENGRAD_CHECK(data != nullptr, "an evaluation without data");
        check_evaluation_data(*data, model_config);
        evaluator.emplace(*data, config, model_config);
        sequences = evaluator->size();
    }
    world.broadcast(std::span(&sequences, 1), 0);
    NodeSpeeds speeds(topology);
    const std::int64_t window = window_size(model_config.seq_length(), world.size());
    std::int64_t positions = 0;
    for (std::int64_t first = 0; first < sequences; first += window) {
        const std::int64_t last = std::min(first + window, sequences);
        StepPlan plan;
        if (evaluator) plan = evaluator->plan(first, last);
        broadcast_plan(world, plan);
        const Deal dealt = deal(speeds, model_config, plan);
        model.reserve(dealt.largest, false);
        Ledger ledger(plan.size());
        draw_micro_batches(
            topology, store, dealt.of_node[static_cast<std::size_t>(topology.node_index())],
            [&](std::int64_t k) {
                const MicroBatch batch = plan.micro_batch(k);
                LedgerRow row = begin_row(world.rank(), batch);
                const double begin = monotonic_seconds();
                if (row.tokens > 0) {
                    const LossSums sums = model.forward(store.weights().data(), batch);
                    row.loss = sums.loss;
                    row.correct = sums.correct;
                }
                row.nanoseconds = static_cast<std::int64_t>((monotonic_seconds() - begin) * 1e9);
                ledger.record(k, row);
            });
        ledger.combine(world);
        ledger.verify(plan);
        speeds.follow(ledger, dealt.costs);
        check_losses(world, evaluator, plan, ledger);
        if (!evaluator) continue;
        evaluator->add(plan, ledger);
        positions += static_cast<std::int64_t>(plan.tokens.size());
        if (progress) progress(last, sequences, positions);
    }
    Evaluation result;
    if (evaluator) result = evaluator->result();
    std::vector<EvaluationSums> total{result.total};
    broadcast(world, total);
    result.total = total.front();
    broadcast(world, result.parts);
    broadcast(world, result.lengths);
    return result;
}

Evaluation Trainer::evaluate(const Dataset* data, std::int64_t most_sequences) {
    State& s = *state_;
    return evengrad::evaluate(s.topology, s.store, s.config.model, *s.model, data,
                              {s.config.plan.sequences, most_sequences, s.config.seed});
}

Evaluation evaluate_checkpoint(const Communicator& world, const CheckpointInfo& checkpoint,
                               const Dataset* data, const EvaluateConfig& config,
                               int ranks_per_node, bool allow_mixed_cpus,
                               const EvaluationProgress& progress) {
    set_arithmetic_mode();
    use_one_blas_thread();
    const bool root = world.rank() == 0;
    if (root) {
        EVENGRAD_CHECK(data != nullptr, "an evaluation without data");
        check_evaluation_data(*data, checkpoint.model);
    }
    std::string architecture = root ? checkpoint.model.name() : "";
    std::string json = root ? schema::to_json(checkpoint.model) : "";
    world.broadcast(architecture, 0);
    world.broadcast(json, 0);
    const ModelConfig model_config = schema::model_from_json(architecture, json, "rank 0's model");
    const Topology topology(world, ranks_per_node);
    const ParameterTable table(model_config);
    const NodeStore store(topology, table, NodeStore::Holds::weights);
    self_test(topology);
    check_fingerprints(topology.world(), allow_mixed_cpus);
    if (root) read_checkpoint_weights(checkpoint, table, store.weights());
    share_weights_from_root(topology, store);
    const auto model = make_model<float>(model_config, table);
    return evaluate(topology, store, model_config, *model, data, config, progress);
}

}  // namespace evengrad
