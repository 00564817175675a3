#include "train/spike.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "gradient/noise.hpp"
#include "train/work.hpp"

namespace evengrad {

namespace {

/// Multiplies what it is given with the gradient, block by block.
class ProductSink final : public GradientSink<float> {
  public:
    ProductSink(const ParameterTable& table, const MeanGradient& gradient)
        : table_(table), gradient_(gradient), by_block_(table.blocks().size(), 0.0) {}

    void add(Index tensor, Index offset, std::span<const float> values) override {
        gradient_.add_products(table_, tensor, table_[tensor].offset + offset, values, by_block_);
    }
    void add_cross_term(double) override {}

    /// @collective The scalar product over all blocks: one writer a block, folded in their order.
    double total(const Communicator& world) const {
        std::vector<std::uint64_t> words;
        for (const double product : by_block_)
            words.push_back(std::bit_cast<std::uint64_t>(product));
        world.sum(words);
        double sum = 0.0;
        for (const std::uint64_t word : words) sum += std::bit_cast<double>(word);
        return sum;
    }

  private:
    const ParameterTable& table_;
    const MeanGradient& gradient_;
    std::vector<double> by_block_;
};

DocumentId document_of(const Planner& planner, std::int64_t sequence_id) {
    const Sequence sequence = planner.sequences()[sequence_id];
    return {sequence.part, sequence.document};
}

/// "FILE line 12", of the first eight documents of micro-batch k at most, then "...". Rank 0's.
std::vector<std::string> places_of(const Trainer::State& state, const StepPlan& plan,
                                   std::int64_t k) {
    constexpr std::size_t most = 8;
    std::vector<std::string> places;
    for (const DocumentId& document : documents_of(*state.planner, plan, k)) {
        if (places.size() == most) {
            places.emplace_back("...");
            break;
        }
        places.push_back(state.data->part(document.part).place(document.document));
    }
    return places;
}

/// The micro-batches with the largest gradients; of equal ones the first.
void name_largest(const Trainer::State& s, const StepPlan& plan, StepRecord& record) {
    constexpr std::size_t most = 3;
    const auto& rows = s.ledger.rows();
    std::vector<std::int64_t> order(rows.size());
    std::iota(order.begin(), order.end(), 0);
    const auto norm = [&](std::int64_t k) {
        return rows[static_cast<std::size_t>(k)].squared_norm;
    };
    const auto named = order.begin() + static_cast<std::ptrdiff_t>(std::min(most, order.size()));
    std::partial_sort(order.begin(), named, order.end(), [&](std::int64_t a, std::int64_t b) {
        return norm(a) != norm(b) ? norm(a) > norm(b) : a < b;
    });
    for (auto k = order.begin(); k != named; ++k)
        record.largest.push_back(
            {*k, std::sqrt(norm(*k)) / plan.denominator,
             s.is_root() ? places_of(s, plan, *k) : std::vector<std::string>{}});
}

}  // namespace

std::vector<DocumentId> documents_of(const Planner& planner, const StepPlan& plan, std::int64_t k) {
    std::vector<DocumentId> documents;
    for (const std::int64_t id : plan.micro_batch(k).sequence_ids) {
        const DocumentId document = document_of(planner, id);
        if (std::find(documents.begin(), documents.end(), document) == documents.end())
            documents.push_back(document);
    }
    return documents;
}

std::vector<DocumentShare> document_shares(Trainer::State& state, const StepPlan& plan,
                                           std::int64_t k, const MeanGradient& gradient) {
    const Communicator& world = state.topology.world();
    const MicroBatch whole = plan.micro_batch(k);
    // Whose sequences these are, only rank 0 can tell.
    std::vector<DocumentId> documents;
    std::vector<std::int64_t> owners(whole.sequence_ids.size());
    std::int64_t count = 0;
    if (state.is_root()) {
        documents = documents_of(*state.planner, plan, k);
        count = std::ssize(documents);
        for (std::size_t s = 0; s < owners.size(); ++s)
            owners[s] = std::find(documents.begin(), documents.end(),
                                  document_of(*state.planner, whole.sequence_ids[s])) -
                        documents.begin();
    }
    world.broadcast(std::span(&count, 1), 0);
    world.broadcast(std::span(owners), 0);
    const DropoutKey dropout{dropout_step_key(state.config.seed, plan.step),
                             state.config.model.dropout()};
    std::vector<DocumentShare> shares(static_cast<std::size_t>(count));
    std::size_t position = 0;
    for (std::size_t i = 0; i < owners.size(); ++i) {
        ProductSink sink(state.table, gradient);
        state.model->forward_backward(state.store.weights().data(), whole.sequence(i, position),
                                      dropout, sink);
        shares[static_cast<std::size_t>(owners[i])].share +=
            sink.total(world) / (plan.denominator * gradient.norm() * gradient.norm());
        position += static_cast<std::size_t>(whole.lengths[i]);
    }
    for (std::size_t d = 0; d < documents.size(); ++d) {
        shares[d].document = documents[d];
        shares[d].description = state.data->part(documents[d].part).describe(documents[d].document);
    }
    std::stable_sort(shares.begin(), shares.end(),
                     [](const auto& a, const auto& b) { return a.share > b.share; });
    return shares;
}

void judge(Trainer::State& s, const StepPlan& plan, const MeanGradient& gradient,
           StepRecord& record) {
    name_largest(s, plan, record);
    const double sum_norm = gradient.norm() * plan.denominator;
    const auto noise = gradient_noise(s.ledger, sum_norm * sum_norm);
    if (noise) {
        record.gradient_signal = noise->signal;
        record.gradient_noise = noise->noise;
    }
    const auto score = s.recent.score(gradient.norm());
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    s.recent.add(gradient.norm(), record.gradient_signal.value_or(none),
                 record.gradient_noise.value_or(none));
    if (const auto scale = s.recent.noise_scale()) {
        record.noise_scale = scale->tokens;
        record.noise_scale_error = scale->error;
    }
    if (!score) return;
    record.norm_score = score->z;
    record.skipped = s.config.skip_on_spike > 0.0 && score->z > s.config.skip_on_spike;
    const bool reported = s.config.report_spike > 0.0 && score->z > s.config.report_spike;
    if (!reported && !record.skipped) return;
    const std::int64_t k = record.largest.front().micro_batch;
    record.spike = {score->usual, k, document_shares(s, plan, k, gradient)};
}

std::string spike_text(const StepRecord& record) {
    const Spike& spike = *record.spike;
    // Those that matter, but one at least.
    constexpr double least_share = 0.1;
    constexpr std::size_t most = 3;
    std::string shares;
    for (std::size_t d = 0; d < std::min(most, spike.documents.size()); ++d) {
        const DocumentShare& share = spike.documents[d];
        if (d > 0 && share.share < least_share) break;
        shares += fmt::format("{}{:.0f} % along {}", d > 0 ? "; " : "", 100.0 * share.share,
                              share.description);
    }
    return fmt::format(
        "step {}: gradient norm {:.3g} (usual {:.3g}, {:.1f} standard deviations): {}{}",
        record.step, record.grad_norm, spike.usual_norm, *record.norm_score, shares,
        record.skipped ? "; the update was left out" : "");
}

}  // namespace evengrad
