#include "report/metrics_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/log.hpp"
#include "base/replace.hpp"
#include "report/metrics_check.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace fs = std::filesystem;

namespace {

nlohmann::ordered_json optional(const std::optional<double>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

}  // namespace

MetricsFile::~MetricsFile() {
    if (file_ >= 0) ::close(file_);
}

void MetricsFile::on_start(const RunStart& start) {
    path_ = start.save_dir / "metrics.jsonl";
    std::error_code none;
    if (fs::equivalent(start.resumed_from.parent_path(), start.save_dir, none))
        cut_back_metrics(path_, start.first_step, start.history);
    file_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file_ < 0) fail_to("write", path_, errno);
}

/// Writes what it can of what is unwritten. The reason when something is left, else 0.
int MetricsFile::write_out() {
    while (!unwritten_.empty()) {
        const ssize_t written = ::write(file_, unwritten_.data(), unwritten_.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return written < 0 ? errno : EIO;
        unwritten_.erase(0, static_cast<std::size_t>(written));
    }
    return 0;
}

void MetricsFile::write(const nlohmann::ordered_json& json) {
    // Names of files may be any bytes.
    unwritten_ += json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
    const int reason = write_out();
    if (reason != 0 && !warned_)
        log_warning(fmt::format("{}: can't be written: {}; its lines are kept and tried again",
                                path_.string(), std::strerror(reason)),
                    "free some disk space");
    warned_ = reason != 0;
}

void MetricsFile::on_end(std::int64_t) {
    if (const int reason = write_out(); reason != 0)
        throw Error(fmt::format("{}: the last {} lines can't be written: {}", path_.string(),
                                std::count(unwritten_.begin(), unwritten_.end(), '\n'),
                                std::strerror(reason)),
                    "the checkpoints are whole; the curves are in them, too");
}

void MetricsFile::on_step(const StepRecord& record) {
    auto largest = nlohmann::ordered_json::array();
    for (const LargeMicroBatch& batch : record.largest)
        largest.push_back({{"micro_batch", batch.micro_batch},
                           {"norm", batch.norm},
                           {"documents", batch.documents}});
    nlohmann::ordered_json json{
        {"step", record.step},
        {"epoch", record.epoch},
        {"loss", optional(record.loss)},  // undefined when no token had a loss, not 0 (R9)
        {"loss_tokens", record.loss_tokens},
        {"tokens", record.tokens},
        {"sequences", record.sequences},
        {"micro_batches", record.micro_batches},
        {"grad_norm", record.grad_norm},
        {"clipped_grad_norm", record.clipped_grad_norm},
        {"lr", record.lr},
        {"rounded_to_zero", record.rounded_to_zero},
        {"recomputed", record.recomputed},
        {"skipped", record.skipped},
        {"norm_score", optional(record.norm_score)},
        {"gradient_signal", optional(record.gradient_signal)},
        {"gradient_noise", optional(record.gradient_noise)},
        {"noise_scale", optional(record.noise_scale)},
        {"noise_scale_error", optional(record.noise_scale_error)},
        {"largest", std::move(largest)},
    };
    if (record.spike) {
        auto documents = nlohmann::ordered_json::array();
        for (const DocumentShare& share : record.spike->documents)
            documents.push_back({{"document", share.description}, {"share", share.share}});
        json["spike"] = {{"usual_norm", record.spike->usual_norm},
                         {"micro_batch", record.spike->micro_batch},
                         {"documents", std::move(documents)}};
    }
    // From here on it is the machine's, not the result's.
    json["seconds"] = record.seconds;
    json["tokens_per_second"] = static_cast<double>(record.tokens) / record.seconds;
    json["busy"] = record.busy;
    auto& idle = json["idle"] = nlohmann::ordered_json::array();
    for (const double seconds : record.idle) idle.push_back(std::round(seconds * 1e4) / 1e4);
    write(json);
}

void MetricsFile::on_evaluation(std::int64_t step, const Evaluation& evaluation) {
    nlohmann::ordered_json json{{"step", step},
                                {"valid_loss", nullptr},  // undefined, not 0 (R9)
                                {"valid_loss_tokens", evaluation.total.loss_tokens},
                                {"valid_accuracy", optional(evaluation.total.accuracy())},
                                {"valid_bits_per_byte", nullptr}};
    if (const auto loss = evaluation.total.loss()) json["valid_loss"] = *loss;
    if (const auto bits = evaluation.total.bits_per_byte()) json["valid_bits_per_byte"] = *bits;
    write(json);
}

}  // namespace evengrad
