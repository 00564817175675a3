#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

#include <evengrad/error.hpp>
#include <evengrad/plan.hpp>

namespace evengrad {

namespace {

using Kind = LossReduction::Kind;

constexpr std::array<std::pair<const char*, Kind>, 6> names{
    {{"token-mean", Kind::token_mean},
     {"sequence-mean", Kind::sequence_mean},
     {"sum", Kind::sum},
     {"constant", Kind::constant},
     {"micro-batch-mean", Kind::micro_batch_mean},
     {"rank-mean", Kind::rank_mean}}};

/// All of `text` as a number.
template <class T>
bool read_number(std::string_view text, T& number) {
    const char* end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, number);
    return problem == std::errc() && stop == end;
}

/// Gives every group of positions a weight of 1 in all. `group_of(s, k)` is the group of sequence s
/// in micro-batch k, below `groups`. Returns how many groups there are with a weight above 0.
template <class GroupOf>
std::int64_t weigh_groups_alike(StepPlan& plan, std::int64_t groups, const GroupOf& group_of) {
    std::vector<double> sums(static_cast<std::size_t>(groups), 0.0);
    const auto each_position = [&](const auto& visit) {
        std::size_t position = 0;
        for (std::int64_t k = 0; k < plan.size(); ++k)
            for (auto s = plan.sequence_begin[static_cast<std::size_t>(k)];
                 s < plan.sequence_begin[static_cast<std::size_t>(k) + 1]; ++s) {
                double& sum = sums[static_cast<std::size_t>(group_of(s, k))];
                for (std::int32_t i = 0; i < plan.lengths[static_cast<std::size_t>(s)]; ++i)
                    visit(plan.weights[position++], sum);
            }
    };
    each_position([](float weight, double& sum) { sum += static_cast<double>(weight); });
    each_position([](float& weight, double sum) {
        if (weight > 0.0f) weight = static_cast<float>(static_cast<double>(weight) / sum);
    });
    return std::count_if(sums.begin(), sums.end(), [](double sum) { return sum > 0.0; });
}

}  // namespace

LossReduction LossReduction::parse(const std::string& text) {
    const auto colon = text.find(':');
    const std::string name = text.substr(0, colon);
    const std::string number = colon == std::string::npos ? "" : text.substr(colon + 1);
    const auto found = std::find_if(names.begin(), names.end(),
                                    [&](const auto& known) { return known.first == name; });
    LossReduction reduction;
    bool sound = found != names.end();
    if (sound) {
        reduction.kind = found->second;
        if (reduction.kind == Kind::constant)
            sound = read_number(number, reduction.constant) && reduction.constant >= 1e-12 &&
                    reduction.constant <= 1e18;
        else if (reduction.kind == Kind::rank_mean)
            sound = read_number(number, reduction.ranks) && reduction.ranks >= 1 &&
                    reduction.ranks <= std::numeric_limits<std::int32_t>::max();
        else
            sound = colon == std::string::npos;
    }
    if (!sound)
        throw Error(fmt::format(
            "--loss-reduction {}: can be token-mean, sequence-mean, sum, "
            "constant:C with C from 1e-12 to 1e18, micro-batch-mean, or rank-mean:R with "
            "R from 1 to 2147483647",
            text));
    return reduction;
}

std::string LossReduction::text() const {
    const char* name = names[static_cast<std::size_t>(kind)].first;
    if (kind == Kind::constant) return fmt::format("{}:{}", name, constant);
    if (kind == Kind::rank_mean) return fmt::format("{}:{}", name, ranks);
    return name;
}

void apply_reduction(const LossReduction& reduction, StepPlan& plan) {
    // No token with a loss: the denominator stays 0, and the step is skipped (R7).
    if (!(plan.denominator > 0.0)) return;
    std::int64_t groups = 0;
    switch (reduction.kind) {
        case Kind::token_mean:
            return;
        case Kind::sum:
            plan.denominator = 1.0;
            return;
        case Kind::constant:
            plan.denominator = reduction.constant * static_cast<double>(plan.lengths.size());
            return;
        case Kind::sequence_mean:
            groups = weigh_groups_alike(plan, std::ssize(plan.lengths),
                                        [](std::int64_t s, std::int64_t) { return s; });
            break;
        case Kind::micro_batch_mean:
            groups = weigh_groups_alike(plan, plan.size(),
                                        [](std::int64_t, std::int64_t k) { return k; });
            break;
        case Kind::rank_mean: {
            const std::int64_t ranks = std::min(reduction.ranks, plan.size());
            groups = weigh_groups_alike(plan, ranks,
                                        [&](std::int64_t, std::int64_t k) { return k % ranks; });
            break;
        }
    }
    plan.denominator = static_cast<double>(groups);
    for (std::size_t k = 0; k < plan.weight.size(); ++k) {
        double sum = 0.0;  // in the order in which the ledger adds them
        for (auto t = plan.token_begin[k]; t < plan.token_begin[k + 1]; ++t)
            sum += static_cast<double>(plan.weights[static_cast<std::size_t>(t)]);
        plan.weight[k] = sum;
    }
}

}  // namespace evengrad
