// Where two runs that must be the same part ways.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace evengrad::fuzz {

/// What a run wrote down of each step (worker.hpp), of all its segments: a step that a killed
/// segment did, too, stands there twice.
struct Witnessed {
    std::int64_t step = 0;
    std::string name, value;
};
std::vector<Witnessed> read_witness(const std::filesystem::path& run);

/// The fewest micro-batches that a step of the run had.
std::int64_t least_micro_batches(const std::filesystem::path& run);

/// The first value that a run wrote down and the reference did not, or the other way round: "step
/// 3: ledger[2].loss is A in the reference and B here". Nothing where there is none.
std::optional<std::string> first_difference_witnessed(const std::filesystem::path& reference,
                                                      const std::filesystem::path& run);

/// The first difference between checkpoints of the same step, of all that `run` has. The reference
/// has one of every step. Nothing that depends on time or layout is compared.
///
/// "checkpoint of step 6: blocks.0.attn.qkv.weight[5] (weights) is A in the reference and B here,
/// bits 00000001 differ; ...". @throws Error when one can't be read.
std::optional<std::string> first_difference_saved(const std::filesystem::path& reference,
                                                  const std::filesystem::path& run,
                                                  std::int64_t last_step);

}  // namespace evengrad::fuzz
