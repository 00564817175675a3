#include <algorithm>

#include <fmt/format.h>

#include "hdf5/calls.hpp"

namespace evengrad::hdf5 {

namespace {

#if H5_VERSION_GE(1, 12, 0)
using LinkInfo = H5L_info2_t;
herr_t link_info(hid_t group, const char* name, LinkInfo* info) {
    return H5Lget_info2(group, name, info, H5P_DEFAULT);
}
#else
using LinkInfo = H5L_info_t;
herr_t link_info(hid_t group, const char* name, LinkInfo* info) {
    return H5Lget_info(group, name, info, H5P_DEFAULT);
}
#endif

extern "C" herr_t add_name(hid_t, const char* name, const LinkInfo*, void* names) noexcept {
    try {
        static_cast<std::vector<std::string>*>(names)->emplace_back(name);
        return 0;
    } catch (...) {
        return -1;
    }
}

std::vector<std::string> components_of(const std::string& path) {
    std::vector<std::string> components;
    for (std::size_t begin = 0; begin <= path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        components.push_back(path.substr(begin, end - begin));
        if (components.back().empty() || components.back() == "." ||
            components.back().find('\0') != std::string::npos)
            throw Error(fmt::format("'{}' is not a path inside an HDF5 file", path));
        begin = end + 1;
    }
    return components;
}

/// The object under `name` in a group; empty when there is none. Follows hard links only.
ObjectHandle open_child(hid_t group, const std::string& name) {
    const Place place{group, name};
    if (check(H5Lexists(group, name.c_str(), H5P_DEFAULT), "H5Lexists", place) == 0) return {};
    LinkInfo info;
    check(link_info(group, name.c_str(), &info), "H5Lget_info", place);
    if (info.type != H5L_TYPE_HARD) {
        const char* type = info.type == H5L_TYPE_SOFT       ? "a soft"
                           : info.type == H5L_TYPE_EXTERNAL ? "an external"
                                                            : "a user-defined";
        throw Error(fmt::format("{}: is {} link, which can lead out of the file; refused",
                                describe(place), type),
                    "copy what it points to into the file itself");
    }
    return ObjectHandle(check(H5Oopen(group, name.c_str(), H5P_DEFAULT), "H5Oopen", place));
}

H5I_type_t type_of_id(const ObjectHandle& object) {
    return check(H5Iget_type(object.id()), "H5Iget_type", {object.id(), {}});
}

/// Chunks of at most 2^17 elements (1 MiB of float64), cut along the outermost dimensions.
std::vector<hsize_t> chunk_for(const Shape& shape) {
    constexpr std::uint64_t most = std::uint64_t{1} << 17;
    std::vector<hsize_t> chunk;
    for (const std::uint64_t length : shape) chunk.push_back(std::clamp<hsize_t>(length, 1, most));
    std::uint64_t inner = 1;
    for (std::size_t d = chunk.size(); d-- > 0;) {
        chunk[d] = std::min<hsize_t>(chunk[d], std::max<std::uint64_t>(most / inner, 1));
        inner *= chunk[d];
    }
    return chunk;
}

PropertyHandle dataset_properties(const Shape& shape, Storage storage, const Place& place) {
    PropertyHandle list = creation_properties(H5P_DATASET_CREATE);
    check(H5Pset_fill_time(list.id(), H5D_FILL_TIME_NEVER), "H5Pset_fill_time", place);
    if (storage == Storage::plain || shape.empty()) {
        check(H5Pset_layout(list.id(), H5D_CONTIGUOUS), "H5Pset_layout", place);
        check(H5Pset_alloc_time(list.id(), H5D_ALLOC_TIME_EARLY), "H5Pset_alloc_time", place);
    } else {
        const std::vector<hsize_t> chunk = chunk_for(shape);
        check(H5Pset_chunk(list.id(), static_cast<int>(chunk.size()), chunk.data()), "H5Pset_chunk",
              place);
        check(H5Pset_shuffle(list.id()), "H5Pset_shuffle", place);
        check(H5Pset_deflate(list.id(), 4), "H5Pset_deflate", place);
        check(H5Pset_fletcher32(list.id()), "H5Pset_fletcher32", place);
    }
    return list;
}

ObjectHandle make_dataset(hid_t parent, const std::string& name, hid_t type, const Shape& shape,
                          const PropertyHandle& properties) {
    const Place place{parent, name};
    const SpaceHandle space = make_space(shape, place);
    return ObjectHandle(check(H5Dcreate2(parent, name.c_str(), type, space.id(), H5P_DEFAULT,
                                         properties.id(), H5P_DEFAULT),
                              "H5Dcreate2", place));
}

ObjectHandle make_group(hid_t parent, const std::string& name) {
    const PropertyHandle properties = creation_properties(H5P_GROUP_CREATE);
    return ObjectHandle(
        check(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, properties.id(), H5P_DEFAULT),
              "H5Gcreate2", {parent, name}));
}

}  // namespace

