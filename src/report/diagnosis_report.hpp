// What people and programs see of `evengrad diagnose`.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "lab/diagnosis.hpp"

namespace evengrad {

/// A diagnosis, and what it is of.
struct DiagnosisReport {
    DiagnosedRun run;
    Diagnosis found;
    std::uint64_t seed = 0;
    std::filesystem::path checkpoint;  ///< empty: initial weights
    std::int64_t loss_tokens = 0;      ///< of one batch; 0: of recorded steps
    std::int64_t first_step = 0, last_step = 0, recorded = 0;  ///< of these
    /// Of recorded steps: what the run's first record shows, to compare.
    std::optional<Diagnosis> at_first;
    std::int64_t at_first_step = 0;
    std::string overflow;  ///< what of the batch is no number; then `found` is nothing

    bool is_sound() const { return overflow.empty() && found.is_sound(); }
};

/// A table by layer each way, then verdicts in sentences, then cures. Only bytes of ASCII but for
/// what files are called.
std::string diagnosis_text(const DiagnosisReport& report);

/// The same as one JSON object: every digit; nothing that depends on ranks or time.
std::string diagnosis_json(const DiagnosisReport& report);

}  // namespace evengrad
