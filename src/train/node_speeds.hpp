// How fast the nodes compute, from the ledger: by this the next step's micro-batches are dealt.
#pragma once

#include <span>
#include <vector>

#include "gradient/ledger.hpp"
#include "mpi/node.hpp"

namespace evengrad {

/// Machines of a cluster are often unequal, and some are slow for a while: another job, heat, a
/// failing fan. What is decided here changes when a step is done, never what it comes to.
class NodeSpeeds {
  public:
    explicit NodeSpeeds(const Topology& topology);  ///< which must outlive it

    /// @local [nodes] Cost per second, where none is known yet by number of ranks. A rank that has
    /// computed nothing so far counts as the mean of the others.
    std::vector<double> of_nodes() const;

    /// @local Takes in a pass: who computed which micro-batch, of what cost (relative time, [micro-
    /// batches]), for how long. All ranks have the same ledger, so they come to the same speeds.
    void follow(const Ledger& ledger, std::span<const double> costs);

  private:
    double usual_speed() const;  ///< a rank's

    const Topology* topology_;
    std::vector<double> cost_, seconds_;  ///< [ranks] sums in which the past fades
};

}  // namespace evengrad
