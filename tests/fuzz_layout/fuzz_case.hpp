// A case: a run, and some layouts that must all give what one rank gives.
#pragma once

#include <string>
#include <vector>

#include "fuzz_layout/generated_data.hpp"
#include <evengrad/loop.hpp>

namespace evengrad::fuzz {

/// In which order a node works on its micro-batches.
enum class Order { as_dealt, reversed, rotated, shuffled };

/// How a part of a run ends.
enum class End {
    finish,  ///< after the last step
    signal,  ///< after `end_step`, in good order: one rank gets a signal in it
    kill,    ///< by SIGKILL, in or after `end_step`
};

/// Steps that are run on one set of ranks, from a checkpoint or the start on.
struct Segment {
    /// Rank r is this process of the job: ranks and nodes change places.
    std::vector<int> processes;
    int ranks_per_node = 0;
    Order order = Order::as_dealt;
    std::uint64_t shuffle = 0;  ///< seed of a shuffled order
    int slow_rank = -1;         ///< begins each step late, so that others do its work
    std::int64_t slow_microseconds = 0;

    End end = End::finish;
    std::int64_t end_step = 0;
    int end_rank = 0;  ///< who gets the signal; -1: all ranks are killed at once
    int end_signal = 0;
    std::int64_t kill_microseconds = 0;  ///< from the plan of `end_step` on

    int ranks() const { return static_cast<int>(processes.size()); }
};

/// A way to spread a run. Only the first segment can end in a kill.
struct Layout {
    std::vector<Segment> segments{Segment{.processes = {0}}};
    std::int64_t save_interval = 0;

    bool killed() const { return segments.front().end == End::kill; }
    int processes() const;  ///< that a job needs for all segments but a killed one
};

struct FuzzCase {
    std::uint64_t seed = 0;
    std::int64_t number = 0;
    GeneratedData data;
    TrainConfig config;
    std::int64_t eval_interval = 0, eval_iters = 0;
    std::int64_t misfit_at_step = 0;
    std::vector<Layout> layouts;

    std::int64_t steps() const { return config.schedule.train_iters; }
};

/// The reference: one rank, in the order that it was dealt, with a checkpoint of every step.
Layout reference_layout();

/// A function of its arguments. @local
FuzzCase draw_case(std::uint64_t seed, std::int64_t number);

// For people.
std::string describe(const Layout& layout);
std::vector<std::string> describe(const FuzzCase& fuzz_case);

/// What a layout of a case has that not every one has: what was drawn, counted at the end of a run.
/// `least_micro_batches`: of the case's steps.
std::vector<std::string> features(const FuzzCase& fuzz_case, const Layout& layout,
                                  std::int64_t least_micro_batches);

}  // namespace evengrad::fuzz
