#include "checkpoint/writer.hpp"

#include <chrono>
#include <system_error>

#include "base/no_signals.hpp"
#include "base/replace.hpp"
#include "checkpoint/folder.hpp"
#include "checkpoint/history_file.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace fs = std::filesystem;

CheckpointWriter::CheckpointWriter(fs::path folder, const Retention& retention, std::int64_t step,
                                   Snapshot snapshot)
    : folder_(std::move(folder)),
      retention_(retention),
      newest_(step),
      snapshot_(std::move(snapshot)) {}

CheckpointWriter::~CheckpointWriter() {
    if (thread_.joinable()) thread_.join();
}

void CheckpointWriter::start() {
    EVENGRAD_CHECK(!thread_.joinable(), "a checkpoint is begun while another is being written");
    ended_ = false;
    result_ = {};
    result_.step = snapshot_.state.step;
    result_.file = folder_ / checkpoint_name(result_.step);
    const NoSignals for_the_thread;
    try {
        thread_ = std::thread([this] { write(); });
    } catch (const std::system_error&) {
        write();  // no thread can be had: training waits
    }
}

std::optional<SaveResult> CheckpointWriter::poll() {
    if (!ended_) return std::nullopt;
    return wait();
}

bool CheckpointWriter::ends_within(double seconds) {
    std::unique_lock lock(mutex_);
    return end_.wait_for(lock, std::chrono::duration<double>(seconds),
                         [this] { return !thread_.joinable() || ended_; });
}

std::optional<SaveResult> CheckpointWriter::wait() {
    if (thread_.joinable()) thread_.join();
    if (!ended_.exchange(false)) return std::nullopt;
    return std::move(result_);
}

void CheckpointWriter::write() noexcept {
    const auto begin = std::chrono::steady_clock::now();
    try {
        publish();
    } catch (const Error& error) {
        result_.problem = error.what();
        result_.hint = error.hint();
    } catch (const std::bad_alloc&) {
        result_.problem = "there is not enough memory";
        result_.hint = "fewer ranks on rank 0's machine, or a smaller model, leave more";
    } catch (const std::exception& error) {
        result_.problem = error.what();
    } catch (...) {
        result_.problem = "of an unknown kind";
    }
    result_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
    }
    end_.notify_one();
}

void CheckpointWriter::publish() {
    // First, so that there is no checkpoint without the ledger of its past. What a kill leaves of a
    // ledger beyond the last checkpoint goes when the run is resumed.
    write_ledger(folder_, snapshot_.ledger);
    write_checkpoint(result_.file, snapshot_);
    const auto remove = [&](std::span<const std::int64_t> steps) {
        for (const std::int64_t step : steps) {
            std::error_code failed;
            fs::remove(folder_ / checkpoint_name(step), failed);
            if (failed)
                result_.problem =
                    fmt::format("{} can't be removed: {}",
                                (folder_ / checkpoint_name(step)).string(), failed.message());
        }
    };
    // Before `latest` moves, so that what is older than it always is this run's past.
    remove(abandoned(saved_steps(folder_), newest_, result_.step, linked_steps(folder_)));
    replace_link(folder_, "latest", checkpoint_name(result_.step));
    newest_ = result_.step;
    result_.saved = true;
    link_best(folder_, snapshot_.history, newest_);
    remove(expendable(retention_, saved_steps(folder_), newest_, linked_steps(folder_)));
    write_history(folder_ / history_name, snapshot_.model, snapshot_.history);
}

}  // namespace evengrad
