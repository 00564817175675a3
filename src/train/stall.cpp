#include "train/stall.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"

namespace evengrad {

namespace {

bool uses_files(const Heartbeat& beat) {
    const auto activity = static_cast<Activity>(beat.activity);
    return activity == Activity::plan || activity == Activity::save || activity == Activity::report;
}

}  // namespace

std::optional<Stall> StallWatch::look(std::span<const Heartbeat> beats, double now,
                                      double patience) {
    const bool first = ranks_.empty();
    if (first)
        ranks_.resize(beats.size());
    else
        watched_ += std::min(now - last_look_, interval);
    last_look_ = now;

    std::optional<Stall> silent, stuck;
    const auto keep_longest = [](std::optional<Stall>& stall, Stall other) {
        if (!stall || other.seconds > stall->seconds) stall = other;
    };
    bool all_wait = true;
    double least = patience * 1e9;
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
        Rank& rank = ranks_[r];
        const Heartbeat& beat = beats[r];
        if (first || beat.alive != rank.last.alive || beat.alive == 0) rank.alive_at = watched_;
        if (first || beat.beats != rank.last.beats || beat.alive == 0) rank.beat_at = watched_;
        rank.last = beat;
        if (beat.alive == 0) continue;
        const double unseen = watched_ - rank.alive_at, still = watched_ - rank.beat_at;
        least = std::min(least, still);
        all_wait = all_wait && beat.waits != 0;
        if (unseen >= patience) {
            keep_longest(silent, {Stall::Fault::silent, r, unseen});
        } else if (still >= patience && beat.waits == 0 && unseen <= 2.0 * interval) {
            // (One that has just fallen silent is soon known to be.)
            keep_longest(stuck, {Stall::Fault::stuck, r, still});
        }
    }
    if (silent) return silent;
    if (stuck) return stuck;
    if (all_wait && least >= 2.0 * patience) return Stall{Stall::Fault::elsewhere, 0, least};
    return std::nullopt;
}

double stall_patience(std::optional<double> asked, std::optional<double> median_step) {
    constexpr double least = 300.0, steps = 10.0, of_first_step = 3600.0;
    if (asked) return *asked;
    return median_step ? std::max(least, steps * *median_step) : of_first_step;
}

std::string stall_text(const Stall& stall, const Heartbeat& beat, std::span<const int> ranks,
                       const std::string& host, std::span<const std::string> others) {
    const auto activity =
        std::min<std::size_t>(beat.activity, activity_names.size() - 1);  // it is another process's
    const std::string seconds = fmt::format("{:.0f} s", stall.seconds);
    const std::string where = fmt::format("step {}, phase {}", beat.step, activity_names[activity]);
    const std::string rank = fmt::format("rank {} (host {})", ranks[stall.rank], host);
    switch (stall.fault) {
        case Stall::Fault::silent:
            return fmt::format(
                "{} has been silent for {}, last seen in {}: its process is stopped or frozen",
                rank, seconds, where);
        case Stall::Fault::stuck:
            return fmt::format(
                "{} has got nothing done for {}, in {}: it runs, and waits for no other rank{}",
                rank, seconds, where,
                uses_files(beat) ? "; perhaps a file system doesn't answer" : "");
        case Stall::Fault::elsewhere:
            break;
    }
    const std::string who = fmt::format("the {} of host {} only waited for others for {}, in {}",
                                        counted(std::ssize(ranks), "rank"), host, seconds, where);
    if (others.empty()) return who + ": messages between them don't arrive";
    constexpr std::size_t most = 8;
    std::string names;
    for (std::size_t i = 0; i < std::min(most, others.size()); ++i)
        names += (i > 0 ? ", " : "") + others[i];
    if (others.size() > most) names += fmt::format(" and {} more", others.size() - most);
    return who + fmt::format(": another host ({}) or the network stands still", names);
}

}  // namespace evengrad
