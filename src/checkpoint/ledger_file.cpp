#include "checkpoint/ledger_file.hpp"

#include <algorithm>

#include "base/digest.hpp"
#include "checkpoint/folder.hpp"
#include "hdf5/nexus.hpp"
#include "hdf5/publish.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace fs = std::filesystem;

namespace {

constexpr const char* schema_name = "evengrad-ledger";
constexpr const char* ledger_version = "1.0";
constexpr int schema_major_version = 1;
constexpr const char* steps_group = "steps";
constexpr const char* records_group = "micro_batches";

/// A column: its dataset, what it means, and which field of a row it holds.
struct Column {
    const char* name;
    const char* units;
    const char* long_name;
    bool of_layout = false;
};

/// Calls visit(column, member) for each.
template <class Visit>
void each_column(const LedgerStep*, Visit&& visit) {
    using S = LedgerStep;
    visit(Column{"step", "step", "optimizer step"}, &S::step);
    visit(Column{"micro_batches", "1", "micro-batches"}, &S::micro_batches);
    visit(Column{"loss_tokens", "tokens", "tokens with a loss"}, &S::loss_tokens);
    visit(Column{"denominator", "1", "what losses and gradients were divided by"}, &S::denominator);
    visit(Column{"loss", "nats", "training loss"}, &S::loss);
    visit(Column{"grad_norm", "1", "gradient norm before clipping"}, &S::grad_norm);
    visit(Column{"clipped_grad_norm", "1", "gradient norm after clipping"}, &S::clipped_grad_norm);
    visit(Column{"lr", "1", "learning rate"}, &S::lr);
    visit(Column{"rounding", "1", "bound on what rounding changed, undivided"}, &S::rounding);
    visit(Column{"probe", "1", "probe of the gradient that the optimizer took"}, &S::probe);
    visit(Column{"checksum", "1", "checksum of the gradient sums"}, &S::checksum);
    visit(Column{"updated", "1", "1 if the weights were updated"}, &S::updated);
}

template <class Visit>
void each_column(const LedgerRecord*, Visit&& visit) {
    using R = LedgerRecord;
    visit(Column{"step", "step", "optimizer step"}, &R::step);
    visit(Column{"micro_batch", "1", "micro-batch of the step"}, &R::micro_batch);
    visit(Column{"loss", "nats", "weighted losses added up"}, &R::loss);
    visit(Column{"weight", "1", "token weights added up"}, &R::weight);
    visit(Column{"squared_weight", "1", "squares of token weights added up"}, &R::squared_weight);
    visit(Column{"loss_tokens", "tokens", "tokens with a loss"}, &R::loss_tokens);
    visit(Column{"sequences", "sequences", "sequences"}, &R::sequences);
    visit(Column{"loss_sequences", "sequences", "sequences with a loss"}, &R::loss_sequences);
    visit(Column{"squared_norm", "1", "squared norm of the gradient, undivided"}, &R::squared_norm);
    visit(Column{"probe", "1", "probe of the gradient, undivided"}, &R::probe);
    visit(Column{"checksum", "1", "checksum of what was added"}, &R::checksum);
    visit(Column{"rank", "1", "rank that computed it", true}, &R::rank);
    visit(Column{"seconds", "s", "time it took", true}, &R::seconds);
}

/// Short columns lie there plainly: chunks and their index would take more room than they save.
constexpr std::size_t least_compressed = 1024;

template <class Row, class T>
std::vector<T> values_of(std::span<const Row> rows, T Row::*member) {
    std::vector<T> values;
    values.reserve(rows.size());
    for (const Row& row : rows) values.push_back(row.*member);
    return values;
}

template <class Row>
void write_table(hdf5::Group& root, const char* name, std::span<const Row> rows) {
    hdf5::Group group = root.create_group(name);
    each_column(rows.data(), [&]<class T>(const Column& column, T Row::*member) {
        group.write(
            column.name, values_of(rows, member), {rows.size()},
            {{"units", std::string(column.units)}, {"long_name", std::string(column.long_name)}},
            rows.size() < least_compressed ? hdf5::Storage::plain : hdf5::Storage::compressed);
    });
}

template <class Row>
std::vector<Row> read_table(const hdf5::Group& root, const char* name) {
    const hdf5::Group group = root.open_group(name);
    std::vector<Row> rows(group.read<std::int64_t>("step", most_ledger_records).size());
    each_column(rows.data(), [&]<class T>(const Column& column, T Row::*member) {
        std::vector<T> values(rows.size());
        group.read(column.name, {rows.size()}, std::span<T>(values));
        for (std::size_t i = 0; i < rows.size(); ++i) rows[i].*member = values[i];
    });
    return rows;
}

template <class Row>
void add_table(Digest& digest, std::span<const Row> rows) {
    digest.add(rows.size());
    each_column(rows.data(), [&]<class T>(const Column& column, T Row::*member) {
        if (!column.of_layout) digest.add(std::span<const T>(values_of(rows, member)));
    });
}

std::string digest_of(const LedgerPart& part, std::span<const LedgerStep> steps,
                      std::span<const LedgerRecord> records) {
    Digest digest;
    digest.add(part.loss_reduction);
    digest.add(part.clip_grad);
    digest.add(part.first_step);
    digest.add(part.probed_elements);
    add_table(digest, steps);
    add_table(digest, records);
    return digest.hex();
}

void write_segment(const fs::path& file, const LedgerPart& part, std::span<const LedgerStep> steps,
                   std::span<const LedgerRecord> records) {
    hdf5::PublishedFile out(file);
    {
        hdf5::Group root = out.root();
        hdf5::write_root(out.root(), {schema_name, ledger_version, ""});
        root.set({{"loss_reduction", part.loss_reduction},
                  {"clip_grad", part.clip_grad},
                  {"first_step", part.first_step},
                  {"probed_elements", part.probed_elements},
                  {"digest", digest_of(part, steps, records)}});
        write_table(root, steps_group, steps);
        write_table(root, records_group, records);
    }
    out.publish();
}

template <class Row>
void drop_front(std::vector<Row>& rows, std::size_t count) {
    rows.erase(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count));
}

