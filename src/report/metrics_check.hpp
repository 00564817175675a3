// Whether metrics.jsonl has the lines that a run which goes on should find there, and what to do
// when it hasn't.
#pragma once

#include <cstdint>
#include <filesystem>

#include <evengrad/history.hpp>

namespace evengrad {

/// Makes a run's metrics file end before `first_step`, where the run goes on: cuts off what is
/// later (and a last line that isn't whole).
///
/// A file that is missing, or has lines that are broken, come twice, out of order, or not at all,
/// is warned of and written anew: each step once, its own line where there is one, else what the
/// checkpoint's `history` knows of it. A file may begin at a later step than 1, when the run came
/// from another folder there.
/// @throws Error when it can't be read or written.
void cut_back_metrics(const std::filesystem::path& path, std::int64_t first_step,
                      const TrainingHistory& history);

}  // namespace evengrad
