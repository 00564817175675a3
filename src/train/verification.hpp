// Second looks at what a step works with (--verify-interval): for bits that flip where neither the
// ledger nor the sums' checksums see it, in weights that lie in memory and while a rank computes.
#pragma once

#include <cstdint>
#include <vector>

#include <evengrad/train.hpp>

namespace evengrad {

/// Whether step `step` (1 for the first) is looked at.
inline bool is_verified(std::int64_t step, std::int64_t interval) {
    return interval > 0 && step % interval == 0;
}

/// Which micro-batch of `micro_batches` (at least 1) a step's second look is at: a function of seed
/// and step alone.
std::int64_t verified_micro_batch(std::uint64_t seed, std::int64_t step,
                                  std::int64_t micro_batches);

/// The looks of one run. All functions are @collective; what they find, all ranks throw alike.
class Verification {
  public:
    /// In the end of a step: hashes of the weights by those who have just written them.
    void note_weights(const Trainer::State& state);

    /// In step `step`, once its micro-batches are computed: every node still holds what was noted.
    /// Does nothing when nothing was noted since the last time. @throws Error naming tensor, node,
    /// host, and who wrote it.
    void check_weights(const Trainer::State& state, std::int64_t step);

    /// One micro-batch of the step's plan, computed once more by another rank, on another node
    /// where there is one: the same loss, norm and checksum of addends, bit for bit. Where they
    /// aren't and a third rank is there, it decides. @throws Error naming ranks and hosts, and who
    /// is wrong, as far as that is known.
    static void check_micro_batch(Trainer::State& state, const StepPlan& plan, std::int64_t step);

  private:
    std::vector<std::uint64_t> written_;  ///< [blocks]; empty when nothing was noted
};

}  // namespace evengrad
