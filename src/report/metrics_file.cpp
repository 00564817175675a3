#include "report/metrics_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <nlohmann/json.hpp>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

namespace fs = std::filesystem;

/// Keeps the lines of steps before `first_step`.
void cut_back(const fs::path& path, std::int64_t first_step) {
    std::ifstream in(path);
    if (!in) return;
    const fs::path shorter = path.string() + ".tmp";
    {
        std::ofstream out(shorter, std::ios::trunc);
        for (std::string text; std::getline(in, text);) {
            const auto json = nlohmann::json::parse(text, nullptr, false);
            if (json.is_discarded() || !json.is_object()) continue;
            const auto step = json.find("step");
            if (step == json.end() || !step->is_number_integer()) continue;
            if (step->get<std::int64_t>() < first_step) out << text << '\n';
        }
        if (!out.flush())
            throw Error(
                fmt::format("{}: can't be written: {}", shorter.string(), std::strerror(errno)));
    }
    fs::rename(shorter, path);
}

}  // namespace

void MetricsFile::on_start(const RunStart& start) {
    path_ = start.save_dir / "metrics.jsonl";
    if (!start.resumed_from.empty()) cut_back(path_, start.first_step);
    file_.reset(std::fopen(path_.c_str(), "a"));
    if (!file_)
        throw Error(fmt::format("{}: can't be opened for writing: {}", path_.string(),
                                std::strerror(errno)));
}

void MetricsFile::write(const std::string& line) {
    if (std::fputs((line + '\n').c_str(), file_.get()) < 0 || std::fflush(file_.get()) != 0)
        throw Error(fmt::format("{}: can't be written: {}", path_.string(), std::strerror(errno)),
                    "free some space and go on with --resume");
}

void MetricsFile::on_step(const StepRecord& record) {
    nlohmann::ordered_json json{
        {"step", record.step},
        {"epoch", record.epoch},
        {"loss", nullptr},  // undefined when no token had a loss, not 0 (R9)
        {"loss_tokens", record.loss_tokens},
        {"tokens", record.tokens},
        {"sequences", record.sequences},
        {"micro_batches", record.micro_batches},
        {"grad_norm", record.grad_norm},
        {"clipped_grad_norm", record.clipped_grad_norm},
        {"lr", record.lr},
        {"rounded_to_zero", record.rounded_to_zero},
        {"recomputed", record.recomputed},
        {"seconds", record.seconds},
        {"tokens_per_second", static_cast<double>(record.tokens) / record.seconds},
        {"busy", record.busy},
    };
    if (record.loss) json["loss"] = *record.loss;
    write(json.dump());
}

void MetricsFile::on_evaluation(std::int64_t step, const Evaluation& evaluation) {
    write(nlohmann::ordered_json{{"step", step},
                                 {"valid_loss", evaluation.loss},
                                 {"valid_loss_tokens", evaluation.loss_tokens}}
              .dump());
}

}  // namespace evengrad
