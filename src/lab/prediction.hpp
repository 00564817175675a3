// How long a step would take on N equal nodes: what travels, from the tables that a run uses, and
// how long that takes. The parts of a step follow one another; in each the busiest rank or the
// fullest link decides:
//
//     plan      rank 0 draws the batch; all ranks get it and deal the micro-batches to nodes
//     compute   as many micro-batches, one after the other, as the busiest rank has
//     agree     all-reduces: the ledger, what didn't fit, norms of blocks
//     exchange  sums to their owners, weights back: N - 1 rounds each, in which a node sends to one
//               other and receives from another
//     update    an owner's blocks: norm, checksum, optimizer
//
// A message takes latency + bytes / bandwidth (R. Hockney, "The communication challenge for MPP",
// Parallel Computing 20, 1994), collectives what R. Thakur, R. Rabenseifner and W. Gropp derive
// from that ("Optimization of collective communication operations in MPICH", IJHPCA 19, 2005).
#pragma once

#include <cstdint>
#include <vector>

#include "mpi/exchange.hpp"

namespace evengrad {

/// Nodes on a switch that is never in the way, each with one link for all of its ranks.
struct Network {
    double gigabits = 1.0;   ///< a second, each way at once
    double latency = 50e-6;  ///< seconds that a small message takes from rank to rank
};

/// What is to be done, on however many nodes.
struct StepShape {
    std::vector<ElementRange> blocks;  ///< of the parameters
    std::int64_t tensors = 0;
    std::int64_t ranks = 1;                  ///< of each node
    std::int64_t sequences = 1, tokens = 1;  ///< of a micro-batch
};

/// What is measured: seconds, with all ranks of a node busy at once.
struct StepCosts {
    double micro_batch = 0.0;  ///< forward, backward, and adding the gradient to the node's sums
    double plan_token = 0.0;   ///< to draw and read a token on rank 0, and to weigh it on all ranks
    double deal = 0.0;         ///< of one micro-batch, for each node it might go to
    double update = 0.0;       ///< of an owner's element: norm, checksum, optimizer
    double add = 0.0;          ///< to add an element that came, and zero one that went
};

struct StepModel {
    StepShape shape;
    StepCosts costs;
};

/// What travels in one step; bytes are payload.
struct Traffic {
    /// Of the node, and of the rank, that own most. An owner receives its sums from every other
    /// node (8 bytes an element), and sends its weights to every other node (4).
    std::int64_t node_elements = 0, rank_elements = 0;
    /// That carry an owner's sums or weights between it and one other node, at most.
    std::int64_t sum_messages = 0, weight_messages = 0;
    std::vector<std::int64_t> broadcasts;   ///< bytes of each, from rank 0 to all ranks
    std::vector<std::int64_t> all_reduces;  ///< bytes of each, over all ranks
};

/// @local Of a step in which every node has work, without statistics and second looks.
Traffic traffic_of(const StepShape& shape, std::int64_t nodes, std::int64_t micro_batches);

/// Seconds, by part.
struct PredictedStep {
    double plan = 0.0, compute = 0.0, agree = 0.0, exchange = 0.0, update = 0.0;
    double tokens = 0.0;

    double seconds() const { return plan + compute + agree + exchange + update; }
    double speed() const { return tokens / seconds(); }  ///< tokens a second
};

/// @local
PredictedStep predict(const StepModel& model, const Network& network, std::int64_t nodes,
                      std::int64_t micro_batches);

/// @local The fewest micro-batches a rank and step with which N nodes are `efficiency` times N
/// times as fast as one node with as many; 0 where as many as a step may have wouldn't do.
std::int64_t micro_batches_for(double efficiency, const StepModel& model, const Network& network,
                               std::int64_t nodes);

}  // namespace evengrad
