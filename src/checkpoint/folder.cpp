#include "checkpoint/folder.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/replace.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace fs = std::filesystem;

namespace {

/// Names that only runs make.
bool is_run_file(const fs::path& path) {
    const std::string name = path.filename().string();
    return name == "latest" || name == "latest.tmp" || name == "best" || name == "best.tmp" ||
           name == "metrics.jsonl" || name == "metrics.jsonl.tmp" || name == "history.h5" ||
           name == "history.h5.tmp" ||
           ((name.starts_with("step-") || name.starts_with("ledger-") ||
             name.starts_with("gradients-")) &&
            (path.extension() == ".h5" || path.extension() == ".tmp"));
}

bool contains(std::span<const std::int64_t> steps, std::int64_t step) {
    return std::find(steps.begin(), steps.end(), step) != steps.end();
}

}  // namespace

std::string checkpoint_name(std::int64_t step) {
    return fmt::format("step-{:08}.h5", step);
}

std::optional<std::int64_t> step_in_name(const fs::path& file) {
    const std::string name = file.filename().string();
    constexpr std::string_view prefix = "step-";
    if (!name.starts_with(prefix)) return std::nullopt;
    std::int64_t step = -1;
    const char* begin = name.data() + prefix.size();
    std::from_chars(begin, name.data() + name.size(), step);
    if (step < 0 || checkpoint_name(step) != name) return std::nullopt;
    return step;
}

std::vector<std::int64_t> saved_steps(const fs::path& folder) {
    std::vector<std::int64_t> steps;
    for (const auto& entry : fs::directory_iterator(folder))
        if (const auto step = step_in_name(entry.path())) steps.push_back(*step);
    std::sort(steps.begin(), steps.end());
    return steps;
}

std::vector<std::int64_t> linked_steps(const fs::path& folder) {
    std::vector<std::int64_t> steps;
    for (const auto& entry : fs::directory_iterator(folder)) {
        std::error_code failed;
        const fs::path target = fs::read_symlink(entry.path(), failed);
        if (failed) continue;
        if (const auto step = step_in_name(target)) steps.push_back(*step);
    }
    return steps;
}

FolderLock::FolderLock(const fs::path& folder, double seconds)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ < 0)
        throw Error(fmt::format("--save {}: {}", folder.string(), std::strerror(errno)),
                    "check the path and its permissions");
    constexpr double pause = 0.05;
    constexpr useconds_t pause_microseconds = 50'000;
    while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        if (seconds <= 0.0) {
            ::close(descriptor_);
            throw Error(fmt::format("--save {}: another run is writing there", folder.string()),
                        "end it first (signals that save: launch/README.md), or name another "
                        "folder");
        }
        ::usleep(pause_microseconds);
        seconds -= pause;
    }
}

FolderLock::~FolderLock() {
    ::close(descriptor_);
}

void make_folder(const fs::path& folder) {
    std::error_code failed;
    fs::create_directories(folder, failed);
    if (failed)
        throw Error(fmt::format("--save {}: the folder can't be made: {}", folder.string(),
                                failed.message()),
                    "check the path and its permissions, or name another folder");
}

void clear_for_new_run(const fs::path& folder, bool overwrite) {
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (!is_run_file(entry.path())) continue;
        if (!overwrite)
            throw Error(
                fmt::format("--save {}: the folder holds an earlier run ({})", folder.string(),
                            entry.path().filename().string()),
                "--resume goes on with it, --overwrite replaces it, or name another folder");
        fs::remove(entry.path());
    }
}

void remove_unfinished(const fs::path& folder) {
    for (const auto& entry : fs::directory_iterator(folder))
        if (is_run_file(entry.path()) && entry.path().extension() == ".tmp")
            fs::remove(entry.path());
}

void link_best(const fs::path& folder, const TrainingHistory& history, std::int64_t step) {
    const auto best = best_saved_step(history, saved_steps(folder));
    std::error_code none;
    const fs::path linked = fs::read_symlink(folder / "best", none);
    if (best && linked != checkpoint_name(*best))
        replace_link(folder, "best", checkpoint_name(*best));
    if (!best && step_in_name(linked).value_or(0) > step) fs::remove(folder / "best", none);
}

std::vector<std::int64_t> expendable(const Retention& retention,
                                     std::span<const std::int64_t> present, std::int64_t newest,
                                     std::span<const std::int64_t> linked) {
    std::vector<std::int64_t> gone;
    if (retention.keep_last == 0) return gone;
    std::int64_t kept = 0;
    for (auto i = present.rbegin(); i != present.rend(); ++i) {
        const std::int64_t step = *i;
        if (step > newest || ++kept <= retention.keep_last || contains(linked, step)) continue;
        if (retention.keep_every > 0 && step % retention.keep_every == 0) continue;
        gone.push_back(step);
    }
    return gone;
}

std::vector<std::int64_t> abandoned(std::span<const std::int64_t> present, std::int64_t before,
                                    std::int64_t newest, std::span<const std::int64_t> linked) {
    std::vector<std::int64_t> gone;
    for (const std::int64_t step : present)
        if (step > before && step < newest && !contains(linked, step)) gone.push_back(step);
    return gone;
}

}  // namespace evengrad