std::optional<std::int64_t> segment_in_name(const fs::path& file) {
    const std::string name = file.filename().string();
    constexpr std::string_view prefix = "ledger-";
    if (!name.starts_with(prefix)) return std::nullopt;
    const auto step = step_in_name("step-" + name.substr(prefix.size()));
    if (step && ledger_name(*step) != name) return std::nullopt;
    return step;
}

}  // namespace

void LedgerPart::append(LedgerPart& later) {
    steps.insert(steps.end(), later.steps.begin(), later.steps.end());
    records.insert(records.end(), later.records.begin(), later.records.end());
    later.steps.clear();
    later.records.clear();
}

void LedgerPart::cut(std::int64_t step) {
    std::erase_if(steps, [&](const LedgerStep& row) { return row.step > step; });
    std::erase_if(records, [&](const LedgerRecord& row) { return row.step > step; });
}

std::string ledger_name(std::int64_t step) {
    return fmt::format("ledger-{:08}.h5", step);
}

std::vector<std::int64_t> ledger_segments(const fs::path& folder) {
    std::vector<std::int64_t> steps;
    for (const auto& entry : fs::directory_iterator(folder))
        if (const auto step = segment_in_name(entry.path())) steps.push_back(*step);
    std::sort(steps.begin(), steps.end());
    return steps;
}

bool is_ledger_file(const fs::path& file) {
    try {
        return hdf5::schema_of(hdf5::File::open(file).root()) == schema_name;
    } catch (const Error&) {
        return false;
    }
}

LedgerPart read_ledger(const fs::path& file,
                       const std::function<void(const LedgerPart&)>& examine) {
    const hdf5::File in = hdf5::File::open(file);
    const hdf5::Group root = in.root();
    hdf5::check_root(root, schema_name, schema_major_version);
    LedgerPart part;
    part.loss_reduction = root.get<std::string>("loss_reduction");
    part.clip_grad = root.get<double>("clip_grad");
    part.first_step = root.get<std::int64_t>("first_step");
    part.probed_elements = root.get<std::int64_t>("probed_elements");
    part.steps = read_table<LedgerStep>(root, steps_group);
    part.records = read_table<LedgerRecord>(root, records_group);
    if (examine) examine(part);
    const std::string found = ledger_digest(part);
    if (const auto stored = root.get<std::string>("digest"); found != stored)
        throw Error(fmt::format("{}: its digest is {}, {} was stored: the data is damaged",
                                file.string(), found, stored),
                    "take the file from a copy of the run, or run it again");
    return part;
}

void write_ledger(const fs::path& folder, LedgerPart& part) {
    while (!part.steps.empty()) {
        // As many steps as fit; one always does.
        std::size_t steps = 0, records = 0;
        do {
            records += static_cast<std::size_t>(part.steps[steps++].micro_batches);
        } while (steps < part.steps.size() &&
                 records + static_cast<std::size_t>(part.steps[steps].micro_batches) <=
                     most_ledger_records);
        EVENGRAD_CHECK(records <= part.records.size(), "{} micro-batches in a ledger, {} records",
                       records, part.records.size());
        write_segment(folder / ledger_name(part.steps[steps - 1].step), part,
                      std::span(part.steps).first(steps), std::span(part.records).first(records));
        drop_front(part.steps, steps);
        drop_front(part.records, records);
    }
}

std::int64_t continue_ledger(const fs::path& source, const fs::path& folder, std::int64_t step,
                             const std::function<void(const std::string&)>& report) {
    const bool in_place = fs::equivalent(source, folder);
    std::int64_t first_step = step + 1, last_step = 0;
    bool beyond = false;
    for (const std::int64_t last : ledger_segments(source)) {
        const fs::path file = source / ledger_name(last);
        const bool untouched = in_place && last <= step;
        if (untouched) last_step = last;
        // Of those that stay where they are only the first is of interest; of those that end later,
        // only the first can begin early enough.
        if (!(untouched && first_step <= step) && !(last > step && beyond)) {
            try {
                LedgerPart part = read_ledger(file);
                part.cut(step);
                if (!part.steps.empty()) {
                    first_step = std::min(first_step, part.first_step);
                    last_step = part.steps.back().step;
                    if (!untouched) write_ledger(folder, part);
                }
            } catch (const Error& error) {
                last_step = std::min(last, step);
                report(fmt::format("steps up to {} are missing in the ledger: {}", last_step,
                                   error.what()));
            }
        }
        beyond |= last > step;
        if (in_place && last > step) fs::remove(file);
    }
    if (step > 0 && first_step > step)
        report(
            fmt::format("there is no ledger of steps 1 to {} in {}: inspect --verify will speak "
                        "of those from {} on",
                        step, source.string(), step + 1));
    else if (last_step < step)  // (A gap before that is inspect --verify's to find, who reads all.)
        report(fmt::format("steps {} to {} are missing in the ledger: no file in {} has them",
                           last_step + 1, step, source.string()));
    return first_step;
}

std::string ledger_digest(const LedgerPart& part) {
    return digest_of(part, part.steps, part.records);
}

}  // namespace evengrad
