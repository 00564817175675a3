// All optimizers and all learning-rate schedules there are: the only two lists. Options, what is
// refused, memory, checkpoints and help follow from them.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "optimizer/rules.hpp"

namespace evengrad {

struct OptimizerFacts {
    OptimizerKind kind;
    const char* name;                  ///< of --optimizer, and in checkpoints
    std::vector<const char*> moments;  ///< values kept of an element, named as PyTorch's; 2 at most
    std::vector<const char*> options;  ///< that mean something to it, but not to all
    UpdateFunction* update;
};
inline constexpr std::size_t most_moments = 2;

std::span<const OptimizerFacts> optimizers();
const OptimizerFacts& facts_of(OptimizerKind kind);
/// Null when there is none of this name.
const OptimizerFacts* find_optimizer(std::string_view name);

/// Values of state that an optimizer keeps of a parameter.
int moments_of(OptimizerKind kind);

struct ScheduleFacts {
    LrDecay decay;
    const char* name;                  ///< of --lr-decay-style
    std::vector<const char*> options;  ///< that mean something to it, but not to all
};

std::span<const ScheduleFacts> schedules();
const ScheduleFacts& facts_of(LrDecay decay);

}  // namespace evengrad
