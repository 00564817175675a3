// Threads beside the main one.
#pragma once

#include <csignal>

namespace evengrad {

/// No signal is delivered to this thread, nor to those it starts, while this lives: what is asked
/// of the run is the main thread's to hear.
class NoSignals {
  public:
    NoSignals() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    NoSignals(const NoSignals&) = delete;
    NoSignals& operator=(const NoSignals&) = delete;

  private:
    sigset_t before_{};
};

}  // namespace evengrad
