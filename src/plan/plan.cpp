#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "base/narrow.hpp"
#include "base/philox.hpp"
#include <evengrad/plan.hpp>

namespace evengrad {

namespace {

template <class T>
std::span<const T> part(const std::vector<T>& values, std::int64_t begin, std::int64_t end) {
    return std::span<const T>(values).subspan(at(begin), at(end - begin));
}

/// An epoch's draws by part: all sequences without shares, else in their proportion, as many in
/// all; what rounding down leaves over goes to the largest remainders.
std::vector<std::int64_t> draws_by_share(const Dataset& data, const Sequences& sequences) {
    const auto& shares = data.shares();
    const auto parts = static_cast<std::int64_t>(data.parts().size());
    std::vector<std::int64_t> draws;
    for (std::int64_t p = 0; p < parts; ++p)
        draws.push_back(sequences.first_of(p + 1) - sequences.first_of(p));
    if (shares.empty()) return draws;
    const double all = std::accumulate(shares.begin(), shares.end(), 0.0);
    std::vector<std::pair<double, std::size_t>> remainders;
    std::int64_t left = sequences.size();
    for (std::size_t p = 0; p < shares.size(); ++p) {
        if (draws[p] == 0)
            throw Error(fmt::format("{}: has no sequence to draw", data.parts()[p].name()),
                        "leave it out, or give a file of which some tokens carry loss");
        const double exact = static_cast<double>(sequences.size()) * (shares[p] / all);
        draws[p] = static_cast<std::int64_t>(exact);
        left -= draws[p];
        remainders.emplace_back(static_cast<double>(draws[p]) - exact, p);
    }
    std::sort(remainders.begin(), remainders.end());
    for (std::int64_t i = 0; i < left; ++i) ++draws[remainders[at(i) % remainders.size()].second];
    for (std::size_t p = 0; p < shares.size(); ++p)
        if (draws[p] == 0)
            throw Error(fmt::format("{}: a share of {} in {} is less than one sequence an epoch "
                                    "of {}",
                                    data.parts()[p].name(), shares[p], all, sequences.size()),
                        "give it a larger share");
    return draws;
}

}  // namespace

std::vector<std::string> PlanConfig::validate() const {
    std::vector<std::string> problems;
    // Places in a global batch, and what is computed from them, are 32-bit numbers.
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    const auto positive = [&](std::int64_t value, const char* option) {
        if (value > most)
            problems.push_back(fmt::format("--{} must be at most {}, not {}", option, most, value));
        if (value < 1)
            problems.push_back(fmt::format("--{} must be at least 1, not {}", option, value));
    };
    positive(global_batch_size, "global-batch-size");
    if (micro_batch_tokens == 0) positive(micro_batch_size, "micro-batch-size");
    if (micro_batch_tokens != 0) positive(micro_batch_tokens, "micro-batch-tokens");
    try {
        LossReduction::parse(reduction.text());
    } catch (const Error& error) {
        problems.emplace_back(error.what());
    }
    if (seed >= seed_limit)
        problems.push_back(fmt::format("--seed must be below 2^56, not {}", seed));
    return problems;
}

Permutation::Permutation(std::uint64_t size, std::uint64_t seed, std::uint64_t epoch)
    : size_(size),
      seed_(seed),
      epoch_(epoch),
      half_bits_((static_cast<unsigned>(std::bit_width(size)) + 2) / 2) {}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
    EVENGRAD_CHECK(index < size_, "index {} of a permutation of {}", index, size_);
    const Philox philox(seed_, RandomPurpose::shuffle);
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    do {
        std::uint64_t left = index >> half_bits_;
        std::uint64_t right = index & mask;
        for (std::uint32_t round = 0; round < 4; ++round) {
            const auto word =
                philox(static_cast<std::uint32_t>(right), round, static_cast<std::uint32_t>(epoch_),
                       static_cast<std::uint32_t>(epoch_ >> 32))[0];
            const std::uint64_t next = left ^ (word & mask);
            left = right;
            right = next;
        }
        index = left << half_bits_ | right;
    } while (index >= size_);
    return index;
}

