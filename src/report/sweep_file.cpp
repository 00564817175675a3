// A sweep for programs: JSON, and HDF5 whose datasets have the grid's dimensions.
#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/narrow.hpp"
#include "hdf5/nexus.hpp"
#include "report/sweep_report.hpp"

namespace evengrad {

namespace {

using SweepJson = nlohmann::ordered_json;

constexpr const char* sweep_schema = "evengrad-sweep";
constexpr const char* sweep_version = "1.0";

SweepJson number_or_null(double value) {
    return std::isfinite(value) ? SweepJson(value) : SweepJson(nullptr);
}

SweepJson count_or_null(std::int64_t value) {
    return value > 0 ? SweepJson(value) : SweepJson(nullptr);
}

SweepJson cell_json(const SweepCell& cell, std::uint64_t seed) {
    return {{"seed", seed},
            {"steps", cell.steps},
            {"diverged_at", count_or_null(cell.diverged_at)},
            {"train_loss", number_or_null(cell.loss)},
            {"valid_loss", number_or_null(cell.valid_loss)},
            {"valid_accuracy", number_or_null(cell.valid_accuracy)},
            {"steps_to_target", count_or_null(cell.steps_to_target)},
            {"first_gradient_ratio", number_or_null(cell.first_gradient_ratio)},
            {"last_gradient_ratio", number_or_null(cell.last_gradient_ratio)},
            {"digest", cell.diverged_at > 0
                           ? SweepJson(nullptr)
                           : SweepJson(std::string(cell.digest.begin(), cell.digest.end()))}};
}

SweepJson summary_json(const SweepReport& report, std::int64_t point) {
    SweepJson json = SweepJson::object();
    for (const SweepQuantity& quantity : quantities_of(report)) {
        const SeedSummary summary = SeedSummary::of(report, point, quantity.of);
        json[quantity.name] = {{"seeds", summary.seeds},
                               {"mean", number_or_null(summary.mean)},
                               {"std", number_or_null(summary.std)}};
    }
    return json;
}

SweepJson options_json(const std::map<std::string, std::string>& options) {
    SweepJson json = SweepJson::object();
    for (const auto& [name, text] : options) json[name] = text;
    return json;
}

// ---------------------------------------------------------------------------------------- HDF5

/// "input-normalization" is a dataset input_normalization.
std::string axis_name(std::string name) {
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

/// The values as numbers, if they all are and go up; else empty.
std::vector<double> rising_numbers(const std::vector<std::string>& values) {
    std::vector<double> numbers;
    for (const std::string& value : values) {
        double number = 0.0;
        const char* const end = value.data() + value.size();
        const auto [stop, error] = std::from_chars(value.data(), end, number);
        if (error != std::errc() || stop != end || !std::isfinite(number) ||
            (!numbers.empty() && number <= numbers.back()))
            return {};
        numbers.push_back(number);
    }
    return numbers;
}

/// The axis of a dimension: its values where they are numbers that go up, else 0, 1, ...; and the
/// values as text. (Its units are its name: viewers draw two axes of equal units to one scale.)
hdf5::Dataset write_axis(hdf5::Group& entry, const SweepDimension& dimension) {
    const std::string name = axis_name(dimension.name);
    entry.write_texts(name + "_values", dimension.values);
    if (const auto numbers = rising_numbers(dimension.values); !numbers.empty())
        return hdf5::write_scale(entry, {name, dimension.name, dimension.name}, numbers);
    std::vector<std::int64_t> indices;
    std::vector<std::string> meanings;
    for (const std::string& value : dimension.values) {
        meanings.push_back(fmt::format("{} {}", indices.size(), value));
        indices.push_back(std::ssize(indices));
    }
    return hdf5::write_scale(
        entry,
        {name, dimension.name, fmt::format("{}: {}", dimension.name, fmt::join(meanings, ", "))},
        indices);
}

}  // namespace

std::string sweep_json(const SweepReport& report) {
    const SweepConfig& config = report.config;
    SweepJson json{{"schema", sweep_schema},
                   {"schema_version", sweep_version},
                   {"data_digest", report.data.digest()},
                   {"grid", SweepJson::object()},
                   {"first_seed", config.first_seed},
                   {"seeds", config.seeds},
                   {"target_accuracy", config.target_accuracy ? SweepJson(*config.target_accuracy)
                                                              : SweepJson(nullptr)},
                   {"options", options_json(config.options)}};
    for (const SweepDimension& dimension : config.grid)
        json["grid"][dimension.name] = dimension.values;
    SweepJson& points = json["points"] = SweepJson::array();
    for (std::int64_t p = 0; p < std::ssize(config.points); ++p) {
        SweepJson point{{"values", SweepJson::object()},
                        {"options", options_json(config.points[at(p)].options)},
                        {"summary", summary_json(report, p)}};
        const auto values = config.values_at(p);
        for (std::size_t d = 0; d < values.size(); ++d)
            point["values"][config.grid[d].name] = values[d];
        SweepJson& cells = point["cells"] = SweepJson::array();
        for (std::int64_t s = 0; s < config.seeds; ++s)
            cells.push_back(cell_json(report.sweep[at(p * config.seeds + s)],
                                      config.first_seed + static_cast<std::uint64_t>(s)));
        points.push_back(std::move(point));
    }
    // A file's name need not be UTF-8.
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

void write_sweep(const SweepReport& report, hdf5::Group root) {
    const SweepConfig& config = report.config;
    const auto quantities = quantities_of(report);
    {
        hdf5::Group entry = root.create_group("sweep", "NXentry");
        entry.set("default", std::string(quantities.front().name));
        std::vector<hdf5::Dataset> axes;
        for (const SweepDimension& dimension : config.grid)
            axes.push_back(write_axis(entry, dimension));
        // An axis of one point makes no plot.
        if (config.seeds > 1 || config.grid.empty()) {
            std::vector<std::int64_t> seeds;
            for (std::int64_t s = 0; s < config.seeds; ++s)
                seeds.push_back(static_cast<std::int64_t>(config.first_seed) + s);
            axes.push_back(hdf5::write_scale(entry, {"seed", "seed", "seed"}, seeds));
        }
        std::vector<const hdf5::Dataset*> all;
        for (const hdf5::Dataset& axis : axes) all.push_back(&axis);
        for (const SweepQuantity& quantity : quantities) {
            std::vector<double> values;
            for (const SweepCell& cell : report.sweep) values.push_back(quantity.of(cell));
            hdf5::Group group = entry.create_group(quantity.name, "NXdata");
            hdf5::write_nxdata(group, {quantity.name, quantity.units, quantity.long_name}, values,
                               all);
        }
        std::vector<std::string> digests;
        for (const SweepCell& cell : report.sweep)
            digests.push_back(cell.diverged_at > 0
                                  ? std::string()
                                  : std::string(cell.digest.begin(), cell.digest.end()));
        entry.write_texts("digest", digests);
    }
    // Everything, options of the runs among it, as text.
    hdf5::Group note = root.create_group("result", "NXnote");
    note.write_text("type", "application/json");
    note.write_text("data", sweep_json(report));
    hdf5::write_root(std::move(root), {sweep_schema, sweep_version, "sweep"});
}

}  // namespace evengrad
