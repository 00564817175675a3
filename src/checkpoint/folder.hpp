// A run's folder: the names in it, what a new run does with it, and which checkpoints go.
// Everything here is @local, for rank 0.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <evengrad/checkpoint.hpp>

namespace evengrad {

/// "step-00000012.h5"
std::string checkpoint_name(std::int64_t step);
/// The step in such a name; none for any other name.
std::optional<std::int64_t> step_in_name(const std::filesystem::path& file);

/// Steps of which the folder has a checkpoint file, ascending.
std::vector<std::int64_t> saved_steps(const std::filesystem::path& folder);
/// Steps that symbolic links of the folder point to (`latest`, and whatever else there is).
std::vector<std::int64_t> linked_steps(const std::filesystem::path& folder);

/// Held by a run on its folder, so that no two write there at once: a job that was submitted twice,
/// or one whose ranks outlive a killed mpirun for a moment. It ends with the process at the latest,
/// however that ends. Goes without where the file system knows no locks.
class FolderLock {
  public:
    /// Waits for `seconds` at most. @throws Error when another process still has it then, or when
    /// the folder can't be opened.
    explicit FolderLock(const std::filesystem::path& folder, double seconds = 10.0);
    ~FolderLock();
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;

  private:
    int descriptor_;
};

/// @throws Error when it can't be made.
void make_folder(const std::filesystem::path& folder);
/// For a new run: what an earlier one left is removed when `overwrite` says so. @throws Error when
/// there is such.
void clear_for_new_run(const std::filesystem::path& folder, bool overwrite);
/// Removes what a killed writer left half-written.
void remove_unfinished(const std::filesystem::path& folder);

/// Lets the link `best` point to the checkpoint with the lowest held-out loss of those that are
/// there and in the `history` of a run at `step`. Without such the link stays as it is, unless what
/// it points to comes later: of another past.
void link_best(const std::filesystem::path& folder, const TrainingHistory& history,
               std::int64_t step);

/// Which of the checkpoints `present` (ascending) go after that of step `newest` was published.
/// Later ones don't, nor what is `linked`.
std::vector<std::int64_t> expendable(const Retention& retention,
                                     std::span<const std::int64_t> present, std::int64_t newest,
                                     std::span<const std::int64_t> linked);

/// A run that was resumed at an earlier step in its own folder leaves later checkpoints of another
/// past behind. Which of them the run passes with `newest`, having saved `before` before it: they
/// go, lest somebody take them for its own. `linked` stay.
std::vector<std::int64_t> abandoned(std::span<const std::int64_t> present, std::int64_t before,
                                    std::int64_t newest, std::span<const std::int64_t> linked);

}  // namespace evengrad