Group Group::parent_for(const std::string& path, std::string& last_name) {
    std::vector<std::string> names = components_of(path);
    last_name = names.back();
    names.pop_back();
    Group current(ObjectHandle(check(H5Oopen(id(), ".", H5P_DEFAULT), "H5Oopen", {id(), {}})));
    for (const std::string& name : names) {
        ObjectHandle next = open_child(current.id(), name);
        if (next && type_of_id(next) != H5I_GROUP)
            throw Error(fmt::format("{}: is not a group", describe({next.id(), {}})));
        const bool is_new = !next;
        if (is_new) next = make_group(current.id(), name);
        current = Group(std::move(next));
        if (is_new) current.set("NX_class", "NXcollection");
    }
    return current;
}

Group Group::create_group(const std::string& path, const std::string& nx_class) {
    std::string name;
    const Group parent = parent_for(path, name);
    Group group(make_group(parent.id(), name));
    group.set("NX_class", nx_class);
    return group;
}

Dataset Group::create_dataset(const std::string& path, Type type, const Shape& shape,
                              const Attributes& attributes, Storage storage) {
    std::string name;
    const Group parent = parent_for(path, name);
    const PropertyHandle properties = dataset_properties(shape, storage, {parent.id(), name});
    Dataset dataset(make_dataset(parent.id(), name, file_type(type), shape, properties));
    dataset.set(attributes);
    return dataset;
}

Dataset Group::write_text(const std::string& path, const std::string& text,
                          const Attributes& attributes) {
    std::string name;
    const Group parent = parent_for(path, name);
    Dataset dataset(make_dataset(parent.id(), name, string_type().id(), {},
                                 creation_properties(H5P_DATASET_CREATE)));
    dataset.set(attributes);
    dataset.write_texts({&text, 1});
    return dataset;
}

Dataset Group::write_texts(const std::string& path, std::span<const std::string> texts,
                           const Attributes& attributes) {
    std::string name;
    const Group parent = parent_for(path, name);
    Dataset dataset(make_dataset(parent.id(), name, string_type().id(), {texts.size()},
                                 creation_properties(H5P_DATASET_CREATE)));
    dataset.set(attributes);
    dataset.write_texts(texts);
    return dataset;
}

ObjectHandle Group::find(const std::string& path) const {
    ObjectHandle current;
    for (const std::string& name : components_of(path)) {
        if (current && type_of_id(current) != H5I_GROUP) return {};
        current = open_child(current ? current.id() : id(), name);
        if (!current) return {};
    }
    return current;
}

Kind Group::kind(const std::string& path) const {
    const ObjectHandle object = find(path);
    if (!object) return Kind::none;
    const H5I_type_t type = type_of_id(object);
    return type == H5I_GROUP ? Kind::group : type == H5I_DATASET ? Kind::dataset : Kind::other;
}

std::vector<std::string> Group::children() const {
    std::vector<std::string> names;
    const Place place{id(), {}};
#if H5_VERSION_GE(1, 12, 0)
    check(H5Literate2(id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add_name, &names), "H5Literate2",
          place);
#else
    check(H5Literate(id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add_name, &names), "H5Literate",
          place);
#endif
    std::ranges::sort(names);
    return names;
}

Group Group::open_group(const std::string& path) const {
    ObjectHandle object = find(path);
    if (!object) throw Error(fmt::format("{}: is missing", describe({id(), path})));
    if (type_of_id(object) != H5I_GROUP)
        throw Error(fmt::format("{}: is not a group", describe({id(), path})));
    return Group(std::move(object));
}

Dataset Group::open_dataset(const std::string& path) const {
    ObjectHandle object = find(path);
    if (!object) throw Error(fmt::format("{}: is missing", describe({id(), path})));
    if (type_of_id(object) != H5I_DATASET)
        throw Error(fmt::format("{}: is not a dataset", describe({id(), path})));
    return Dataset(std::move(object));
}

std::string Group::read_text(const std::string& path, std::uint64_t byte_limit) const {
    const Dataset dataset = open_dataset(path);
    dataset.expect(Type::text, {});
    return dataset.read_texts(byte_limit).front();
}

std::vector<std::string> Group::read_texts(const std::string& path, std::uint64_t limit,
                                           std::uint64_t byte_limit) const {
    const Dataset dataset = open_dataset(path);
    dataset.expect(Type::text);
    check_limit(dataset, limit);
    return dataset.read_texts(byte_limit);
}

void Group::check_count(const std::string& path, std::uint64_t given, const Shape& shape) const {
    EVENGRAD_CHECK(given == element_count(shape), "{}: {} values for the shape {}",
                   describe({id(), path}), given, to_string(shape));
}

void Group::check_limit(const Dataset& dataset, std::uint64_t limit) {
    if (dataset.size() > limit)
        throw Error(fmt::format("{}: has {} elements, at most {} expected", dataset.where(),
                                dataset.size(), limit));
    // What was never written takes no room in the file, and gzip makes of a byte 1032 at most.
    constexpr std::uint64_t most_inflation = 1032;
    const std::uint64_t width =
        dataset.type() == Type::text ? sizeof(char*) : H5Tget_size(memory_type(dataset.type()));
    const std::uint64_t stored = H5Dget_storage_size(dataset.id());
    if (dataset.size() / most_inflation > stored / width)
        throw Error(fmt::format("{}: has {} elements, and {} bytes in the file for them",
                                dataset.where(), dataset.size(), stored),
                    "the file is damaged");
}

}  // namespace evengrad::hdf5
