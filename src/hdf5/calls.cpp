#include "hdf5/calls.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.hpp"

namespace evengrad::hdf5 {

namespace {

herr_t close_by_kind(IdKind kind, hid_t id) {
    switch (kind) {
        case IdKind::file:
            return H5Fclose(id);
        case IdKind::object:
            return H5Oclose(id);
        case IdKind::attribute:
            return H5Aclose(id);
        case IdKind::dataspace:
            return H5Sclose(id);
        case IdKind::datatype:
            return H5Tclose(id);
        case IdKind::property_list:
            return H5Pclose(id);
    }
    return -1;
}

/// The text of a call that says its length first.
template <class Get>
std::string text_from(Get get) {
    const ssize_t length = get(nullptr, 0);
    if (length <= 0) return "?";
    std::string text(static_cast<std::size_t>(length), '\0');
    get(text.data(), text.size() + 1);
    return text;
}

/// Why a call failed: the library's whole story, from the call inward, and its last word.
struct Reasons {
    std::string all, cause;
};

extern "C" herr_t add_reason(unsigned, const H5E_error2_t* entry, void* reasons) noexcept {
    try {
        auto& [all, cause] = *static_cast<Reasons*>(reasons);
        cause = entry->desc ? entry->desc : "?";
        all += fmt::format("\n  {}: {}", entry->func_name ? entry->func_name : "?", cause);
        return 0;
    } catch (...) {
        return -1;
    }
}

/// Of "file write failed: time = ..., errno = 28, error message = 'No space left on device', buf =
/// ..." what the system said.
std::string essence(const std::string& cause) {
    constexpr std::string_view before = "error message = '";
    const std::size_t begin = cause.find(before);
    if (begin == std::string::npos) return cause;
    const std::size_t end = cause.find('\'', begin + before.size());
    return cause.substr(begin + before.size(), end - begin - before.size());
}

}  // namespace

void close_id(IdKind kind, std::int64_t id) {
    if (close_by_kind(kind, id) < 0) fail("close", Place{});
}

void close_id_quietly(IdKind kind, std::int64_t id) noexcept {
    close_by_kind(kind, id);
}

void start_library() {
    // A file whose close failed (disk full) stays in the library's tables, half freed, and its exit
    // handler would crash on it. All our files are closed by their owners; nothing is left to do.
    H5dont_atexit();
    check(H5open(), "H5open", Place{});
    check(H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr), "H5Eset_auto2", Place{});
}

std::string path_of(hid_t id) {
    return text_from([&](char* out, std::size_t size) { return H5Iget_name(id, out, size); });
}

std::string describe(const Place& place) {
    if (place.id < 0) return place.name.empty() ? "an HDF5 file" : std::string(place.name);
    const std::string file =
        text_from([&](char* out, std::size_t size) { return H5Fget_name(place.id, out, size); });
    std::string path = path_of(place.id);
    if (!place.name.empty()) {
        if (path.back() != '/') path += '/';
        path += place.name;
    }
    return file + ": " + path;
}

void fail(const char* call, const Place& place, const char* otherwise) {
    // The stack first: the calls that find the names below would clear it.
    Reasons reasons;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, add_reason, &reasons);
    H5Eclear2(H5E_DEFAULT);
    std::string hint = otherwise;
    if (reasons.all.find("truncated file") != std::string::npos)
        hint = "the file was cut off while it was written or copied; use an earlier one";
    else if (reasons.all.find("No space left") != std::string::npos)
        hint = "free some disk space";
    const std::string where = describe(place);
    log_debug("{}: {} failed:{}", where, call, reasons.all);
    throw Error(fmt::format("{}: {} failed{}{}", where, call, reasons.cause.empty() ? "" : ": ",
                            essence(reasons.cause)),
                hint);
}

