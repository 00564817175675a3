// What makes viewers plot a file unasked: NeXus NXdata groups with HDF5 dimension scales.
//
// NeXus: https://manual.nexusformat.org/datarules.html (NXroot, NXentry, NXdata); scales: "HDF5
// Dimension Scale Specification and Design Notes". H5Web, silx, xarray and netCDF read them.
#pragma once

#include <string>
#include <vector>

#include "hdf5/file.hpp"

namespace evengrad::hdf5 {

/// Attributes of the root group, except `complete`, which PublishedFile sets last.
/// `file_time` is the time now (UTC), or that of the environment variable SOURCE_DATE_EPOCH
/// (seconds since 1970), which lets equal runs write equal bytes.
struct RootInfo {
    std::string schema;          ///< e.g. "evengrad-checkpoint"
    std::string schema_version;  ///< "major.minor"
    std::string default_entry;   ///< the NXentry that a viewer opens; empty: none
};
/// Takes the group over: `write_root(file.root(), ...)`.
void write_root(Group root, const RootInfo& info);

/// The schema that a file says it has; "" when it says none.
std::string schema_of(const Group& root);

/// @throws Error unless the file is complete, of this schema and of this major version.
void check_root(const Group& root, const std::string& schema, int major_version);

/// What a plotted dataset is called.
struct Label {
    std::string name;       ///< of the dataset, e.g. "train_loss"
    std::string units;      ///< e.g. "nats"; the two axes of an image need different ones
    std::string long_name;  ///< the text on the axis or above the plot
};

/// A new one-dimensional dataset that can be an axis (a dimension scale), as direct child of
/// `parent`. At most 4096 points, if it is to be plotted. Compressed, with a checksum.
template <Numbers Range>
Dataset write_scale(Group& parent, const Label& label, const Range& values);

/// Tells readers that a dimension of a dataset beside the plots is an axis; else xarray makes one
/// up.
void attach_scale(const Dataset& dataset, unsigned dimension, const Dataset& scale);

/// Makes `group` plot `values` [axes[0]->size(), axes[1]->size() ...] over `axes`, outermost first.
///
/// Writes the signal, sets NX_class, signal, axes, <axis>_indices and interpretation (spectrum or
/// image), hard-links each axis into the group under its own name unless it is there, and attaches
/// the scales. The group is new, or holds nothing but its own axes.
template <Numbers Range>
Dataset write_nxdata(Group& group, const Label& signal, const Range& values,
                     const std::vector<const Dataset*>& axes);

/// Adds a further curve to a group that write_nxdata has filled, over the same axes.
template <Numbers Range>
Dataset add_auxiliary_signal(Group& group, const Label& signal, const Range& values);

/// Adds the standard errors of a group's signal, drawn as error bars, over the same axes.
template <Numbers Range>
Dataset add_errors(Group& group, const Label& signal, const Range& values);

namespace detail {
void make_scale(Dataset& scale, const std::string& name);
Shape link_axes(Group& group, const Label& signal, const std::vector<const Dataset*>& axes);
Shape name_auxiliary(Group& group, const std::string& signal);
void attach_axes(Group& group, Dataset& dataset);
Attributes label_attributes(const Label& label, std::size_t rank);
}  // namespace detail

template <Numbers Range>
Dataset write_scale(Group& parent, const Label& label, const Range& values) {
    Dataset scale = parent.write(label.name, values, {std::ranges::size(values)},
                                 detail::label_attributes(label, 0), Storage::compressed);
    detail::make_scale(scale, label.name);
    return scale;
}

template <Numbers Range>
Dataset write_nxdata(Group& group, const Label& signal, const Range& values,
                     const std::vector<const Dataset*>& axes) {
    const Shape shape = detail::link_axes(group, signal, axes);
    Dataset dataset =
        group.write(signal.name, values, shape, detail::label_attributes(signal, shape.size()),
                    Storage::compressed);
    detail::attach_axes(group, dataset);
    return dataset;
}

template <Numbers Range>
Dataset add_auxiliary_signal(Group& group, const Label& signal, const Range& values) {
    const Shape shape = detail::name_auxiliary(group, signal.name);
    Dataset dataset =
        group.write(signal.name, values, shape, detail::label_attributes(signal, shape.size()),
                    Storage::compressed);
    detail::attach_axes(group, dataset);
    return dataset;
}

template <Numbers Range>
Dataset add_errors(Group& group, const Label& signal, const Range& values) {
    Dataset dataset =
        group.write(signal.name + "_errors", values, group.open_dataset(signal.name).shape(),
                    detail::label_attributes(
                        {signal.name, signal.units, signal.long_name + ", standard error"}, 1),
                    Storage::compressed);
    detail::attach_axes(group, dataset);
    return dataset;
}

}  // namespace evengrad::hdf5
