#include <algorithm>

#include "checkpoint/history_file.hpp"
#include "hdf5/nexus.hpp"
#include "statistics/columns.hpp"

namespace evengrad {

namespace {

constexpr const char* entries[] = {"gradients", "weights"};

/// What a group of /gradients or /weights is plotted over.
struct StatisticsAxes {
    hdf5::Dataset layer, step, histogram_step, bin;
};

/// A number of each sample, in the order of samples.
template <class Sample>
std::vector<std::int64_t> of_samples(const std::vector<Sample>& samples,
                                     std::int64_t Sample::*number) {
    std::vector<std::int64_t> values;
    for (const Sample& sample : samples) values.push_back(sample.*number);
    return values;
}

/// Small numbers and huge ones side by side.
void prefer_logarithm(hdf5::Group& group) {
    group.set("SILX_style", std::string(R"({"signal_scale_type": "log"})"));
}

StatisticsAxes write_axes(hdf5::Group& entry, const ParameterTable& table,
                          const StatisticsHistory& statistics) {
    using Sample = StatisticsHistory::Sample;
    using Histogram = StatisticsHistory::Histogram;
    std::vector<std::int32_t> index;
    std::vector<std::uint64_t> size;
    std::vector<std::string> names;
    for (const Tensor& tensor : table.tensors()) {
        index.push_back(static_cast<std::int32_t>(index.size()));
        size.push_back(static_cast<std::uint64_t>(tensor.count));
        names.push_back(tensor.name);
    }
    entry.write_texts("layer_name", names);
    entry.write("numel", size, {size.size()});
    entry.write("bin_edge", Octaves::edges(), {Octaves::count + 1});
    entry.write("merged", of_samples(statistics.samples, &Sample::merged),
                {statistics.samples.size()});
    entry.write("histogram_merged", of_samples(statistics.histograms, &Histogram::merged),
                {statistics.histograms.size()});
    return {hdf5::write_scale(entry, {"layer", "index", "tensor, by layer_name"}, index),
            hdf5::write_scale(entry, {"step", "step", "optimizer step"},
                              of_samples(statistics.samples, &Sample::step)),
            hdf5::write_scale(entry, {"histogram_step", "step", "last optimizer step counted"},
                              of_samples(statistics.histograms, &Histogram::step)),
            hdf5::write_scale(entry, {"bin", "1", "value, centers of bins"}, Octaves::centers())};
}

void write_column(hdf5::Group& entry, const TensorColumn& column, const StatisticsAxes& axes,
                  const StatisticsHistory& statistics) {
    std::vector<float> values;
    for (std::uint64_t layer = 0; layer < axes.layer.size(); ++layer)
        for (const StatisticsHistory::Sample& sample : statistics.samples)
            values.push_back(column.value(sample.tensors[layer]));
    hdf5::Group group = entry.create_group(column.name, "NXdata");
    hdf5::write_nxdata(group, {column.name, column.units, column.long_name}, values,
                       {&axes.layer, &axes.step});
    if (column.merging == Merging::root_mean_square) prefer_logarithm(group);
}

using CountsOfTensors = std::vector<OctaveCounts> StatisticsHistory::Histogram::*;

CountsOfTensors counts_of(std::string_view entry) {
    return entry == "gradients" ? &StatisticsHistory::Histogram::gradient_counts
                                : &StatisticsHistory::Histogram::weight_counts;
}

void write_histogram(hdf5::Group& entry, CountsOfTensors counts, const StatisticsAxes& axes,
                     const StatisticsHistory& statistics) {
    std::vector<std::uint64_t> values;
    for (std::uint64_t layer = 0; layer < axes.layer.size(); ++layer)
        for (const StatisticsHistory::Histogram& histogram : statistics.histograms) {
            const OctaveCounts& bins = (histogram.*counts)[layer];
            values.insert(values.end(), bins.begin(), bins.end());
        }
    hdf5::Group group = entry.create_group("histogram", "NXdata");
    hdf5::write_nxdata(group, {"counts", "1", "elements by value"}, values,
                       {&axes.layer, &axes.histogram_step, &axes.bin});
    prefer_logarithm(group);
}

/// Steps, and of how many each sample is: as add_or_merge() leaves them.
template <class Sample>
std::vector<Sample> read_samples(const hdf5::Group& entry, const char* step, const char* merged,
                                 std::size_t most, std::int64_t last_step) {
    const auto steps = entry.read<std::int64_t>(step, most);
    std::vector<std::int64_t> counts(steps.size());
    entry.read(merged, {counts.size()}, std::span<std::int64_t>(counts));
    std::vector<Sample> samples;
    std::int64_t before = 0;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const bool fits = i + 1 < steps.size() ? counts[i] == counts[0] : counts[i] <= counts[0];
        if (steps[i] <= before || steps[i] > last_step || counts[i] < 1 ||
            counts[i] > steps[i] - before || !fits)
            throw Error(fmt::format("{}: sample {} is of {} recorded steps up to step {}, after "
                                    "step {}, in a checkpoint of step {}",
                                    entry.where(), i, counts[i], steps[i], before, last_step),
                        "the checkpoint is damaged");
        before = steps[i];
        Sample& sample = samples.emplace_back();
        sample.step = steps[i];
        sample.merged = counts[i];
    }
    return samples;
}

/// All of a dataset that must have this shape, of which the file must have enough.
template <hdf5::Number T>
std::vector<T> read_shaped(const hdf5::Group& entry, const std::string& path,
                           const hdf5::Shape& shape) {
    entry.open_dataset(path).expect(hdf5::detail::type_of<T>(), shape);
    return entry.read<T>(path, hdf5::element_count(shape));
}

}  // namespace

