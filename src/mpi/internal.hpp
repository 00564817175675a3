// What the .cpp files of this room share. The only header of evengrad that includes mpi.h.
#pragma once

#include <algorithm>
#include <cstddef>

// The C++ bindings were removed in MPI 3; their headers still come along, with warnings.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <evengrad/communicator.hpp>

namespace evengrad {

/// An MPI communicator, its rank and size. Owns the handle; errors come back as codes.
struct Communicator::Impl {
    explicit Impl(MPI_Comm owned);
    ~Impl();
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    MPI_Comm handle;
    int rank = 0;
    int size = 1;
};

namespace mpi {

/// @local @throws Error with the call, the rank (left out when negative) and MPI's own message,
/// unless `code` is MPI_SUCCESS.
void check(int code, const char* call, int rank);

/// @local Whether a destructor may give MPI objects back: not after MPI_Finalize, and not while an
/// exception unwinds, when the other ranks will never join a collective call.
bool may_free() noexcept;

/// Largest piece of one message; MPI counts are int.
inline constexpr std::size_t chunk_bytes = std::size_t{1} << 30;

/// Calls `body(offset, count)` for pieces of at most `chunk` out of `total`.
template <class Body>
void for_each_chunk(std::size_t total, std::size_t chunk, Body&& body) {
    for (std::size_t offset = 0; offset < total; offset += chunk)
        body(offset, static_cast<int>(std::min(chunk, total - offset)));
}

}  // namespace mpi
}  // namespace evengrad