MicroBatch StepPlan::micro_batch(std::int64_t k) const {
    const auto s0 = sequence_begin[at(k)], s1 = sequence_begin[at(k + 1)];
    const auto t0 = token_begin[at(k)], t1 = token_begin[at(k + 1)];
    const auto rows = [&](const std::vector<float>& numbers) {
        const auto width =
            static_cast<std::int64_t>(numbers.size() / std::max<std::size_t>(tokens.size(), 1));
        return part(numbers, t0 * width, t1 * width);
    };
    return {part(lengths, s0, s1), part(keys, s0, s1),    part(sequence_ids, s0, s1),
            part(tokens, t0, t1),  part(targets, t0, t1), part(weights, t0, t1),
            rows(features),        rows(values)};
}

MicroBatch MicroBatch::sequence(std::size_t s, std::size_t position) const {
    const auto length = static_cast<std::size_t>(lengths[s]);
    const auto rows = [&](std::span<const float> numbers) {
        const std::size_t width = numbers.size() / tokens.size();
        return numbers.subspan(position * width, length * width);
    };
    return {lengths.subspan(s, 1),
            keys.subspan(s, 1),
            sequence_ids.subspan(s, 1),
            tokens.subspan(position, length),
            targets.subspan(position, length),
            weights.subspan(position, length),
            rows(features),
            rows(values)};
}

std::int64_t StepPlan::total_loss_tokens() const {
    return std::accumulate(loss_tokens.begin(), loss_tokens.end(), std::int64_t{0});
}

void StepPlan::append(const Dataset& data, std::span<const Sequence> sequences,
                      std::span<const std::int64_t> ids, std::span<const std::int32_t> places) {
    std::int64_t loss_count = 0;
    double weight_sum = 0.0;  // exact: weights are multiples of 2^-24
    std::vector<std::int32_t> read_tokens;
    std::vector<float> read_weights;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
        const Sequence& s = sequences[i];
        sequence_ids.push_back(ids[i]);
        lengths.push_back(s.length);
        keys.push_back(places[i]);
        read_tokens.resize(at(s.length) + 1);
        read_weights.resize(at(s.length) + 1);
        data.part(s.part).read(s.begin, read_tokens, read_weights);
        tokens.insert(tokens.end(), read_tokens.begin(), read_tokens.end() - 1);
        targets.insert(targets.end(), read_tokens.begin() + 1, read_tokens.end());
        weights.insert(weights.end(), read_weights.begin() + 1, read_weights.end());
        if (const RowShape shape = data.row_shape(); shape.features > 0) {
            features.resize(features.size() + at(shape.features));
            values.resize(values.size() + at(shape.values));
            data.part(s.part).read_row(s.document, std::span(features).last(at(shape.features)),
                                       std::span(values).last(at(shape.values)));
        }
        for (std::size_t t = 1; t < read_weights.size(); ++t) {
            weight_sum += static_cast<double>(read_weights[t]);
            loss_count += read_weights[t] > 0.0f;
        }
    }
    sequence_begin.push_back(static_cast<std::int64_t>(sequence_ids.size()));
    token_begin.push_back(static_cast<std::int64_t>(tokens.size()));
    loss_tokens.push_back(loss_count);
    weight.push_back(weight_sum);
}

Planner::Planner(const Dataset& data, const PlanConfig& config)
    : data_(&data), config_(config), sequences_(data, config.sequences, config.seq_length) {
    if (!data.has_loss())
        throw Error(
            fmt::format("{}: no token carries a loss, there is nothing to train on", data.source()),
            "give data with text, or with completions");
    draws_ = draws_by_share(data, sequences_);
    steps_per_epoch_ =
        (sequences_.size() + config.global_batch_size - 1) / config.global_batch_size;
}

