// What a run's ledger proves: `evengrad inspect --verify`.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "checkpoint/ledger_check.hpp"

namespace evengrad {

struct Certificate {
    std::filesystem::path ledger;      ///< folder, or a segment by itself
    std::filesystem::path checkpoint;  ///< empty for a segment by itself
    std::string loss_reduction;
    LedgerFacts facts;
    std::int64_t first_of_metrics = 0;  ///< first step that metrics.jsonl has; 0: there is none
};

/// Goes through the ledger of the run in `path` (a folder, or one of its checkpoints) up to its
/// newest sound checkpoint, of which `report` is told what open_checkpoint says. Each step must be
/// sound (LedgerCheck), and what the checkpoint's curves and metrics.jsonl say of it must be the
/// ledger's, bit for bit. `progress(step, last)` is called now and then.
/// @local @throws Error naming the first fault.
Certificate verify_run(const std::filesystem::path& path,
                       const std::function<void(const std::string&, const std::string&)>& report,
                       const std::function<void(std::int64_t, std::int64_t)>& progress);

/// One segment by itself. @local @throws Error naming the first fault.
Certificate verify_segment(const std::filesystem::path& file);

/// What was proved and what was not, in plain words.
std::string certificate_text(const Certificate& certificate);

}  // namespace evengrad
