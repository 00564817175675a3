#include <array>

#include "train/state.hpp"

namespace evengrad {

void broadcast_plan(const Communicator& world, StepPlan& plan) {
    std::array<std::int64_t, 2> numbers{plan.step, plan.epoch};
    world.broadcast(std::span<std::int64_t>(numbers), 0);
    plan.step = numbers[0];
    plan.epoch = numbers[1];
    world.broadcast(std::span(&plan.denominator, 1), 0);
    world.broadcast_resized(plan.sequence_begin, 0);
    world.broadcast_resized(plan.token_begin, 0);
    world.broadcast_resized(plan.loss_tokens, 0);
    world.broadcast_resized(plan.weight, 0);
    world.broadcast_resized(plan.sequence_ids, 0);
    world.broadcast_resized(plan.lengths, 0);
    world.broadcast_resized(plan.keys, 0);
    world.broadcast_resized(plan.tokens, 0);
    world.broadcast_resized(plan.targets, 0);
    world.broadcast_resized(plan.weights, 0);
}

}  // namespace evengrad
