#include "hdf5/file.hpp"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/replace.hpp"
#include "hdf5/calls.hpp"

namespace evengrad::hdf5 {

namespace {

PropertyHandle access_properties() {
    PropertyHandle list(check(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate", Place{}));
    // An id that outlives its file makes the close fail, instead of keeping the file open unseen.
    check(H5Pset_fclose_degree(list.id(), H5F_CLOSE_SEMI), "H5Pset_fclose_degree", Place{});
    check(H5Pset_libver_bounds(list.id(), H5F_LIBVER_EARLIEST, H5F_LIBVER_V110),
          "H5Pset_libver_bounds", Place{});
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 12, 0))
    // Published files never change, and some cluster file systems have no locks.
    check(H5Pset_file_locking(list.id(), false, true), "H5Pset_file_locking", Place{});
#endif
    return list;
}

/// Opens and closes the file without the library, whose messages for the plain cases are long.
void try_open(const std::filesystem::path& path, int flags, const char* what) {
    const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    if (descriptor < 0) fail_to(what, path, errno);
    ::close(descriptor);
}

}  // namespace

File File::create(const std::filesystem::path& path) {
    start_library();
    try_open(path, O_WRONLY | O_CREAT, "write");
    const PropertyHandle creation = creation_properties(H5P_FILE_CREATE);
    const PropertyHandle access = access_properties();
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.id(), access.id());
    return File(path, FileHandle(check(file, "H5Fcreate", {-1, path.native()})));
}

File File::open(const std::filesystem::path& path) {
    start_library();
    const Place place{-1, path.native()};
    try_open(path, O_RDONLY | O_NONBLOCK, "read");
    if (!std::filesystem::is_regular_file(path))
        throw Error(fmt::format("cannot read {}: not a file", path.string()), "check the path");
#if H5_VERSION_GE(1, 12, 0)
    const htri_t is_hdf5 = H5Fis_accessible(path.c_str(), H5P_DEFAULT);
#else
    const htri_t is_hdf5 = H5Fis_hdf5(path.c_str());
#endif
    if (is_hdf5 <= 0)
        throw Error(fmt::format("{} is not an HDF5 file", path.string()),
                    "give a file that evengrad wrote, and check that it was copied whole");
    const PropertyHandle access = access_properties();
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id());
    return File(path, FileHandle(check(file, "H5Fopen", place,
                                       "the file is damaged: copy or prepare it again, or "
                                       "use an earlier checkpoint")));
}

Group File::root() const {
    return Group(ObjectHandle(
        check(H5Oopen(handle_.id(), "/", H5P_DEFAULT), "H5Oopen", {-1, path_.native()})));
}

void File::close() {
    if (!handle_) return;
    const ssize_t open_objects =
        check(H5Fget_obj_count(handle_.id(), H5F_OBJ_LOCAL | H5F_OBJ_DATASET | H5F_OBJ_GROUP |
                                                 H5F_OBJ_DATATYPE | H5F_OBJ_ATTR),
              "H5Fget_obj_count", {-1, path_.native()});
    EVENGRAD_CHECK(open_objects == 0, "{} is closed while {} of its objects are in use",
                   path_.string(), open_objects);
    // A failed flush can be recovered from; a failed close cannot.
    check(H5Fflush(handle_.id(), H5F_SCOPE_LOCAL), "H5Fflush", {-1, path_.native()});
    try {
        handle_.close();
    } catch (const Error& error) {
        throw Error(fmt::format("{}: {}", path_.string(), error.what()), error.hint());
    }
}

}  // namespace evengrad::hdf5
