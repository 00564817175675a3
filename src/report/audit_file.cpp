// An audit for programs: JSON, and HDF5 that plots itself.
#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "hdf5/nexus.hpp"
#include "report/audit_report.hpp"

namespace evengrad {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* schema = "evengrad-audit";
constexpr const char* audit_version = "1.0";

Json to_json(const Unevenness& unevenness) {
    return {{"shortest", unevenness.shortest},
            {"median", unevenness.median},
            {"longest", unevenness.longest},
            {"variation", unevenness.variation}};
}

Json to_json(const Deviation& deviation) {
    return {{"error", deviation.error},
            {"cosine", deviation.cosine},
            {"norm_ratio", deviation.norm_ratio}};
}

Json to_json(const Cut& cut) {
    Json json{
        {"micro_batches", cut.micro_batches},
        {"micro_batch_size", cut.micro_batch_size > 0 ? Json(cut.micro_batch_size) : Json(nullptr)},
        {"loss_tokens_of_micro_batches", to_json(cut.unevenness)}};
    Json& all = json["weighed"] = Json::array();
    for (const Weighed& weighed : cut.weighed) {
        Json one{{"name", weighed.name}};
        one.update(to_json(weighed.gradient));
        one.update({{"loss", weighed.loss},
                    {"loss_shift", weighed.loss_shift},
                    {"weight_ratio", weighed.weight_ratio}});
        all.push_back(std::move(one));
    }
    return json;
}

Json to_json(const AuditedBatch& batch) {
    Json production = to_json(batch.production.gradient);
    production.update(
        {{"loss", batch.production.loss}, {"relative_loss_error", batch.production.loss_error}});
    Json json{{"sequences", batch.sequences},
              {"loss_tokens", batch.loss_tokens},
              {"loss_tokens_of_sequences", to_json(batch.unevenness)},
              {"production", production}};
    Json& cuts = json["by_accumulation"] = Json::array();
    for (const Cut& cut : batch.cuts) cuts.push_back(to_json(cut));
    json["packed"] = batch.packed ? to_json(*batch.packed) : Json(nullptr);
    Json& shortened = json["by_unevenness"] = Json::array();
    for (const Shortened& one : batch.shortened) {
        Json entry{{"most_loss_tokens", one.most > 0 ? Json(one.most) : Json(nullptr)},
                   {"loss_tokens_of_sequences", to_json(one.unevenness)}};
        entry.update(to_json(one.cut));
        shortened.push_back(std::move(entry));
    }
    return json;
}

Json to_json(const TrainedReduction& run) {
    const auto value = [](const std::optional<double>& number) {
        return number ? Json(*number) : Json(nullptr);
    };
    Json json{{"reduction", run.reduction},
              {"seed", run.seed},
              {"loss", value(run.evaluation.total.loss())}};
    Json& lengths = json["lengths"] = Json::array();
    for (std::size_t i = 0; i < run.evaluation.lengths.size(); ++i) {
        const EvaluationSums& sums = run.evaluation.lengths[i];
        lengths.push_back({{"from", std::int64_t{1} << i},
                           {"to", (std::int64_t{2} << i) - 1},
                           {"sequences", sums.sequences},
                           {"loss_tokens", sums.loss_tokens},
                           {"loss", value(sums.loss())}});
    }
    return json;
}

// ---------------------------------------------------------------------------------------- HDF5

/// A number of each weighing, and what it is called in plots.
struct Quantity {
    const char* name;
    const char* units;
    const char* long_name;
    bool logarithmic;
    double (*of)(const Weighed&);
};
constexpr Quantity quantities[] = {
    {"error", "1", "|v - r| / |r| of gradients", true,
     [](const Weighed& weighed) { return weighed.gradient.error; }},
    {"cosine", "1", "cosine of gradient and reference", false,
     [](const Weighed& weighed) { return weighed.gradient.cosine; }},
    {"norm_ratio", "1", "|v| / |r| of gradients", true,
     [](const Weighed& weighed) { return weighed.gradient.norm_ratio; }},
    {"loss_shift", "nats", "loss - token mean", false,
     [](const Weighed& weighed) { return weighed.loss_shift; }},
    {"weight_ratio", "1", "largest ratio of two tokens' weights", true,
     [](const Weighed& weighed) { return weighed.weight_ratio; }}};

/// Names of datasets: "rank-mean:4" is rank_mean_4.
std::string dataset_name(std::string name) {
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '-' || c == ':' || c == '.'; }, '_');
    return name;
}

/// One plot a quantity, one curve a weighing, over `axis`; `cuts` in its order.
void write_curves(hdf5::Group& entry, const hdf5::Dataset& axis,
                  const std::vector<const Cut*>& cuts) {
    const std::size_t all = cuts.front()->weighed.size();
    for (const Quantity& quantity : quantities) {
        hdf5::Group group = entry.create_group(quantity.name, "NXdata");
        for (std::size_t i = 1; i <= all; ++i) {
            const std::size_t w = i % all;  // the token mean, which shows nothing, comes last
            std::vector<double> values;
            for (const Cut* cut : cuts) values.push_back(quantity.of(cut->weighed[w]));
            const std::string& name = cuts.front()->weighed[w].name;
            const hdf5::Label label{dataset_name(name), quantity.units,
                                    fmt::format("{}: {}", name, quantity.long_name)};
            if (i == 1)
                hdf5::write_nxdata(group, label, values, {&axis});
            else
                hdf5::add_auxiliary_signal(group, label, values);
        }
        // silx and H5Web draw it by default; sums are thousands of times the mean.
        if (quantity.logarithmic) group.set("SILX_style", R"({"signal_scale_type": "log"})");
    }
}

