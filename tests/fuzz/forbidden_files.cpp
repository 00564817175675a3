// open(2) of the whole process, the HDF5 library's calls included: ends it when an image's links
// lead a reader out of the file.
#include <cerrno>
#include <cstdarg>
#include <cstring>

#include <dlfcn.h>

#include "hdf5_image.hpp"

namespace {

int checked_open(const char* function, const char* path, int flags, mode_t mode) {
    using Open = int (*)(const char*, int, ...);
    if (std::strstr(path, "evengrad-fuzz-forbidden") != nullptr) {
        FUZZ_CHECK(evengrad::fuzz::is_editing);
        errno = ENOENT;
        return -1;
    }
    return reinterpret_cast<Open>(dlsym(RTLD_NEXT, function))(path, flags, mode);
}

}  // namespace

extern "C" int open(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return checked_open("open", path, flags, mode);
}

extern "C" int open64(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return checked_open("open64", path, flags, mode);
}
