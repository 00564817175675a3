// What a run would be: sizes, memory, batches, disk. Nothing is trained, allocated or written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <evengrad/loop.hpp>

namespace evengrad {

/// Smallest, median and largest of a list of numbers.
struct Spread {
    double min = 0.0, median = 0.0, max = 0.0;
    static Spread of(std::vector<double> values);  ///< zeros for none
};

struct DryRun {
    int ranks = 1, nodes = 1;
    bool saves = false;  ///< whether --save is given

    struct Kind {
        std::string name;
        std::int64_t tensors = 0, parameters = 0;
    };
    std::vector<Kind> kinds;  ///< of tensors
    std::int64_t parameters = 0;
    bool of_rows = false;        ///< a multilayer perceptron: its tokens are rows
    std::string initialization;  ///< of linear layers

    /// Of the node with most ranks, bytes.
    int ranks_of_node = 1;
    Trainer::Memory memory{};
    std::size_t moments_per_rank = 0;   ///< of the rank that owns most
    std::int64_t nodes_of_machine = 1;  ///< that share its shared memory
    std::int64_t shared_free = 0;       ///< on the machine that has least
    std::string shared_folder;          ///< empty: a node of one rank needs no shared memory
    std::size_t data_memory = 0;        ///< rank 0's

    std::int64_t tokens = 0, sequences = 0, valid_tokens = 0;
    std::int64_t steps_per_epoch = 0, train_iters = 0;
    std::int64_t tokens_of_run = 0;  ///< positions; estimated unless all steps were looked at

    std::int64_t steps_seen = 0;
    Spread step_micro_batches, step_tokens, step_loss_tokens;
    Spread micro_batch_tokens, micro_batch_loss_tokens;
    /// Share of the compute phase that ranks would be busy, by floating-point operations.
    Spread balance;
    LossReduction reduction;
    double weight_ratio = 1.0;  ///< of two tokens' weights in one step, the largest
    /// The same if micro-batches were averaged each by itself first (R1).
    double mean_of_means = 1.0;

    std::size_t checkpoint = 0;            ///< bytes of the last one
    std::size_t statistics = 0;            ///< of tensors, bytes in it
    std::size_t statistics_memory = 0;     ///< bytes of rank 0's memory at most, at the end
    std::int64_t saved_gradients = 0;      ///< whole gradients, a file each, which stay
    std::int64_t checkpoints_on_disk = 0;  ///< at most, the one being written included
    std::size_t ledger = 0;                ///< bytes of all of it, which stays
};

/// @collective Looks at up to 100 steps spread over the first epoch. `data` and `valid` matter on
/// rank 0 only, which alone gets a result. @throws Error as a run would, for a configuration or
/// data that make no sense.
DryRun look_ahead(const Communicator& world, const TrainConfig& config, const LoopConfig& loop,
                  const Dataset* data, const Dataset* valid);

std::string dry_run_text(const DryRun& run);

}  // namespace evengrad