void write_statistics(hdf5::Group& root, const ParameterTable& table,
                      const StatisticsHistory& statistics) {
    if (statistics.samples.empty()) return;
    for (const char* name : entries) {
        hdf5::Group entry = root.create_group(name, "NXentry");
        entry.set("default", std::string("norm_l2"));
        const StatisticsAxes axes = write_axes(entry, table, statistics);
        for (const TensorColumn& column : tensor_columns())
            if (column.entry == std::string_view(name))
                write_column(entry, column, axes, statistics);
        write_histogram(entry, counts_of(name), axes, statistics);
    }
}

StatisticsHistory read_statistics(const hdf5::Group& root, const ParameterTable& table,
                                  std::int64_t last_step) {
    StatisticsHistory statistics;
    if (!root.exists("gradients")) return statistics;  // none were recorded
    const hdf5::Group gradients = root.open_group("gradients");
    statistics.samples = read_samples<StatisticsHistory::Sample>(
        gradients, "step", "merged", StatisticsHistory::most_samples, last_step);
    statistics.histograms =
        read_samples<StatisticsHistory::Histogram>(gradients, "histogram_step", "histogram_merged",
                                                   StatisticsHistory::most_histograms, last_step);
    const auto layers = static_cast<std::size_t>(table.size());
    const std::size_t samples = statistics.samples.size();
    const std::size_t histograms = statistics.histograms.size();
    for (const TensorColumn& column : tensor_columns()) {
        const auto values = read_shaped<float>(
            root.open_group(column.entry), fmt::format("{0}/{0}", column.name), {layers, samples});
        for (std::size_t s = 0; s < samples; ++s) {
            auto& tensors = statistics.samples[s].tensors;
            tensors.resize(layers);
            for (std::size_t t = 0; t < layers; ++t)
                column.of(tensors[t]) = values[t * samples + s];
        }
    }
    for (const char* entry : entries) {
        const auto values =
            read_shaped<std::uint64_t>(root.open_group(entry), "histogram/counts",
                                       {layers, histograms, std::uint64_t{Octaves::count}});
        auto from = values.begin();
        for (std::size_t t = 0; t < layers; ++t)
            for (StatisticsHistory::Histogram& histogram : statistics.histograms) {
                auto& counts = histogram.*counts_of(entry);
                counts.resize(layers);
                std::copy_n(from, Octaves::count, counts[t].begin());
                from += Octaves::count;
            }
    }
    return statistics;
}

}  // namespace evengrad
