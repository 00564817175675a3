// Every call of the HDF5 library goes through `check`, which turns a failure into an Error.
//
// This header includes hdf5.h: only the .cpp files of this room may include it. Calls that exist in
// several versions are named by number, or chosen below; the unnumbered names change with the
// library's build options.
#pragma once

#include <string>
#include <string_view>

#include <hdf5.h>

#include "hdf5/file.hpp"
#include "hdf5/handle.hpp"

static_assert(sizeof(hid_t) == sizeof(std::int64_t), "HDF5 1.10 or later is needed");

namespace evengrad::hdf5 {

/// Where a call works, for its error message; put into words only when one is needed.
struct Place {
    std::int64_t id = -1;   ///< any open id of the file, or -1
    std::string_view name;  ///< of the object below `id`, or the file when there is no id
};

/// To be called before anything else: turns off the library's own printing of errors and its exit
/// handler. Safe to repeat.
void start_library();

/// The path of an open object in its file.
std::string path_of(hid_t id);
/// "FILE: /path/of/object"
std::string describe(const Place& place);

/// Throws Error with the place, the call and the library's own stack of messages. `hint`: where
/// those messages don't tell a better one.
[[noreturn]] void fail(const char* call, const Place& place, const char* hint = "");

/// The result of a call, which signals failure by a negative value. Nothing may close an id between
/// the call and its check: every call clears the stack of reasons.
template <class Result>
Result check(Result result, const char* call, const Place& place, const char* hint = "") {
    if (result < 0) fail(call, place, hint);
    return result;
}

/// The type in the file (little-endian standard types) and in memory. Owned by the library.
hid_t file_type(Type type);
hid_t memory_type(Type type);
/// A variable-length string type; ids of it serve both memory and file.
TypeHandle string_type(H5T_cset_t character_set = H5T_CSET_UTF8);
/// What the file's type is to us. Either byte order counts; the library converts.
Type classify(hid_t type, const Place& place);

SpaceHandle make_space(const Shape& shape, const Place& place);
/// @throws Error for a null dataspace.
Shape shape_of(hid_t space, const Place& place);

/// Creation properties without times, for groups (H5P_GROUP_CREATE) or datasets.
PropertyHandle creation_properties(hid_t list_class);

/// Frees the strings that the library allocated while reading.
void reclaim_strings(hid_t type, hid_t space, char** strings) noexcept;

/// Pointers for writing. @throws Error for text with a NUL in it, which would be cut there.
std::vector<const char*> pointers_to(std::span<const std::string> strings, const Place& place);

}  // namespace evengrad::hdf5
