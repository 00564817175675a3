// read(2) in small pieces: see set_read_size.
#include "fuzz.hpp"

namespace {
std::size_t read_size = 0;
std::size_t short_reads_left = 0;
}  // namespace

extern "C" ssize_t __real_read(int descriptor, void* buffer, std::size_t count);
extern "C" ssize_t __wrap_read(int descriptor, void* buffer, std::size_t count) {
    if (short_reads_left > 0) {
        --short_reads_left;
        count = std::min(count, read_size);
    }
    return __real_read(descriptor, buffer, count);
}

namespace evengrad::fuzz {

void set_read_size(std::size_t bytes) {
    constexpr std::size_t most = 256;  // a case must not take long
    read_size = bytes;
    short_reads_left = bytes > 0 ? most : 0;
}

}  // namespace evengrad::fuzz
