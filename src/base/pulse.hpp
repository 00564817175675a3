// The pulse of this process: signs that it gets on, for a watchdog to see (train/watchdog.hpp).
#pragma once

#include <atomic>
#include <cstdint>

namespace evengrad {

/// One a process. Whoever gets something done that may take long beats, from any thread; the rest
/// is the main thread's to say.
struct Pulse {
    std::atomic<std::uint64_t> beats = 0;
    std::atomic<bool> waits = false;          ///< in a call that only other ranks can end
    std::atomic<std::int64_t> step = 0;       ///< at hand
    std::atomic<std::uint32_t> activity = 0;  ///< in it: train's Activity

    void beat() { beats.fetch_add(1, std::memory_order_relaxed); }
};
inline Pulse pulse;

/// The main thread waits for other ranks while one lives. Its end is a beat.
class Waiting {
  public:
    Waiting() { pulse.waits.store(true, std::memory_order_relaxed); }
    ~Waiting() {
        pulse.waits.store(false, std::memory_order_relaxed);
        pulse.beat();
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
};

}  // namespace evengrad
