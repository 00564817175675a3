#include "lab/reference.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// By what `one` must be multiplied to be `other`; nothing when no number does it.
std::optional<double> multiple(const std::vector<double>& one, const std::vector<double>& other) {
    constexpr double rounding = 1e-14;
    std::optional<double> scale;
    for (std::size_t s = 0; s < one.size(); ++s) {
        if (one[s] == 0.0 || other[s] == 0.0) {
            if (one[s] != other[s]) return std::nullopt;
            continue;
        }
        if (!scale) scale = other[s] / one[s];
        if (std::abs(one[s] * *scale - other[s]) > rounding * std::abs(other[s]))
            return std::nullopt;
    }
    return scale.value_or(1.0);
}

/// Adds a sequence's gradient to each sum, times its factor.
class WeighingSink final : public GradientSink<double> {
  public:
    WeighingSink(const ParameterTable& table, std::vector<std::vector<double>>& sums)
        : table_(table), sums_(sums), factors(sums.size()) {}

    void add(Index tensor, Index offset, std::span<const double> values) override {
        const auto begin = static_cast<std::size_t>(table_[tensor].offset + offset);
        for (std::size_t d = 0; d < sums_.size(); ++d) {
            const double factor = factors[d];
            double* to = sums_[d].data() + begin;
            for (std::size_t i = 0; i < values.size(); ++i) to[i] += factor * values[i];
        }
    }
    void add_cross_term(double) override {}

  private:
    const ParameterTable& table_;
    std::vector<std::vector<double>>& sums_;

  public:
    std::vector<double> factors;  ///< [directions] of the sequence that comes next
};

}  // namespace

template <class T>
Deviation deviation(std::span<const T> values, double scale, std::span<const double> reference,
                    double reference_scale) {
    EVENGRAD_CHECK(values.size() == reference.size(), "gradients of {} and {} elements",
                   values.size(), reference.size());
    double apart = 0.0, size = 0.0, reference_size = 0.0, product = 0.0;
    for (std::size_t i = 0; i < reference.size(); ++i) {
        const double v = scale * static_cast<double>(values[i]), r = reference_scale * reference[i];
        apart += (v - r) * (v - r);
        size += v * v;
        reference_size += r * r;
        product += v * r;
    }
    if (!(reference_size > 0.0) || !(size > 0.0))
        throw Error("a gradient of 0, of which nothing can be said",
                    "audit weights that have something to learn from these data");
    const double cosine = product / std::sqrt(size) / std::sqrt(reference_size);
    return {std::sqrt(apart / reference_size), std::clamp(cosine, -1.0, 1.0),
            std::sqrt(size / reference_size)};
}
template Deviation deviation(std::span<const float>, double, std::span<const double>, double);
template Deviation deviation(std::span<const double>, double, std::span<const double>, double);

WeighedGradients::WeighedGradients(const ModelConfig& config, const ParameterTable& table,
                                   std::span<const float> weights, const StepPlan& singles,
                                   const DropoutKey& dropout,
                                   const std::vector<Weighing>& weighings,
                                   const std::function<void()>& done) {
    std::vector<const Weighing*> distinct;
    for (const Weighing& weighing : weighings) {
        std::optional<Multiple> found;
        for (std::size_t d = 0; d < distinct.size() && !found; ++d)
            if (const auto scale = multiple(distinct[d]->factors, weighing.factors))
                found = Multiple{d, *scale};
        if (!found) {
            found = Multiple{distinct.size(), 1.0};
            distinct.push_back(&weighing);
        }
        multiples_.push_back(*found);
    }
    sums_.assign(distinct.size(), std::vector<double>(weights.size(), 0.0));
    losses_.assign(distinct.size(), 0.0);

    const std::vector<double> exact(weights.begin(), weights.end());
    const auto model = make_model<double>(config, table);
    WeighingSink sink(table, sums_);
    for (std::int64_t k = 0; k < singles.size(); ++k) {
        const MicroBatch batch = singles.micro_batch(k);
        EVENGRAD_CHECK(batch.lengths.size() == 1, "micro-batch {} has {} sequences", k,
                       batch.lengths.size());
        if (singles.loss_tokens[static_cast<std::size_t>(k)] > 0) {
            const auto place = static_cast<std::size_t>(batch.keys.front());
            for (std::size_t d = 0; d < distinct.size(); ++d)
                sink.factors[d] = distinct[d]->factors[place];
            model->reserve(MicroBatchSize::of(batch), true);
            const double loss = model->forward_backward(exact.data(), batch, dropout, sink).loss;
            if (!std::isfinite(loss))
                throw Error(fmt::format("step {}: the loss of sequence {} of the global batch is "
                                        "not a number, in double precision",
                                        singles.step + 1, place),
                            "the weights are too large; audit an earlier checkpoint");
            for (std::size_t d = 0; d < distinct.size(); ++d) losses_[d] += sink.factors[d] * loss;
        }
        if (done) done();
    }
}

double WeighedGradients::loss(std::size_t weighing) const {
    const Multiple& multiple = multiples_[weighing];
    return multiple.scale * losses_[multiple.direction];
}

Deviation WeighedGradients::deviation_of(std::size_t one, std::size_t other) const {
    const Multiple &m = multiples_[one], &r = multiples_[other];
    return deviation<double>(sums_[m.direction], m.scale, sums_[r.direction], r.scale);
}

Deviation WeighedGradients::deviation_of(std::span<const float> values, std::size_t other) const {
    const Multiple& r = multiples_[other];
    return deviation<float>(values, 1.0, sums_[r.direction], r.scale);
}

std::vector<double> WeighedGradients::gradient(std::size_t weighing) const {
    const Multiple& m = multiples_[weighing];
    std::vector<double> values = sums_[m.direction];
    for (double& value : values) value *= m.scale;
    return values;
}

}  // namespace evengrad
