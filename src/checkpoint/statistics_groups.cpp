#include <algorithm>
#include <numeric>

#include "checkpoint/history_file.hpp"
#include "hdf5/nexus.hpp"
#include "model/layer_sink.hpp"
#include "statistics/columns.hpp"

namespace evengrad {

namespace {

constexpr const char* tensor_entries[] = {"gradients", "weights"};
constexpr const char* layer_entry = "activations";

/// What a group of an entry is plotted over.
struct SampleAxes {
    hdf5::Dataset layer, step;
};
struct HistogramAxes {
    hdf5::Dataset step, octave;
};

/// A number of each sample, in the order of samples.
template <class Sample>
std::vector<std::int64_t> of_samples(const std::vector<Sample>& samples,
                                     std::int64_t Sample::*number) {
    std::vector<std::int64_t> values;
    for (const Sample& sample : samples) values.push_back(sample.*number);
    return values;
}

/// All of a dataset that must have this shape, of which the file must have enough.
template <hdf5::Number T>
std::vector<T> read_shaped(const hdf5::Group& entry, const std::string& path,
                           const hdf5::Shape& shape) {
    entry.open_dataset(path).expect(hdf5::detail::type_of<T>(), shape);
    return entry.read<T>(path, hdf5::element_count(shape));
}

/// Small numbers and huge ones side by side.
void prefer_logarithm(hdf5::Group& group) {
    group.set("SILX_style", std::string(R"({"signal_scale_type": "log"})"));
}

/// Beside the plots: a value for each point of an axis.
template <hdf5::Numbers Range>
void write_along(hdf5::Group& entry, const std::string& name, const Range& values,
                 const hdf5::Dataset& axis) {
    hdf5::attach_scale(entry.write(name, values, {std::ranges::size(values)}), 0, axis);
}

/// `layer` names what there is one of in `names`.
SampleAxes write_sample_axes(hdf5::Group& entry, const std::vector<std::string>& names,
                             const std::string& layer, const StatisticsHistory& statistics) {
    using Sample = StatisticsHistory::Sample;
    std::vector<std::int32_t> index(names.size());
    std::iota(index.begin(), index.end(), 0);
    SampleAxes axes{hdf5::write_scale(entry, {"layer", "index", layer + ", by layer_name"}, index),
                    hdf5::write_scale(entry, {"step", "step", "optimizer step"},
                                      of_samples(statistics.samples, &Sample::step))};
    hdf5::attach_scale(entry.write_texts("layer_name", names), 0, axes.layer);
    write_along(entry, "merged", of_samples(statistics.samples, &Sample::merged), axes.step);
    return axes;
}

HistogramAxes write_histogram_axes(hdf5::Group& entry, const StatisticsHistory& statistics) {
    using Histogram = StatisticsHistory::Histogram;
    // Over values H5Web would draw the bins equally wide from the smallest to the largest.
    std::vector<std::int32_t> octaves(Octaves::count);
    std::iota(octaves.begin(), octaves.end(), -static_cast<std::int32_t>(Octaves::count / 2));
    HistogramAxes axes{
        hdf5::write_scale(entry, {"histogram_step", "step", "last optimizer step counted"},
                          of_samples(statistics.histograms, &Histogram::step)),
        hdf5::write_scale(entry, {"octave", "octave", "sign and octave, from 2^(octave-127)"},
                          octaves)};
    write_along(entry, "bin", Octaves::centers(), axes.octave);
    hdf5::write_scale(entry, {"bin_edge", "1", "edges of the bins"}, Octaves::edges());
    write_along(entry, "histogram_merged", of_samples(statistics.histograms, &Histogram::merged),
                axes.step);
    return axes;
}

/// Where a sample has statistics of this kind.
template <class Statistics>
using PartOfSample = std::vector<Statistics> StatisticsHistory::Sample::*;

template <class Statistics, class Number>
void write_column(hdf5::Group& entry, const StatisticsColumn<Statistics, Number>& column,
                  PartOfSample<Statistics> part, const SampleAxes& axes,
                  const StatisticsHistory& statistics) {
    std::vector<Number> values;
    for (std::uint64_t layer = 0; layer < axes.layer.size(); ++layer)
        for (const StatisticsHistory::Sample& sample : statistics.samples)
            values.push_back(column.value((sample.*part)[layer]));
    hdf5::Group group = entry.create_group(column.name, "NXdata");
    // silx takes an image of one row for no plot: a single layer has a curve.
    const std::vector<const hdf5::Dataset*> image{&axes.layer, &axes.step}, curve{&axes.step};
    hdf5::write_nxdata(group, {column.name, column.units, column.long_name}, values,
                       axes.layer.size() == 1 ? curve : image);
    if (column.logarithmic) prefer_logarithm(group);
}

/// The other way: reads a column into samples whose statistics are there already.
template <class Statistics, class Number>
void read_column(const hdf5::Group& entry, const StatisticsColumn<Statistics, Number>& column,
                 PartOfSample<Statistics> part, std::size_t layers, StatisticsHistory& statistics) {
    const std::size_t samples = statistics.samples.size();
    const auto values =
        read_shaped<Number>(entry, fmt::format("{0}/{0}", column.name),
                            layers == 1 ? hdf5::Shape{samples} : hdf5::Shape{layers, samples});
    for (std::size_t s = 0; s < samples; ++s) {
        auto& of_sample = statistics.samples[s].*part;
        of_sample.resize(layers);
        for (std::size_t l = 0; l < layers; ++l) column.of(of_sample[l]) = values[l * samples + s];
    }
}

using CountsOfTensors = std::vector<OctaveCounts> StatisticsHistory::Histogram::*;

CountsOfTensors counts_of(std::string_view entry) {
    return entry == "gradients" ? &StatisticsHistory::Histogram::gradient_counts
                                : &StatisticsHistory::Histogram::weight_counts;
}

void write_histogram(hdf5::Group& entry, CountsOfTensors counts, const hdf5::Dataset& layers,
                     const StatisticsHistory& statistics) {
    const HistogramAxes axes = write_histogram_axes(entry, statistics);
    std::vector<std::uint64_t> values;
    for (std::uint64_t layer = 0; layer < layers.size(); ++layer)
        for (const StatisticsHistory::Histogram& histogram : statistics.histograms) {
            const OctaveCounts& bins = (histogram.*counts)[layer];
            values.insert(values.end(), bins.begin(), bins.end());
        }
    hdf5::Group group = entry.create_group("histogram", "NXdata");
    hdf5::write_nxdata(group, {"counts", "1", "elements by value"}, values,
                       {&layers, &axes.step, &axes.octave});
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

void write_tensors(hdf5::Group& root, const ParameterTable& table,
                   const StatisticsHistory& statistics) {
    std::vector<std::uint64_t> size;
    std::vector<std::string> names;
    for (const Tensor& tensor : table.tensors()) {
        size.push_back(static_cast<std::uint64_t>(tensor.count));
        names.push_back(tensor.name);
    }
    for (const char* name : tensor_entries) {
        hdf5::Group entry = root.create_group(name, "NXentry");
        entry.set("default", std::string("norm_l2"));
        const SampleAxes axes = write_sample_axes(entry, names, "tensor", statistics);
        write_along(entry, "numel", size, axes.layer);
        for (const TensorColumn& column : tensor_columns())
            if (column.entry == std::string_view(name))
                write_column(entry, column, &StatisticsHistory::Sample::tensors, axes, statistics);
        write_histogram(entry, counts_of(name), axes.layer, statistics);
    }
}

/// Glorot's two variances over the layers, a curve for each step: what should stay level.
void write_glorot(hdf5::Group& entry, const SampleAxes& axes, const StatisticsHistory& statistics) {
    std::vector<double> forward, backward;
    for (const StatisticsHistory::Sample& sample : statistics.samples)
        for (const LayerStatistics& layer : sample.layers) {
            forward.push_back(layer.forward_variance);
            backward.push_back(layer.backward_variance);
        }
    hdf5::Group group = entry.create_group("glorot", "NXdata");
    hdf5::Dataset signal =
        hdf5::write_nxdata(group, {"forward_variance", "1", "variance of the activations"}, forward,
                           {&axes.step, &axes.layer});
    hdf5::Dataset other = hdf5::add_auxiliary_signal(
        group, {"backward_variance", "1", "variance of the back-propagated signal"}, backward);
    for (hdf5::Dataset* dataset : {&signal, &other})
        dataset->set("interpretation", std::string("spectrum"));
    prefer_logarithm(group);
}

void write_layers(hdf5::Group& root, const std::vector<ActivationLayer>& layers,
                  const StatisticsHistory& statistics) {
    std::vector<std::uint64_t> inputs, units;
    std::vector<std::string> names;
    for (const ActivationLayer& layer : layers) {
        inputs.push_back(static_cast<std::uint64_t>(layer.inputs));
        units.push_back(static_cast<std::uint64_t>(layer.units));
        names.push_back(layer.name);
    }
    hdf5::Group entry = root.create_group(layer_entry, "NXentry");
    const SampleAxes axes = write_sample_axes(entry, names, "layer", statistics);
    write_along(entry, "inputs", inputs, axes.layer);
    write_along(entry, "units", units, axes.layer);
    for (const LayerColumn& column : layer_columns())
        write_column(entry, column, &StatisticsHistory::Sample::layers, axes, statistics);
    // silx takes a plot of one step for no plot.
    const bool several = statistics.samples.size() > 1;
    if (several) write_glorot(entry, axes, statistics);
    entry.set("default", std::string(several ? "glorot" : "forward_variance"));
}

}  // namespace

void write_statistics(hdf5::Group& root, const ModelConfig& model,
                      const StatisticsHistory& statistics) {
    if (statistics.samples.empty()) return;
    write_tensors(root, ParameterTable(model), statistics);
    const auto layers = activation_layers(model);
    if (!layers.empty()) write_layers(root, layers, statistics);
}

StatisticsHistory read_statistics(const hdf5::Group& root, const ModelConfig& model,
                                  std::int64_t last_step) {
    StatisticsHistory statistics;
    if (!root.exists("gradients")) return statistics;  // none were recorded
    const hdf5::Group gradients = root.open_group("gradients");
    statistics.samples = read_samples<StatisticsHistory::Sample>(
        gradients, "step", "merged", StatisticsHistory::most_samples, last_step);
    statistics.histograms =
        read_samples<StatisticsHistory::Histogram>(gradients, "histogram_step", "histogram_merged",
                                                   StatisticsHistory::most_histograms, last_step);
    const auto tensors = static_cast<std::size_t>(ParameterTable(model).size());
    for (const TensorColumn& column : tensor_columns())
        read_column(root.open_group(column.entry), column, &StatisticsHistory::Sample::tensors,
                    tensors, statistics);
    for (const char* entry : tensor_entries) {
        const auto values = read_shaped<std::uint64_t>(
            root.open_group(entry), "histogram/counts",
            {tensors, statistics.histograms.size(), std::uint64_t{Octaves::count}});
        auto from = values.begin();
        for (std::size_t t = 0; t < tensors; ++t)
            for (StatisticsHistory::Histogram& histogram : statistics.histograms) {
                auto& counts = histogram.*counts_of(entry);
                counts.resize(tensors);
                std::copy_n(from, Octaves::count, counts[t].begin());
                from += Octaves::count;
            }
    }
    if (const std::size_t layers = activation_layers(model).size(); layers > 0)
        for (const LayerColumn& column : layer_columns())
            read_column(root.open_group(column.entry), column, &StatisticsHistory::Sample::layers,
                        layers, statistics);
    return statistics;
}

}  // namespace evengrad
