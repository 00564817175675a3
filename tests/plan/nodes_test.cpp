// Dealing micro-batches to nodes.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "base/philox.hpp"
#include <evengrad/plan.hpp>

namespace evengrad::test {
namespace {

using Dealt = std::vector<std::vector<std::int64_t>>;

std::vector<double> uneven_costs(std::size_t count) {
    const Philox philox(8, RandomPurpose::test);
    std::vector<double> costs;
    for (std::uint32_t i = 0; i < count; ++i)
        costs.push_back(std::pow(uniform_open(philox(i)[0]), 3.0) * 1e9);
    return costs;
}

TEST(DealToNodes, GivesEachMicroBatchToOneNode) {
    for (const std::size_t count : {0u, 1u, 2u, 5u, 100u})
        for (const std::vector<double>& ranks :
             {std::vector<double>{1}, {1, 1}, {4, 1, 2}, {8, 8, 8, 8, 8, 8, 8}}) {
            const auto costs = uneven_costs(count);
            const Dealt dealt = deal_to_nodes(costs, ranks);
            ASSERT_EQ(dealt.size(), ranks.size());
            std::vector<int> given(count, 0);
            for (const auto& node : dealt) {
                for (const std::int64_t k : node) ++given[static_cast<std::size_t>(k)];
                EXPECT_TRUE(std::is_sorted(node.begin(), node.end(), [&](auto a, auto b) {
                    return costs[static_cast<std::size_t>(a)] > costs[static_cast<std::size_t>(b)];
                })) << "by falling cost";
            }
            EXPECT_EQ(std::count(given.begin(), given.end(), 1), static_cast<long>(count));
            EXPECT_EQ(dealt, deal_to_nodes(costs, ranks));
        }
}

TEST(DealToNodes, InProportionToRanks) {
    for (const std::vector<double>& ranks :
         {std::vector<double>{1, 1}, {4, 1, 2}, {16, 1}, {3, 3, 3}}) {
        const auto costs = uneven_costs(200);
        const double total = std::accumulate(costs.begin(), costs.end(), 0.0);
        const double largest = *std::max_element(costs.begin(), costs.end());
        const double per_rank = total / std::accumulate(ranks.begin(), ranks.end(), 0.0);
        const Dealt dealt = deal_to_nodes(costs, ranks);
        for (std::size_t n = 0; n < ranks.size(); ++n) {
            double load = 0.0;
            for (const std::int64_t k : dealt[n]) load += costs[static_cast<std::size_t>(k)];
            // A node is picked while it ends first, so it passes the mean by one item at most.
            EXPECT_LE(load / ranks[n], per_rank + largest / ranks[n]) << n;
            EXPECT_GT(load, 0.0) << n;
        }
    }
}

// What takes a node of half the speed its share: half of the other's, but for one item.
TEST(DealToNodes, InProportionToSpeeds) {
    const auto costs = uneven_costs(300);
    const double total = std::accumulate(costs.begin(), costs.end(), 0.0);
    const double largest = *std::max_element(costs.begin(), costs.end());
    const std::vector<double> speeds{0.5e9, 1e9, 0.25e9};
    const Dealt dealt = deal_to_nodes(costs, speeds);
    for (std::size_t n = 0; n < speeds.size(); ++n) {
        double load = 0.0;
        for (const std::int64_t k : dealt[n]) load += costs[static_cast<std::size_t>(k)];
        EXPECT_NEAR(load, total * speeds[n] / 1.75e9, largest) << n;
    }
}

// R8, R10: nodes without work are normal.
TEST(DealToNodes, R8_LeavesNodesEmptyWhenThereIsTooLittle) {
    const std::vector<double> costs = {5.0, 7.0};
    const std::vector<double> ranks = {1, 1, 1, 1};
    const Dealt dealt = deal_to_nodes(costs, ranks);
    EXPECT_EQ(dealt, (Dealt{{1}, {0}, {}, {}}));
    const Dealt none = deal_to_nodes({}, ranks);
    EXPECT_EQ(none, (Dealt{{}, {}, {}, {}}));
}

TEST(DealToNodes, EqualCostsGoInOrder) {
    const std::vector<double> costs(6, 1.0);
    const std::vector<double> ranks = {1, 2};
    const Dealt dealt = deal_to_nodes(costs, ranks);
    EXPECT_EQ(dealt[0].size(), 2u);
    EXPECT_EQ(dealt[1].size(), 4u);
    EXPECT_TRUE(std::is_sorted(dealt[0].begin(), dealt[0].end()));
    EXPECT_TRUE(std::is_sorted(dealt[1].begin(), dealt[1].end()));
}

}  // namespace
}  // namespace evengrad::test