std::string to_string(const Shape& shape) {
    return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::uint64_t element_count(const Shape& shape) {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (std::ranges::find(shape, 0) != shape.end()) return 0;
    std::uint64_t count = 1;
    for (const std::uint64_t length : shape) {
        if (length > most / count)
            throw Error(fmt::format("the shape {} has too many elements", to_string(shape)));
        count *= length;
    }
    return count;
}

std::string_view to_string(Type type) {
    switch (type) {
        case Type::f32:
            return "float32";
        case Type::f64:
            return "float64";
        case Type::i32:
            return "int32";
        case Type::i64:
            return "int64";
        case Type::u8:
            return "uint8";
        case Type::u16:
            return "uint16";
        case Type::u32:
            return "uint32";
        case Type::u64:
            return "uint64";
        case Type::text:
            return "variable-length string";
        case Type::other:
            return "a type that evengrad does not read";
    }
    return "?";
}

hid_t file_type(Type type) {
    switch (type) {
        case Type::f32:
            return H5T_IEEE_F32LE;
        case Type::f64:
            return H5T_IEEE_F64LE;
        case Type::i32:
            return H5T_STD_I32LE;
        case Type::i64:
            return H5T_STD_I64LE;
        case Type::u8:
            return H5T_STD_U8LE;
        case Type::u16:
            return H5T_STD_U16LE;
        case Type::u32:
            return H5T_STD_U32LE;
        case Type::u64:
            return H5T_STD_U64LE;
        default:
            EVENGRAD_CHECK(false, "no number type: {}", to_string(type));
    }
    return -1;
}

hid_t memory_type(Type type) {
    switch (type) {
        case Type::f32:
            return H5T_NATIVE_FLOAT;
        case Type::f64:
            return H5T_NATIVE_DOUBLE;
        case Type::i32:
            return H5T_NATIVE_INT32;
        case Type::i64:
            return H5T_NATIVE_INT64;
        case Type::u8:
            return H5T_NATIVE_UINT8;
        case Type::u16:
            return H5T_NATIVE_UINT16;
        case Type::u32:
            return H5T_NATIVE_UINT32;
        case Type::u64:
            return H5T_NATIVE_UINT64;
        default:
            EVENGRAD_CHECK(false, "no number type: {}", to_string(type));
    }
    return -1;
}

TypeHandle string_type(H5T_cset_t character_set) {
    TypeHandle type(check(H5Tcopy(H5T_C_S1), "H5Tcopy", Place{}));
    check(H5Tset_size(type.id(), H5T_VARIABLE), "H5Tset_size", Place{});
    check(H5Tset_cset(type.id(), character_set), "H5Tset_cset", Place{});
    return type;
}

Type classify(hid_t type, const Place& place) {
    if (check(H5Tget_class(type), "H5Tget_class", place) == H5T_STRING)
        return check(H5Tis_variable_str(type), "H5Tis_variable_str", place) > 0 ? Type::text
                                                                                : Type::other;
    const std::pair<Type, hid_t> known[] = {
        {Type::f32, H5T_IEEE_F32LE}, {Type::f32, H5T_IEEE_F32BE}, {Type::f64, H5T_IEEE_F64LE},
        {Type::f64, H5T_IEEE_F64BE}, {Type::i32, H5T_STD_I32LE},  {Type::i32, H5T_STD_I32BE},
        {Type::i64, H5T_STD_I64LE},  {Type::i64, H5T_STD_I64BE},  {Type::u8, H5T_STD_U8LE},
        {Type::u16, H5T_STD_U16LE},  {Type::u16, H5T_STD_U16BE},  {Type::u32, H5T_STD_U32LE},
        {Type::u32, H5T_STD_U32BE},  {Type::u64, H5T_STD_U64LE},  {Type::u64, H5T_STD_U64BE},
    };
    for (const auto& [ours, theirs] : known)
        if (check(H5Tequal(type, theirs), "H5Tequal", place) > 0) return ours;
    return Type::other;
}

SpaceHandle make_space(const Shape& shape, const Place& place) {
    if (shape.empty()) return SpaceHandle(check(H5Screate(H5S_SCALAR), "H5Screate", place));
    const std::vector<hsize_t> lengths(shape.begin(), shape.end());
    return SpaceHandle(
        check(H5Screate_simple(static_cast<int>(lengths.size()), lengths.data(), nullptr),
              "H5Screate_simple", place));
}

Shape shape_of(hid_t space, const Place& place) {
    if (check(H5Sget_simple_extent_type(space), "H5Sget_simple_extent_type", place) == H5S_NULL)
        throw Error(fmt::format("{}: holds no data (a null dataspace)", describe(place)));
    const int rank = check(H5Sget_simple_extent_ndims(space), "H5Sget_simple_extent_ndims", place);
    std::vector<hsize_t> lengths(static_cast<std::size_t>(rank));
    check(H5Sget_simple_extent_dims(space, lengths.data(), nullptr), "H5Sget_simple_extent_dims",
          place);
    return Shape(lengths.begin(), lengths.end());
}

PropertyHandle creation_properties(hid_t list_class) {
    PropertyHandle list(check(H5Pcreate(list_class), "H5Pcreate", Place{}));
    check(H5Pset_obj_track_times(list.id(), false), "H5Pset_obj_track_times", Place{});
    return list;
}

void reclaim_strings(hid_t type, hid_t space, char** strings) noexcept {
#if H5_VERSION_GE(1, 12, 0)
    H5Treclaim(type, space, H5P_DEFAULT, strings);
#else
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, strings);
#endif
}

std::vector<const char*> pointers_to(std::span<const std::string> strings, const Place& place) {
    std::vector<const char*> pointers;
    pointers.reserve(strings.size());
    for (const std::string& text : strings) {
        if (text.find('\0') != std::string::npos)
            throw Error(
                fmt::format("{}: text with a NUL character cannot be stored", describe(place)));
        pointers.push_back(text.c_str());
    }
    return pointers;
}

}  // namespace evengrad::hdf5