/// The sequence that an epoch's draw `index` takes.
std::int64_t Planner::draw(std::int64_t epoch, std::int64_t index) const {
    const Permutation shuffle(at(sequences_.size()), config_.seed, at(epoch));
    auto place = static_cast<std::int64_t>(shuffle(static_cast<std::uint64_t>(index)));
    if (data_->shares().empty()) return place;
    std::int64_t part = 0;
    while (place >= draws_[at(part)]) place -= draws_[at(part++)];
    // The part goes through its own epochs, each with an order of its own.
    const std::int64_t first = sequences_.first_of(part);
    const std::int64_t count = sequences_.first_of(part + 1) - first;
    const std::int64_t drawn = epoch * draws_[at(part)] + place;
    const std::uint64_t order = at(drawn / count) | at(part + 1) << 48;
    return first + static_cast<std::int64_t>(
                       Permutation(at(count), config_.seed, order)(at(drawn % count)));
}

StepPlan Planner::plan(std::int64_t step) const {
    const std::int64_t epoch = step / steps_per_epoch_;
    const std::int64_t first = step % steps_per_epoch_ * config_.global_batch_size;
    const std::int64_t last = std::min(first + config_.global_batch_size, sequences_.size());
    std::vector<std::int64_t> ids;
    for (std::int64_t i = first; i < last; ++i) ids.push_back(draw(epoch, i));
    StepPlan plan = plan_of(ids);
    apply_reduction(config_.reduction, plan);
    plan.step = step;
    plan.epoch = epoch;
    return plan;
}

/// Whole sequences into micro-batches: by count in their order, or by tokens, the longest first,
/// each into the first micro-batch with room (first-fit decreasing).
StepPlan Planner::plan_of(const std::vector<std::int64_t>& ids) const {
    std::vector<Sequence> sequences;
    for (const std::int64_t id : ids) sequences.push_back(sequences_[id]);
    const auto length_of = [&](std::int32_t place) { return sequences[at(place)].length; };
    std::vector<std::vector<std::int32_t>> bins;  // places in `ids`
    std::vector<std::int32_t> places(ids.size());
    std::iota(places.begin(), places.end(), 0);
    if (config_.micro_batch_tokens > 0) {
        std::stable_sort(places.begin(), places.end(), [&](std::int32_t a, std::int32_t b) {
            return length_of(a) > length_of(b);
        });
        std::vector<std::int64_t> room;
        std::size_t first_open = 0;  // bins before this have no room for even one token
        for (const std::int32_t place : places) {
            const std::int64_t need = length_of(place);
            while (first_open < room.size() && room[first_open] <= 0) ++first_open;
            std::size_t bin = first_open;
            while (bin < room.size() && room[bin] < need) ++bin;
            if (bin == room.size()) {
                bins.emplace_back();
                room.push_back(config_.micro_batch_tokens);
            }
            bins[bin].push_back(place);
            room[bin] -= need;
        }
    } else {
        for (std::size_t i = 0; i < places.size(); ++i) {
            if (i % at(config_.micro_batch_size) == 0) bins.emplace_back();
            bins.back().push_back(places[i]);
        }
    }
    StepPlan plan;
    std::vector<Sequence> chosen;
    std::vector<std::int64_t> chosen_ids;
    for (const auto& bin : bins) {
        chosen.clear();
        chosen_ids.clear();
        for (const std::int32_t place : bin) {
            chosen_ids.push_back(ids[at(place)]);
            chosen.push_back(sequences[at(place)]);
        }
        plan.append(*data_, chosen, chosen_ids, bin);
    }
    plan.denominator = std::accumulate(plan.weight.begin(), plan.weight.end(), 0.0);
    return plan;
}

std::vector<std::vector<std::int64_t>> deal_to_nodes(std::span<const double> costs,
                                                     std::span<const double> speeds) {
    std::vector<std::int64_t> order(costs.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t a, std::int64_t b) { return costs[at(a)] > costs[at(b)]; });
    std::vector<std::vector<std::int64_t>> dealt(speeds.size());
    std::vector<double> load(speeds.size(), 0.0);
    for (const std::int64_t k : order) {
        std::size_t best = 0;
        double best_end = 0.0;
        for (std::size_t n = 0; n < load.size(); ++n) {
            const double end = (load[n] + costs[at(k)]) / speeds[n];
            if (n == 0 || end < best_end) {
                best = n;
                best_end = end;
            }
        }
        load[best] += costs[at(k)];
        dealt[best].push_back(k);
    }
    return dealt;
}

}  // namespace evengrad
