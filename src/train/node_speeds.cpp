#include "train/node_speeds.hpp"

#include <numeric>

namespace evengrad {

namespace {
/// Of what was known, so much counts after one more pass: half in two. A single hiccup moves
/// little, and a node that stays slow is known after a few steps.
constexpr double fading = 0.7;
}  // namespace

NodeSpeeds::NodeSpeeds(const Topology& topology)
    : topology_(&topology),
      cost_(static_cast<std::size_t>(topology.world().size())),
      seconds_(cost_.size()) {}

std::vector<double> NodeSpeeds::of_nodes() const {
    const double all_cost = std::accumulate(cost_.begin(), cost_.end(), 0.0);
    const double all_seconds = std::accumulate(seconds_.begin(), seconds_.end(), 0.0);
    const double usual = all_seconds > 0.0 ? all_cost / all_seconds : 1.0;
    std::vector<double> speeds;
    for (int node = 0; node < topology_->node_count(); ++node) {
        double speed = 0.0;
        for (const int rank : topology_->ranks_of(node)) {
            const auto r = static_cast<std::size_t>(rank);
            speed += seconds_[r] > 0.0 ? cost_[r] / seconds_[r] : usual;
        }
        speeds.push_back(speed);
    }
    return speeds;
}

void NodeSpeeds::follow(const Ledger& ledger, std::span<const double> costs) {
    std::vector<double> cost(cost_.size()), seconds(cost_.size());
    for (std::size_t k = 0; k < costs.size(); ++k) {
        const LedgerRow& row = ledger.rows()[k];
        const auto rank = static_cast<std::size_t>(row.rank);
        cost[rank] += costs[k];
        seconds[rank] += static_cast<double>(row.nanoseconds) * 1e-9;
    }
    for (std::size_t r = 0; r < cost.size(); ++r) {
        if (!(cost[r] > 0.0 && seconds[r] > 0.0)) continue;  // it had no work: as fast as it was
        cost_[r] = fading * cost_[r] + cost[r];
        seconds_[r] = fading * seconds_[r] + seconds[r];
    }
}

}  // namespace evengrad
