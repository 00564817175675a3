#include "train/watchdog.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <sstream>
#include <system_error>

#include <unistd.h>

#include "base/log.hpp"
#include "base/no_signals.hpp"
#include "base/pulse.hpp"
#include "train/state.hpp"

namespace evengrad {

namespace {

/// Where a test wants the main thread to stand still.
struct PlantedStall {
    int rank = -1;
    std::int64_t step = 0;
    std::string activity;
} planted;

void read_planted_stall(int rank) {
    planted = {};
    const char* text = std::getenv("EVENGRAD_STALL");
    if (text == nullptr) return;
    std::istringstream(text) >> planted.rank >> planted.step >> planted.activity;
    if (planted.rank != rank) planted = {};
}

/// By rank in the host, so ascending.
std::vector<int> ranks_of(const Communicator& host, int rank) {
    const auto ranks = host.all_gather(std::int64_t{rank});
    return {ranks.begin(), ranks.end()};
}

/// The memory is shared by processes: each field is one atomic, and no lock is needed.
void store(std::uint64_t& place, std::uint64_t value) {
    std::atomic_ref(place).store(value, std::memory_order_relaxed);
}
std::uint64_t load(std::uint64_t& place) {
    return std::atomic_ref(place).load(std::memory_order_relaxed);
}

}  // namespace

void begin_activity(std::int64_t step, Activity activity) {
    pulse.step.store(step, std::memory_order_relaxed);
    pulse.activity.store(static_cast<std::uint32_t>(activity), std::memory_order_relaxed);
    pulse.beat();
    while (planted.step == step &&
           planted.activity == activity_names[static_cast<std::size_t>(activity)])
        pause();
}

Watchdog::Watchdog(const Communicator& world, const Communicator& host, double patience,
                   Ending ending)
    : memory_(host, static_cast<std::size_t>(host.size() + 1) * sizeof(Heartbeat), "heartbeats"),
      table_(reinterpret_cast<Heartbeat*>(memory_.bytes().data()),
             static_cast<std::size_t>(host.size())),
      speaker_(reinterpret_cast<std::uint64_t*>(table_.data() + table_.size())),
      ranks_(ranks_of(host, world.rank())),
      own_(static_cast<std::size_t>(host.rank())),
      host_(Session::host_name()),
      patience_(patience),
      ending_(ending ? std::move(ending) : end_job) {
    const std::vector<std::string> hosts = world.all_gather(host_);
    for (int rank = 0; rank < world.size(); ++rank)
        if (!std::binary_search(ranks_.begin(), ranks_.end(), rank))
            others_.push_back(hosts[static_cast<std::size_t>(rank)]);
    std::sort(others_.begin(), others_.end());
    others_.erase(std::unique(others_.begin(), others_.end()), others_.end());
    read_planted_stall(world.rank());
    const NoSignals for_the_thread;
    try {
        thread_ = std::thread([this] { watch(); });
    } catch (const std::system_error& error) {
        log_message(LogLevel::warning,
                    fmt::format("no thread can be had to watch over the run: {}", error.what()));
    }
}

Watchdog::~Watchdog() {
    {
        const std::lock_guard lock(mutex_);
        ends_ = true;
    }
    end_of_watch_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void Watchdog::publish() {
    Heartbeat& own = table_[own_];
    store(own.beats, pulse.beats.load(std::memory_order_relaxed));
    store(own.waits, pulse.waits.load(std::memory_order_relaxed));
    store(own.step, static_cast<std::uint64_t>(pulse.step.load(std::memory_order_relaxed)));
    store(own.activity, pulse.activity.load(std::memory_order_relaxed));
    store(own.alive, load(own.alive) + 1);
}

void Watchdog::watch() {
    StallWatch view;
    std::vector<Heartbeat> beats(table_.size());
    std::unique_lock lock(mutex_);
    const auto next = std::chrono::duration<double>(StallWatch::interval);
    do {
        publish();
        for (std::size_t r = 0; r < beats.size(); ++r) {
            Heartbeat& rank = table_[r];
            beats[r] = {load(rank.alive), load(rank.beats), load(rank.waits), load(rank.step),
                        load(rank.activity)};
        }
        const auto stall = view.look(beats, monotonic_seconds(), patience_);
        if (stall || load(*speaker_) != 0) {
            lock.unlock();
            std::uint64_t nobody = 0;
            const bool speaks =
                stall && std::atomic_ref(*speaker_).compare_exchange_strong(nobody, 1);
            ending_(speaks ? stall_text(*stall, beats[stall->rank], ranks_, host_, others_) : "",
                    fmt::format(
                        "go on from the last checkpoint with --resume; if it was only slow, with a "
                        "larger --stall-timeout (it is {:.0f} s; 0: wait forever)",
                        patience_.load()));
            return;
        }
    } while (!end_of_watch_.wait_for(lock, next, [this] { return ends_; }));
    store(table_[own_].alive, 0);
}

void Watchdog::end_job(const std::string& what, const std::string& hint) {
    constexpr unsigned heard = 1, longest = 10;
    // Should nobody read what is written (mpirun may be stopped), this ends the process all the
    // same.
    alarm(longest);
    if (what.empty()) {
        sleep(longest / 2);  // the one that speaks goes first
    } else {
        log_last_error(what, hint);
        sleep(heard);  // the launcher forgets what it has not read when a rank is gone
    }
    std::_Exit(1);
}

}  // namespace evengrad
