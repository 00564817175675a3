#include "mpi/end_watch.hpp"

#include <cstdio>
#include <cstdlib>
#include <system_error>

#include <unistd.h>

#include "base/log.hpp"
#include "base/no_signals.hpp"

namespace evengrad {

EndWatch::EndWatch(int rank, int limit) {
    const NoSignals for_the_thread;
    try {
        thread_ = std::thread([this, rank, limit] { watch(rank, limit); });
    } catch (const std::system_error&) {
        // The end goes unwatched: nearly always it comes by itself.
    }
}

EndWatch::~EndWatch() {
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
    }
    end_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void EndWatch::watch(int rank, int limit) {
    constexpr auto first_word = std::chrono::seconds(2);
    constexpr unsigned longest = 10;
    std::unique_lock lock(mutex_);
    // Seconds one by one, so that time in which all of the job is suspended doesn't count.
    for (int seconds = 0; seconds < limit; ++seconds)
        if (end_.wait_for(lock, std::chrono::seconds(1), [this] { return ended_; })) return;
    alarm(longest);  // should nobody read what is written
    std::fflush(stdout);
    if (rank == 0)
        log_last_error(
            fmt::format("all is done, but MPI_Finalize has not come back for {} s: mpirun, or its "
                        "daemon (orted) on one of the hosts, is stopped or cut off, or a rank is",
                        limit),
            "look for a stopped process: ps -eo pid,stat,comm | grep ' T' on each host; what was "
            "saved is sound");
    // The launcher forgets what it has not read when a rank is gone; and it may all have ended by
    // now.
    if (end_.wait_for(lock, first_word, [this] { return ended_; })) {
        alarm(0);
        return;
    }
    std::_Exit(1);
}

}  // namespace evengrad
