#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/cpu.hpp"
#include "base/digest.hpp"
#include "checkpoint/save.hpp"
#include "kernels/blas.hpp"
#include "train/memory.hpp"
#include "train/watchdog.hpp"
#include "train/work.hpp"
#include <evengrad/evaluate.hpp>

namespace evengrad {

namespace {

std::string describe(SequenceMode mode) {
    return mode == SequenceMode::stream ? "sequences stream" : "sequences documents";
}

/// What decides which sequences a step gets, how they are cut and how their losses count, as
/// options that are set: exact resume needs the same (train/resume_check.hpp).
std::string describe(const PlanConfig& plan) {
    const bool by_tokens = plan.micro_batch_tokens > 0;
    return fmt::format(
        "{}, global-batch-size {}, micro-batch-{} {}, loss-reduction {}", describe(plan.sequences),
        plan.global_batch_size, by_tokens ? "tokens" : "size",
        by_tokens ? plan.micro_batch_tokens : plan.micro_batch_size, plan.reduction.text());
}

/// The configuration in force, before anything else is made; sets this process up for its work.
TrainConfig begin(const TrainConfig& config) {
    set_arithmetic_mode();
    use_one_blas_thread();
    return config_in_force(config);
}

}  // namespace

std::vector<std::string> TrainConfig::validate() const {
    std::vector<std::string> problems = model.validate();
    const auto include = [&](const std::vector<std::string>& more) {
        problems.insert(problems.end(), more.begin(), more.end());
    };
    include(plan.validate());
    include(optimizer.validate());
    include(schedule.validate());
    for (const auto& [name, value] :
         {std::pair{"report-spike", report_spike}, {"skip-on-spike", skip_on_spike}})
        if (!(value >= 0.0 && std::isfinite(value)))
            problems.push_back(
                fmt::format("--{} must be a number, at least 0, not {}", name, value));
    for (const auto& [name, steps] :
         {std::pair{"stats-interval", stats_interval}, {"verify-interval", verify_interval}})
        if (steps < 0)
            problems.push_back(fmt::format("--{} must be at least 0, not {}", name, steps));
    for (const std::int64_t step : save_gradients)
        if (step < 1 || step > schedule.train_iters)
            problems.push_back(fmt::format(
                "--save-gradients: the steps are 1 to {} (--train-iters); there is no step {}",
                schedule.train_iters, step));
    if (ranks_per_node < 0)
        problems.push_back(
            fmt::format("--ranks-per-node must be at least 0, not {}", ranks_per_node));
    return problems;
}

NodeStore::NodeStore(const Topology& topology, const ParameterTable& table, Holds holds)
    : memory_(topology.node(),
              holds == Holds::weights ? StoreSizes(table).without_sums() : StoreSizes(table).all(),
              holds == Holds::weights ? "weights" : "weights and gradient sums") {
    const StoreSizes sizes(table);
    std::byte* at = memory_.bytes().data();
    const auto flat = static_cast<std::size_t>(table.flat_size());
    counter_ = reinterpret_cast<std::uint64_t*>(at);
    at += sizes.counter;
    weights_ = {reinterpret_cast<float*>(at), flat};
    at += sizes.weights;
    if (holds == Holds::weights) return;
    sums_ = {reinterpret_cast<std::uint64_t*>(at), flat};
    at += sizes.sums;
    locks_ = {reinterpret_cast<std::uint32_t*>(at), sizes.locks / sizeof(std::uint32_t)};
}

double monotonic_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

PhaseClock::PhaseClock(std::int64_t step) : step_(step), last_(monotonic_seconds()) {
    begin_activity(step_, static_cast<Activity>(phase_));
}

void PhaseClock::enter(Phase phase) {
    end();
    phase_ = phase;
    begin_activity(step_, static_cast<Activity>(phase_));
}

void PhaseClock::end() {
    const double now = monotonic_seconds();
    seconds_[static_cast<std::size_t>(phase_)] += now - last_;
    last_ = now;
}

void PhaseClock::move(Phase from, Phase to, double seconds) {
    seconds_[static_cast<std::size_t>(from)] -= seconds;
    seconds_[static_cast<std::size_t>(to)] += seconds;
}

Trainer::State::State(const Communicator& world, const TrainConfig& config_, const Dataset* data_,
                      TestHooks hooks_)
    : config(begin(config_)),
      hooks(std::move(hooks_)),
      topology(world, config.ranks_per_node),
      speeds(topology),
      table(config.model),
      ownership(topology, block_ranges(table)),
      store(topology, table),
      quanta(table.size()),
      optimizer(config.optimizer, table, owned()),
      model(make_model<float>(config.model, table)),
      accumulator(table, quanta, store.sum(), topology.node().rank(), topology.node().size()),
      data(data_) {
    self_test(topology);
    ranks_compute_alike = check_fingerprints(topology.world(), config.allow_mixed_cpus);
    if (is_root() && data) {
        check_data(*data, config.model);
        planner.emplace(*data, config.plan);
        data_digest = data->digest();
    }
    reserve_scratch();

    // Each rank of a node initializes its share: the values are functions of seed and element.
    const Communicator& node = topology.node();
    initialize(table, config.seed, node.rank(), node.size(), store.weights().data());
    store.barrier();
}

/// Room for micro-batches like those of the first step, so that too little memory shows at once. A
/// later step with a larger one makes more.
void Trainer::State::reserve_scratch() {
    MicroBatchSize size;
    if (planner) {
        const StepPlan plan = planner->plan(0);
        for (std::int64_t k = 0; k < plan.size(); ++k)
            size.include(MicroBatchSize::of(plan.micro_batch(k)));
    }
    std::array<std::int64_t, 3> numbers{size.tokens, size.longest_sequence, size.loss_rows};
    topology.world().broadcast(std::span<std::int64_t>(numbers), 0);
    if (numbers[0] > 0) model->reserve({numbers[0], numbers[1], numbers[2]}, true);
}

void share_weights_from_root(const Topology& topology, const NodeStore& store) {
    store.barrier();
    const Communicator& world = topology.world();
    if (topology.node_count() > 1) {
        // One rank of each node takes part, the others wait at the barrier.
        const Communicator leaders = world.split(topology.node().rank() == 0 ? 0 : 1, world.rank());
        if (topology.node().rank() == 0) leaders.broadcast(store.weights(), 0);
    }
    store.barrier();
}

Trainer::Trainer(const Communicator& world, const TrainConfig& config, const Dataset* data,
                 TestHooks hooks)
    : state_(std::make_unique<State>(world, config, data, std::move(hooks))) {}
Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;

std::int64_t Trainer::steps_done() const {
    return state_->steps_done;
}
const TrainConfig& Trainer::config() const {
    return state_->config;
}
const ParameterTable& Trainer::parameters() const {
    return state_->table;
}
std::span<const float> Trainer::weights() const {
    return state_->store.weights();
}
const std::vector<LedgerEntry>& Trainer::ledger() const {
    return state_->entries;
}
bool Trainer::ranks_compute_alike() const {
    return state_->ranks_compute_alike;
}
int Trainer::node_count() const {
    return state_->topology.node_count();
}

Trainer::Memory Trainer::memory() const {
    const State& s = *state_;
    return memory_of(s.topology, s.ownership, s.table, s.optimizer.moments(),
                     s.topology.node_index(), s.model->reserved_bytes());
}

CheckpointState Trainer::State::checkpoint_state() const {
    CheckpointState out;
    out.step = steps_done;
    out.updates = updates_done;
    out.seed = config.seed;
    out.data_digest = data_digest;
    out.batches = describe(config.plan);
    out.quantum_exponents.assign(quanta.exponents().begin(), quanta.exponents().end());
    if (data) {
        out.tokenizer = data->tokenizer()->spec();
        if (const FeatureScaling* scaling = data->scaling()) out.scaling = *scaling;
    }
    if (planner) out.epoch = steps_done / planner->steps_per_epoch();
    return out;
}

SequenceMode sequence_mode_of(const CheckpointInfo& checkpoint) {
    const std::string& batches = checkpoint.state.batches;
    for (const SequenceMode mode : {SequenceMode::documents, SequenceMode::stream})
        if (batches.starts_with(describe(mode) + ",")) return mode;
    throw Error(fmt::format("{}: its batches are '{}': neither documents nor stream",
                            checkpoint.path.string(), batches),
                "the checkpoint is damaged");
}

std::string Trainer::digest() {
    State& s = *state_;
    std::vector<float> values(s.is_root() ? static_cast<std::size_t>(s.table.largest_tensor()) : 0);
    const auto fetch = [&](const Tensor& tensor, TensorPart part) -> std::span<const float> {
        const auto count = static_cast<std::size_t>(tensor.count);
        if (part == TensorPart::weights)
            return weights().subspan(static_cast<std::size_t>(tensor.offset), count);
        const auto whole = s.is_root() ? std::span(values).first(count) : std::span<float>();
        gather_owned(s.topology, s.ownership, s.optimizer.moment(static_cast<int>(part) - 1),
                     {tensor.first_block, tensor.first_block + tensor.block_count}, whole);
        return whole;
    };
    std::string hex = digest_state(s.checkpoint_state(), s.table, s.optimizer.moments(), fetch);
    s.topology.world().broadcast(hex, 0);
    return hex;
}

}  // namespace evengrad
