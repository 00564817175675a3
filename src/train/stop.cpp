#include "train/stop.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

#include <fmt/format.h>

#include "train/state.hpp"

namespace evengrad {

namespace {

constexpr int asking[] = {SIGUSR1, SIGUSR2, SIGTERM};
volatile std::sig_atomic_t first_signal = 0;

const double process_start = monotonic_seconds();

extern "C" void remember_signal(int signal) {
    if (first_signal == 0) first_signal = signal;
}

std::string name_of(int signal) {
    switch (signal) {
        case SIGUSR1:
            return "SIGUSR1";
        case SIGUSR2:
            return "SIGUSR2";
        case SIGTERM:
            return "SIGTERM";
    }
    return fmt::format("signal {}", signal);
}

}  // namespace

StopSignals::StopSignals() {
    first_signal = 0;
    struct sigaction action {};
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    action.sa_handler = remember_signal;
    for (int i = 0; i < handled - 1; ++i) sigaction(asking[i], &action, &before_[i]);
    action.sa_handler = SIG_IGN;
    sigaction(SIGXFSZ, &action, &before_[handled - 1]);
}

StopSignals::~StopSignals() {
    for (int i = 0; i < handled - 1; ++i) sigaction(asking[i], &before_[i], nullptr);
    sigaction(SIGXFSZ, &before_[handled - 1], nullptr);
    first_signal = 0;
}

void StopSignals::end_at_once() {
    set_for_good(SIG_DFL);
    if (first_signal != 0) ::raise(first_signal);
}

void StopSignals::ignore_for_good() {
    set_for_good(SIG_IGN);
}

void StopSignals::set_for_good(void (*handler)(int)) {
    for (int i = 0; i < handled - 1; ++i) {
        before_[i] = {};
        before_[i].sa_handler = handler;
        sigaction(asking[i], &before_[i], nullptr);
    }
}

double median(std::deque<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

bool leaves_no_time(double used, double step, double save, double allowed) {
    return used + step + save > allowed;
}

StopRule::StopRule(const Communicator& world, double minutes) : world_(world), minutes_(minutes) {}

std::optional<double> StopRule::median_step() const {
    if (steps_.empty()) return std::nullopt;
    return median(steps_);
}

std::string StopRule::reason(double step_seconds, double save_seconds) {
    constexpr std::size_t remembered = 21;
    steps_.push_back(step_seconds);
    if (steps_.size() > remembered) steps_.pop_front();
    // The largest wins: one rank, and what it has to say. 0: nobody has.
    constexpr std::int64_t kinds = 1000, time_limit = kinds - 1;
    const std::int64_t base = (world_.rank() + 1) * kinds;
    const int signal = first_signal;
    std::int64_t wish = signal != 0 ? base + signal : 0;
    const double used = monotonic_seconds() - process_start;
    if (world_.rank() == 0 && minutes_ > 0.0 &&
        leaves_no_time(used, *median_step(), save_seconds, 60.0 * minutes_))
        wish = base + time_limit;
    world_.max(std::span(&wish, 1));
    if (wish == 0) return {};
    if (wish % kinds == time_limit) return fmt::format("--exit-duration-in-mins {}", minutes_);
    return fmt::format("{} on rank {}", name_of(static_cast<int>(wish % kinds)), wish / kinds - 1);
}

}  // namespace evengrad
