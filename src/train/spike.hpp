// Whether a step's gradient is unusual, and which texts it comes from.
#pragma once

#include <vector>

#include "gradient/normalize.hpp"
#include "train/state.hpp"

namespace evengrad {

/// The documents of micro-batch k, each once, in the order of its sequences. Rank 0's, which has
/// the planner. @local
std::vector<DocumentId> documents_of(const Planner& planner, const StepPlan& plan, std::int64_t k);

/// @collective What each document of micro-batch k has of the step's gradient g: g_d . g / |g|^2,
/// with g_d the part of g that its sequences in k give; by falling share. All documents of all
/// micro-batches together have 1; what pulls against the others has a negative share. Documents are
/// named on rank 0 only.
///
/// Every rank computes each sequence's gradient once more and multiplies it with the blocks of g
/// that it owns, so nothing is sent but a number a block: the same bits on any layout.
std::vector<DocumentShare> document_shares(Trainer::State& state, const StepPlan& plan,
                                           std::int64_t k, const MeanGradient& gradient);

/// @collective What this gradient is beside those of the steps before it: fills in the record's
/// largest micro-batches, noise, norm score and spike, and whether the update is skipped.
void judge(Trainer::State& state, const StepPlan& plan, const MeanGradient& gradient,
           StepRecord& record);

/// "step 812: gradient norm 41 (usual 1.2): 87 % along FILE line 12: begins 'Call me...'", of a
/// record with a spike. Rank 0's. @local
std::string spike_text(const StepRecord& record);

}  // namespace evengrad
