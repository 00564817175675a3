#include "hdf5/nexus.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <hdf5_hl.h>

#include "hdf5/calls.hpp"
#include <evengrad/version.hpp>

namespace evengrad::hdf5 {

namespace {

std::string file_time() {
    std::time_t seconds = std::time(nullptr);
    if (const char* frozen = std::getenv("SOURCE_DATE_EPOCH")) {
        const char* end = frozen + std::char_traits<char>::length(frozen);
        const auto [rest, problem] = std::from_chars(frozen, end, seconds);
        // 253402300799 is the last second of the year 9999.
        if (problem != std::errc{} || rest != end || seconds < 0 || seconds > 253402300799)
            throw Error(fmt::format("the environment variable SOURCE_DATE_EPOCH is '{}'", frozen),
                        "it must be a number of seconds since 1970, or not be set");
    }
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(seconds));
}

std::string library_version() {
    unsigned major = 0, minor = 0, release = 0;
    check(H5get_libversion(&major, &minor, &release), "H5get_libversion", Place{});
    return fmt::format("{}.{}.{}", major, minor, release);
}

std::string last_name(const Dataset& dataset) {
    const std::string path = dataset.path();
    return path.substr(path.rfind('/') + 1);
}

}  // namespace

void write_root(Group root, const RootInfo& info) {
    root.set({{"NX_class", "NXroot"},
              {"creator", "evengrad"},
              {"creator_version", version},
              {"HDF5_Version", library_version()},
              {"file_time", file_time()},
              {"schema", info.schema},
              {"schema_version", info.schema_version}});
    if (!info.default_entry.empty()) root.set("default", info.default_entry);
}

std::string schema_of(const Group& root) {
    return root.has("schema") ? root.get<std::string>("schema") : "";
}

void check_root(const Group& root, const std::string& schema, int major_version) {
    const std::string file = root.where();
    if (const std::string has = schema_of(root); has != schema)
        throw Error(
            fmt::format("{}: is no {} file{}", file, schema, has.empty() ? "" : ", but " + has),
            has.empty() ? "give a file that evengrad wrote"
                        : "give one of that kind; of a run, a checkpoint or its folder");
    const std::string found = root.get<std::string>("schema_version");
    if (found.substr(0, found.find('.')) != std::to_string(major_version))
        throw Error(fmt::format("{}: has schema version {}, this program reads {}.x", file, found,
                                major_version),
                    "use the version of evengrad that wrote it");
    if (!root.has("complete") || root.get<std::int64_t>("complete") != 1)
        throw Error(fmt::format("{}: was not finished", file), "use an earlier file");
}

namespace detail {

Attributes label_attributes(const Label& label, std::size_t rank) {
    Attributes attributes{{"units", label.units}, {"long_name", label.long_name}};
    if (rank > 0) attributes.emplace_back("interpretation", rank == 1 ? "spectrum" : "image");
    return attributes;
}

void make_scale(Dataset& scale, const std::string& name) {
    check(H5DSset_scale(scale.id(), name.c_str()), "H5DSset_scale", {scale.id(), {}});
}

Shape link_axes(Group& group, const Label& signal, const std::vector<const Dataset*>& axes) {
    EVENGRAD_CHECK(!axes.empty(), "{}: a plot needs an axis", group.where());
    Shape shape;
    std::vector<std::string> names;
    for (const Dataset* axis : axes) {
        EVENGRAD_CHECK(axis->shape().size() == 1 && H5DSis_scale(axis->id()) > 0,
                       "{} is no axis of one dimension", axis->where());
        const std::string name = last_name(*axis);
        if (!group.exists(name))
            check(H5Olink(axis->id(), group.id(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                  "H5Olink", {group.id(), name});
        group.set(name + "_indices", static_cast<std::int64_t>(names.size()));
        names.push_back(name);
        shape.push_back(axis->size());
    }
    group.set({{"NX_class", "NXdata"}, {"signal", signal.name}, {"axes", names}});
    return shape;
}

void attach_axes(Group& group, Dataset& dataset) {
    const auto names = group.get<std::vector<std::string>>("axes");
    for (std::size_t d = 0; d < names.size(); ++d)
        attach_scale(dataset, static_cast<unsigned>(d), group.open_dataset(names[d]));
}

Shape name_auxiliary(Group& group, const std::string& signal) {
    std::vector<std::string> names;
    if (group.has("auxiliary_signals"))
        names = group.get<std::vector<std::string>>("auxiliary_signals");
    names.push_back(signal);
    group.set("auxiliary_signals", names);
    return group.open_dataset(group.get<std::string>("signal")).shape();
}

}  // namespace detail

void attach_scale(const Dataset& dataset, unsigned dimension, const Dataset& scale) {
    check(H5DSattach_scale(dataset.id(), scale.id(), dimension), "H5DSattach_scale",
          {dataset.id(), {}});
}

}  // namespace evengrad::hdf5