template <class Number>
void write_entry(hdf5::Group& root, const char* name, const hdf5::Label& axis,
                 const std::vector<Number>& points, const std::vector<const Cut*>& cuts) {
    hdf5::Group entry = root.create_group(name, "NXentry");
    entry.set("default", "error");
    const hdf5::Dataset scale = hdf5::write_scale(entry, axis, points);
    write_curves(entry, scale, cuts);
}

void write_trained(hdf5::Group& root, const std::vector<TrainedReduction>& trained) {
    hdf5::Group entry = root.create_group("training", "NXentry");
    entry.set("default", "loss");
    const auto& lengths = trained.front().evaluation.lengths;
    std::vector<std::int64_t> from;
    for (std::size_t i = 0; i < lengths.size(); ++i)
        if (lengths[i].weight > 0.0) from.push_back(std::int64_t{1} << i);
    const hdf5::Dataset scale = hdf5::write_scale(
        entry, {"loss_tokens", "tokens", "loss tokens of a sequence, at least"}, from);
    hdf5::Group group = entry.create_group("loss", "NXdata");
    for (std::size_t r = 0; r < trained.size(); ++r) {
        std::vector<double> values;
        for (const EvaluationSums& sums : trained[r].evaluation.lengths)
            if (const auto loss = sums.loss()) values.push_back(*loss);
        const bool again = r + 1 == trained.size();
        const hdf5::Label label{
            dataset_name(trained[r].reduction) + (again ? "_another_seed" : ""), "nats",
            fmt::format("{}, seed {}: held-out loss", trained[r].reduction, trained[r].seed)};
        if (r == 0)
            hdf5::write_nxdata(group, label, values, {&scale});
        else
            hdf5::add_auxiliary_signal(group, label, values);
    }
}

}  // namespace

std::string audit_json(const AuditReport& report) {
    const Audit& audit = report.audit;
    const PlanConfig& plan = report.config.train.plan;
    Json json{
        {"schema", schema},
        {"schema_version", audit_version},
        {"data", Json::array()},
        {"tokenizer", report.data.tokenizer()->spec().describe()},
        {"checkpoint", audit.checkpoint.empty() ? Json(nullptr) : Json(audit.checkpoint.string())},
        {"seed", report.config.train.seed},
        {"parameters", audit.parameters},
        {"seq_length", report.config.train.model.seq_length()},
        {"global_batch_size", plan.global_batch_size},
        {"micro_batch_size", plan.micro_batch_size},
        {"micro_batch_tokens", plan.micro_batch_tokens},
        {"sequences", plan.sequences == SequenceMode::stream ? "stream" : "documents"},
        {"loss_reduction", plan.reduction.text()},
        {"batches_without_loss", audit.batches_without_loss}};
    for (const DataPart& part : report.data.parts()) json["data"].push_back(part.name());
    // Means over batches; but of what can be counted, all.
    Json& mean = json["mean"] = to_json(audit.mean);
    for (const char* name : {"sequences", "loss_tokens"}) {
        mean[std::string("total_") + name] = mean[name];
        mean.erase(name);
    }
    Json& batches = json["batches"] = Json::array();
    for (const AuditedBatch& batch : audit.batches) {
        Json entry{{"step", batch.step}};
        entry.update(to_json(batch));
        batches.push_back(std::move(entry));
    }
    json["train_iters"] = report.config.train_iters;
    Json& trained = json["trained"] = Json::array();
    for (const TrainedReduction& run : audit.trained) trained.push_back(to_json(run));
    json["conclusion"] = audit_conclusion(report);
    // A file's name need not be UTF-8.
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

void write_audit(const AuditReport& report, hdf5::Group root) {
    const Audit& audit = report.audit;
    const auto pointers = [](const auto& items, auto&& cut_of) {
        std::vector<const Cut*> cuts;
        for (const auto& item : items) cuts.push_back(&cut_of(item));
        return cuts;
    };
    std::vector<std::int64_t> micro_batches, steps;
    for (const Cut& cut : audit.mean.cuts) micro_batches.push_back(cut.micro_batches);
    write_entry(root, "accumulation", {"micro_batches", "micro-batches", "micro-batches a step"},
                micro_batches,
                pointers(audit.mean.cuts, [](const Cut& cut) -> const Cut& { return cut; }));
    std::vector<double> variation;
    for (const Shortened& one : audit.mean.shortened) variation.push_back(one.unevenness.variation);
    write_entry(
        root, "unevenness",
        {"variation", "1", "standard deviation / mean of a sequence's loss tokens"}, variation,
        pointers(audit.mean.shortened, [](const Shortened& one) -> const Cut& { return one.cut; }));
    for (const AuditedBatch& batch : audit.batches) steps.push_back(batch.step);
    write_entry(root, "batches", {"step", "step", "optimizer step"}, steps,
                pointers(audit.batches, [&](const AuditedBatch& batch) -> const Cut& {
                    return batch.cuts[audit.main_cut];
                }));
    {
        hdf5::Group entry = root.open_group("batches");
        const hdf5::Dataset scale = entry.open_dataset("step");
        hdf5::Group group = entry.create_group("production", "NXdata");
        std::vector<double> errors;
        for (const AuditedBatch& batch : audit.batches)
            errors.push_back(batch.production.gradient.error);
        hdf5::write_nxdata(group, {"production_error", "1", "error of the run's own gradient"},
                           errors, {&scale});
    }
    if (!audit.trained.empty()) write_trained(root, audit.trained);
    // Everything, each batch by itself, as text.
    hdf5::Group note = root.create_group("result", "NXnote");
    note.write_text("type", "application/json");
    note.write_text("data", audit_json(report));
    hdf5::write_root(std::move(root), {schema, audit_version, "accumulation"});
}

}  // namespace evengrad
