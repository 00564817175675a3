// Attributes.
#include <fmt/format.h>

#include "hdf5/calls.hpp"

namespace evengrad::hdf5 {

namespace {

constexpr std::uint64_t most_entries = 4096;  // of an attribute: a list of names, not data

void write_attribute(hid_t object, const std::string& name, hid_t in_file, hid_t in_memory,
                     const SpaceHandle& space, const void* value) {
    const Place place{object, name};
    const AttributeHandle attribute(
        check(H5Acreate2(object, name.c_str(), in_file, space.id(), H5P_DEFAULT, H5P_DEFAULT),
              "H5Acreate2", place));
    check(H5Awrite(attribute.id(), in_memory, value), "H5Awrite", place);
}

void write_strings(hid_t object, const std::string& name, std::span<const std::string> strings,
                   const Shape& shape) {
    const Place place{object, name};
    const TypeHandle type = string_type();
    std::vector<const char*> pointers = pointers_to(strings, place);
    pointers.push_back(nullptr);  // an empty list, too, needs an address
    write_attribute(object, name, type.id(), type.id(), make_space(shape, place), pointers.data());
}

/// An attribute that is there, of this type, and small.
struct OpenAttribute {
    OpenAttribute(hid_t object, const std::string& name, Type wanted, std::size_t rank)
        : place{object, name},
          handle(check(H5Aopen(object, name.c_str(), H5P_DEFAULT), "H5Aopen", place)),
          type(check(H5Aget_type(handle.id()), "H5Aget_type", place)),
          space(check(H5Aget_space(handle.id()), "H5Aget_space", place)),
          shape(shape_of(space.id(), place)) {
        const Type found = classify(type.id(), place);
        if (found != wanted)
            throw Error(fmt::format("{}: the attribute is {}, expected {}", describe(place),
                                    to_string(found), to_string(wanted)));
        if (shape.size() != rank || element_count(shape) > most_entries)
            throw Error(fmt::format("{}: the attribute has the shape {}, expected {}",
                                    describe(place), to_string(shape),
                                    rank == 0 ? "one value" : "a short list"));
    }

    std::vector<std::string> strings() const {
        const TypeHandle in_memory =
            string_type(check(H5Tget_cset(type.id()), "H5Tget_cset", place));
        std::vector<char*> pointers(static_cast<std::size_t>(element_count(shape)));
        if (pointers.empty()) return {};
        check(H5Aread(handle.id(), in_memory.id(), pointers.data()), "H5Aread", place);
        std::vector<std::string> result;
        for (const char* text : pointers) result.emplace_back(text ? text : "");
        reclaim_strings(in_memory.id(), space.id(), pointers.data());
        return result;
    }

    Place place;
    AttributeHandle handle;
    TypeHandle type;
    SpaceHandle space;
    Shape shape;
};

template <class T>
T read_number(hid_t object, const std::string& name) {
    constexpr Type type = detail::type_of<T>();
    const OpenAttribute attribute(object, name, type, 0);
    T value{};
    check(H5Aread(attribute.handle.id(), memory_type(type), &value), "H5Aread", attribute.place);
    return value;
}

}  // namespace

std::string Object::path() const {
    return path_of(id());
}

std::string Object::where() const {
    return describe({id(), {}});
}

void Object::set(const std::string& name, const AttributeValue& value) {
    if (has(name)) check(H5Adelete(id(), name.c_str()), "H5Adelete", {id(), name});
    std::visit(
        [&]<class T>(const T& content) {
            if constexpr (std::is_same_v<T, std::string>) {
                write_strings(id(), name, {&content, 1}, {});
            } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
                EVENGRAD_CHECK(content.size() <= most_entries, "attribute {} has {} entries", name,
                               content.size());
                write_strings(id(), name, content, {content.size()});
            } else {
                constexpr Type type = detail::type_of<T>();
                write_attribute(id(), name, file_type(type), memory_type(type),
                                make_space({}, {id(), name}), &content);
            }
        },
        value);
}

void Object::set(const Attributes& attributes) {
    for (const auto& [name, value] : attributes) set(name, value);
}

bool Object::has(const std::string& name) const {
    return check(H5Aexists(id(), name.c_str()), "H5Aexists", {id(), name}) > 0;
}

template <class T>
T Object::get(const std::string& name) const {
    if (!has(name)) throw Error(fmt::format("{}: the attribute {} is missing", where(), name));
    if constexpr (std::is_same_v<T, std::string>)
        return OpenAttribute(id(), name, Type::text, 0).strings().front();
    else if constexpr (std::is_same_v<T, std::vector<std::string>>)
        return OpenAttribute(id(), name, Type::text, 1).strings();
    else
        return read_number<T>(id(), name);
}

template std::string Object::get(const std::string&) const;
template std::int64_t Object::get(const std::string&) const;
template double Object::get(const std::string&) const;
template std::uint32_t Object::get(const std::string&) const;
template std::vector<std::string> Object::get(const std::string&) const;

}  // namespace evengrad::hdf5
