#include <array>
#include <cstdlib>
#include <exception>
#include <string>

#include <unistd.h>

#include "mpi/end_watch.hpp"
#include "mpi/internal.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace mpi {

void check(int code, const char* call, int rank) {
    if (code == MPI_SUCCESS) return;
    std::array<char, MPI_MAX_ERROR_STRING + 1> text{};
    int length = 0;
    if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) length = 0;
    const std::string where = rank < 0 ? std::string() : fmt::format(" on rank {}", rank);
    const std::string what = length > 0 ? std::string(text.data(), static_cast<std::size_t>(length))
                                        : fmt::format("error code {}", code);
    throw Error(fmt::format("{} failed{}: {}", call, where, what));
}

bool may_free() noexcept {
    int finalized = 0;
    MPI_Finalized(&finalized);
    return finalized == 0 && std::uncaught_exceptions() == 0;
}

}  // namespace mpi

Session::Session(int& argc, char**& argv) {
    int initialized = 0;
    mpi::check(MPI_Initialized(&initialized), "MPI_Initialized", -1);
    if (initialized != 0) throw Error("MPI was started before evengrad's session");

    // A process that mpirun didn't start would start a daemon of Open MPI's, for processes of its
    // own: half of the time until it begins. (Others than Open MPI don't read it.)
    ::setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
    int provided = 0;
    mpi::check(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread",
               -1);
    if (provided < MPI_THREAD_FUNNELED) {
        // The same on every rank, so all of them can still leave in order.
        const std::string version = library_version();
        MPI_Finalize();
        throw Error(fmt::format("{} offers no thread support (MPI_THREAD_FUNNELED)", version),
                    "Use an MPI library built with thread support.");
    }
    MPI_Comm copy = MPI_COMM_NULL;
    mpi::check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN),
               "MPI_Comm_set_errhandler", -1);
    mpi::check(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "MPI_Comm_dup", -1);
    world_.reset(new Communicator(std::make_unique<Communicator::Impl>(copy)));
}

Session::~Session() {
    if (!mpi::may_free()) return;
    const int rank = world_->rank();
    world_.reset();
    MPI_Barrier(MPI_COMM_WORLD);  // what rank 0 has still to write may take any time
    const EndWatch watch(rank);
    MPI_Finalize();
}

std::string Session::library_version() {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING + 1> text{};
    int length = 0;
    mpi::check(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version", -1);
    std::string version(text.data(), static_cast<std::size_t>(length));
    // "Open MPI v4.1.4, package: ..., ..." or "MPICH Version:\t4.0.2\nMPICH Release date: ...".
    version = version.substr(0, version.find_first_of(",\n"));
    std::replace(version.begin(), version.end(), '\t', ' ');
    return version;
}

std::string Session::host_name() {
    std::array<char, 256> name{};
    if (gethostname(name.data(), name.size() - 1) != 0) return "unknown host";
    return name.data();
}

}  // namespace evengrad
