// What the model says that travels in a step, against what a step sends: MPI's own calls are
// counted, which its profiling interface lets a program replace.
#include <map>

#include "lab/prediction.hpp"
#include "mpi/internal.hpp"
#include "train/state.hpp"
#include "train/tiny_run.hpp"

namespace {

/// Point-to-point messages of this rank.
struct Messages {
    std::int64_t sent = 0, sent_bytes = 0, received = 0, received_bytes = 0;
};
struct Counted {
    std::vector<std::int64_t> broadcasts, all_reduces;   ///< bytes of each
    std::map<std::int64_t, Messages> after_all_reduces;  ///< between this one and the next
} counted;

std::int64_t bytes_of(int count, MPI_Datatype type) {
    int size = 0;
    PMPI_Type_size(type, &size);
    return std::int64_t{count} * size;
}

}  // namespace

extern "C" {

int MPI_Bcast(void* values, int count, MPI_Datatype type, int root, MPI_Comm comm) {
    counted.broadcasts.push_back(bytes_of(count, type));
    return PMPI_Bcast(values, count, type, root, comm);
}

int MPI_Allreduce(const void* from, void* to, int count, MPI_Datatype type, MPI_Op operation,
                  MPI_Comm comm) {
    counted.all_reduces.push_back(bytes_of(count, type));
    return PMPI_Allreduce(from, to, count, type, operation, comm);
}

int MPI_Sendrecv(const void* out, int out_count, MPI_Datatype out_type, int destination,
                 int out_tag, void* in, int in_count, MPI_Datatype in_type, int source, int in_tag,
                 MPI_Comm comm, MPI_Status* status) {
    Messages& now = counted.after_all_reduces[std::ssize(counted.all_reduces)];
    now.sent += destination != MPI_PROC_NULL;
    now.sent_bytes += bytes_of(out_count, out_type);
    now.received += source != MPI_PROC_NULL;
    now.received_bytes += bytes_of(in_count, in_type);
    return PMPI_Sendrecv(out, out_count, out_type, destination, out_tag, in, in_count, in_type,
                         source, in_tag, comm, status);
}

}  // extern "C"

namespace evengrad {
namespace {

using namespace test;

constexpr std::int64_t positions = 40, micro_batch_size = 2;

/// Documents of equal length: micro-batches that are all alike.
Dataset even_data() {
    Documents data;
    data.source = "even";
    for (std::int64_t d = 0; d < 64; ++d) {
        for (std::int64_t i = 0; i <= positions; ++i) {
            data.tokens.push_back(static_cast<std::int32_t>((7 * d + 3 * i) % 200));
            data.weights.push_back(i > 0 ? 1.0f : 0.0f);
        }
        data.offsets.push_back(std::ssize(data.tokens));
        data.lines.push_back(d + 1);
    }
    return Dataset(std::move(data));
}

/// What the first step sends. It is computed twice (there are no quanta yet), and its micro-batches
/// are dealt by number of ranks, since no speed is known.
Counted first_step(Trainer& trainer) {
    counted = {};
    const StepRecord record = trainer.step();
    EXPECT_TRUE(record.recomputed);
    return std::exchange(counted, {});
}

TrainConfig config_of(int ranks_per_node, std::int64_t micro_batches) {
    TrainConfig config = tiny_config(10);
    config.ranks_per_node = ranks_per_node;
    config.plan.global_batch_size = micro_batches * micro_batch_size;
    config.plan.micro_batch_size = micro_batch_size;
    config.stats_interval = 0;
    config.verify_interval = 0;
    return config;
}

StepShape shape_of(const Trainer::State& state) {
    return {state.ownership.blocks(), state.table.size(), std::ssize(state.topology.ranks_of(0)),
            micro_batch_size, micro_batch_size * positions};
}

std::int64_t most(std::int64_t value) {
    world().max(std::span(&value, 1));
    return value;
}
std::int64_t total(const Communicator& over, std::int64_t value) {
    over.sum(std::span(&value, 1));
    return value;
}

TEST(TrafficOfAStep, IsWhatTheModelSays) {
    const Dataset data = even_data();
    for (int per_node = 1; per_node <= world().size(); ++per_node) {
        if (world().size() % per_node != 0) continue;
        constexpr std::int64_t micro_batches = 12;
        Trainer trainer(world(), config_of(per_node, micro_batches), &data);
        const Trainer::State& s = trainer.state();
        const std::int64_t nodes = trainer.node_count(), others = nodes - 1;
        Counted step = first_step(trainer);
        const Traffic traffic = traffic_of(shape_of(s), nodes, micro_batches);

        EXPECT_EQ(step.broadcasts, traffic.broadcasts);
        // The second pass agrees once more on what the first one agreed on.
        constexpr std::int64_t of_pass = 4;
        std::vector<std::int64_t> all_reduces = traffic.all_reduces;
        all_reduces.insert(all_reduces.begin(), traffic.all_reduces.begin(),
                           traffic.all_reduces.begin() + of_pass);
        EXPECT_EQ(step.all_reduces, all_reduces);

        const Messages sums = step.after_all_reduces[2 * of_pass];
        const Messages weights = step.after_all_reduces[std::ssize(all_reduces)];
        const Communicator& node = s.topology.node();
        EXPECT_EQ(most(sums.received_bytes), others * 8 * traffic.rank_elements);
        EXPECT_EQ(most(total(node, sums.received_bytes)), others * 8 * traffic.node_elements);
        EXPECT_EQ(most(sums.received), others * traffic.sum_messages);
        EXPECT_EQ(most(weights.sent_bytes), others * 4 * traffic.rank_elements);
        EXPECT_EQ(most(total(node, weights.sent_bytes)), others * 4 * traffic.node_elements);
        EXPECT_EQ(most(weights.sent), others * traffic.weight_messages);
        const std::int64_t parameters = s.table.parameter_count();
        EXPECT_EQ(total(world(), sums.sent_bytes), others * 8 * parameters);
        EXPECT_EQ(total(world(), weights.sent_bytes), others * 4 * parameters);
    }
}

TEST(TrafficOfAStep, NodesWithoutWorkSendNoSums) {
    const Dataset data = even_data();
    Trainer trainer(world(), config_of(1, 1), &data);
    const Trainer::State& s = trainer.state();
    Counted step = first_step(trainer);
    const Traffic traffic = traffic_of(shape_of(s), trainer.node_count(), 1);
    const Messages sums = step.after_all_reduces[8];
    EXPECT_EQ(sums.sent > 0, world().rank() == 0 && world().size() > 1);
    EXPECT_LE(most(std::max(sums.sent_bytes, sums.received_bytes)),
              (trainer.node_count() - 1) * 8 * traffic.node_elements);
}

}  // namespace
}  // namespace evengrad
