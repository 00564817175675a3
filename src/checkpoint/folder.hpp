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

/// Makes the folder of a new run. What an earlier run left in it is removed when `overwrite` says
/// so. @throws Error when there is such, or it can't be made.
void make_run_folder(const std::filesystem::path& folder, bool overwrite);
/// Removes what a killed writer left half-written.
void remove_unfinished(const std::filesystem::path& folder);

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
