#include "train/node_speeds.hpp"

#include <numeric>

namespace evengrad {

namespace {
/// Of what was known, so much counts after one more pass: half in two. A single hiccup moves
/// little, and a node that stays slow is known after a few steps.
constexpr double fading = 0.7;
/// A rank without work is taken for a bit more like the others each time, so that it gets some
/// again and shows what it is: what made it slow may have passed.
constexpr double forgiveness = 0.02;
}  // namespace

NodeSpeeds::NodeSpeeds(const Topology& topology)
    : topology_(&topology),
      cost_(static_cast<std::size_t>(topology.world().size())),
      seconds_(cost_.size()) {}

double NodeSpeeds::usual_speed() const {
    const double cost = std::accumulate(cost_.begin(), cost_.end(), 0.0);
    const double seconds = std::accumulate(seconds_.begin(), seconds_.end(), 0.0);
    return seconds > 0.0 ? cost / seconds : 1.0;
}

std::vector<double> NodeSpeeds::of_nodes() const {
    const double usual = usual_speed();
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
    const double usual = usual_speed();
    for (std::size_t r = 0; r < cost.size(); ++r) {
        const double speed = seconds_[r] > 0.0 ? cost_[r] / seconds_[r] : 0.0;
        cost_[r] *= fading;
        seconds_[r] *= fading;
        if (cost[r] > 0.0 && seconds[r] > 0.0) {
            cost_[r] += cost[r];
            seconds_[r] += seconds[r];
        } else {
            cost_[r] = (speed + forgiveness * (usual - speed)) * seconds_[r];
        }
    }
}

}  // namespace evengrad
