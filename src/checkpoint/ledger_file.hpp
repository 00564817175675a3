// The ledger of a whole run, in its folder: what every micro-batch of every step gave, so that what
// was logged can be proved later (checkpoint/ledger_check.hpp).
//
// It lies in segments, ledger-NNNNNNNN.h5, each written once, atomically, before the checkpoint
// that needs it: what saving costs follows from the steps since the last save, not from those of
// the run. NNNNNNNN is the last step in it; its first is the one after the segment before it.
// Everything here is @local, for rank 0. data/README.md describes the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace evengrad {

/// One micro-batch.
struct LedgerRecord {
    std::int64_t step = 0;         ///< from 1
    std::int64_t micro_batch = 0;  ///< from 0, in the order of the plan
    double loss = 0.0;             ///< sum of weight * loss, nats
    double weight = 0.0;           ///< sum of token weights
    double squared_weight = 0.0;   ///< sum of their squares
    std::int64_t loss_tokens = 0;  ///< with a weight above 0
    std::int64_t sequences = 0;
    std::int64_t loss_sequences = 0;  ///< with a loss token
    double squared_norm = 0.0;        ///< of the gradient of `loss`
    double probe = 0.0;               ///< of that gradient (gradient/probe.hpp)
    std::uint64_t checksum = 0;       ///< of what was added to the integer sums
    std::int64_t rank = 0;            ///< that computed it; depends on the layout
    double seconds = 0.0;             ///< that it took; depends on the layout
};

/// One step.
struct LedgerStep {
    std::int64_t step = 0;
    std::int64_t micro_batches = 0;
    std::int64_t loss_tokens = 0;
    double denominator = 0.0;  ///< of loss and gradient; 0: no token had a loss
    double loss = 0.0;         ///< nats; NaN where no token had a loss
    double grad_norm = 0.0, clipped_grad_norm = 0.0, lr = 0.0;
    double rounding = 0.0;       ///< StepRecord::rounding
    double probe = 0.0;          ///< of the gradient that the optimizer took
    std::uint64_t checksum = 0;  ///< of the global sums
    std::uint8_t updated = 0;    ///< 1: the weights were
};

/// Steps in a row, as one process computed them, and the micro-batches of each after those of the
/// step before.
struct LedgerPart {
    std::string loss_reduction = "token-mean";
    double clip_grad = 0.0;            ///< largest gradient norm; 0: none
    std::int64_t first_step = 1;       ///< of the run's ledger: there is nothing about earlier ones
    std::int64_t probed_elements = 0;  ///< of a gradient
    std::vector<LedgerStep> steps;
    std::vector<LedgerRecord> records;

    /// Puts what `later` has behind it, and empties that.
    void append(LedgerPart& later);
    /// Drops the steps after `step`.
    void cut(std::int64_t step);
};

/// Most records in one segment; of a step, TrainConfig allows fewer.
inline constexpr std::uint64_t most_ledger_records = std::uint64_t{1} << 20;

/// "ledger-00000012.h5"
std::string ledger_name(std::int64_t step);
/// Last steps of the segments that are there, ascending.
std::vector<std::int64_t> ledger_segments(const std::filesystem::path& folder);

/// Whether the file says that it is a ledger segment.
bool is_ledger_file(const std::filesystem::path& file);

/// Types, sizes and the digest are checked, not what the numbers mean. `examine` sees the part
/// before its digest is compared, and may say better than that what is wrong. @throws Error for a
/// file that is damaged, incomplete or of another schema.
LedgerPart read_ledger(const std::filesystem::path& file,
                       const std::function<void(const LedgerPart&)>& examine = {});

/// Writes `part` as new segments of `folder`, which it then is emptied of, file by file. @throws
/// Error when one can't be written: what is left in `part` isn't on the disk.
void write_ledger(const std::filesystem::path& folder, LedgerPart& part);

/// For a run that goes on after `step`, in `folder`, from a checkpoint in `source` (the same
/// folder, or another): leaves in `folder` the segments up to that step, of the one that goes
/// beyond it what comes before. `report` is told what is missing. Returns the first step of the
/// ledger.
std::int64_t continue_ledger(const std::filesystem::path& source,
                             const std::filesystem::path& folder, std::int64_t step,
                             const std::function<void(const std::string&)>& report);

/// Digest of all that doesn't depend on the layout: everything but `rank` and `seconds`. A segment
/// has it, and reading compares it.
std::string ledger_digest(const LedgerPart& part);

}  // namespace evengrad
