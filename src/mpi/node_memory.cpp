#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/aligned.hpp"
#include "mpi/internal.hpp"
#include "mpi/node.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

bool is_folder(const std::string& path) {
    struct stat info {};
    return !path.empty() && stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

/// Where the MPI library puts the files behind shared windows: /dev/shm on Linux, or for Open MPI
/// what `mpirun --mca osc_sm_backing_directory` says. (Asking through MPI_T_cvar_read costs 0.2 s;
/// a folder set in a parameter file is missed here, and a full one then found by `populate`.)
std::string segment_folder() {
    const char* told = std::getenv("OMPI_MCA_osc_sm_backing_directory");
    if (told != nullptr && is_folder(told)) return told;
    if (is_folder("/dev/shm")) return "/dev/shm";
    const char* temporary = std::getenv("TMPDIR");
    return temporary != nullptr && is_folder(temporary) ? temporary : "/tmp";
}

/// Free bytes for a segment. A node of one rank uses ordinary memory: no limit is known.
std::int64_t free_bytes(const std::string& folder, int ranks) {
    constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::max();
    if (const char* text = std::getenv("EVENGRAD_SHM_FREE_BYTES")) return std::atoll(text);
    struct statvfs info {};
    if (ranks == 1 || statvfs(folder.c_str(), &info) != 0) return unknown;
    return static_cast<std::int64_t>(info.f_bavail) * static_cast<std::int64_t>(info.f_frsize);
}

double mebibytes(std::int64_t bytes) {
    return static_cast<double>(bytes) / (1 << 20);
}

/// Page-aligned first address of a rank's share of [begin, begin + bytes). All ranks find the same
/// places, since a segment lies at the same offset in its page for each of them.
std::uintptr_t share_begin(std::uintptr_t begin, std::size_t bytes, int rank, int ranks) {
    if (rank == ranks) return begin + bytes;
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    const std::size_t offset =
        bytes / static_cast<std::size_t>(ranks) * static_cast<std::size_t>(rank);
    return std::max(begin, (begin + offset) / page * page);
}

/// Makes the pages of [begin, end) exist, on this rank's NUMA domain. False when there is no room:
/// plain writing would then end the process with SIGBUS. (Two nodes cut from one machine may both
/// have found the same bytes free.)
bool populate(std::uintptr_t begin, std::uintptr_t end) {
#ifdef MADV_POPULATE_WRITE
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    if (begin == end) return true;
    begin = begin / page * page;
    end = round_up(end, page);
    // An older kernel answers EINVAL: then writing has to do.
    if (madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE) != 0)
        return errno != EFAULT && errno != ENOMEM;
#else
    static_cast<void>(begin);
    static_cast<void>(end);
#endif
    return true;
}

}  // namespace

SharedMemoryRoom shared_memory_room(int ranks) {
    const std::string folder = segment_folder();
    return {folder, free_bytes(folder, ranks)};
}

struct NodeMemory::Impl {
    explicit Impl(Communicator communicator) : node(std::move(communicator)) {}
    ~Impl() { release(); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    void release() noexcept {
        if (window == MPI_WIN_NULL || !mpi::may_free()) return;
        MPI_Win_unlock_all(window);
        MPI_Win_free(&window);
    }

    void allocate_window(MPI_Comm handle) {
        const int rank = node.rank();
        const std::size_t own = rank == 0 ? size + cache_line : 0;
        void* mine = nullptr;
        mpi::check(MPI_Win_allocate_shared(static_cast<MPI_Aint>(own), 1, MPI_INFO_NULL, handle,
                                           &mine, &window),
                   "MPI_Win_allocate_shared", rank);
        mpi::check(MPI_Win_set_errhandler(window, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler",
                   rank);
        mpi::check(MPI_Win_lock_all(MPI_MODE_NOCHECK, window), "MPI_Win_lock_all", rank);
        MPI_Aint length = 0;
        int unit = 0;
        void* base = nullptr;
        mpi::check(MPI_Win_shared_query(window, 0, &length, &unit, &base), "MPI_Win_shared_query",
                   rank);
        begin = reinterpret_cast<std::byte*>(
            round_up(reinterpret_cast<std::uintptr_t>(base), std::uintptr_t{cache_line}));
    }

    /// Zeroes this rank's share. False on every rank when one of them found no room.
    bool zero() {
        const auto first = reinterpret_cast<std::uintptr_t>(begin);
        const std::uintptr_t from = share_begin(first, size, node.rank(), node.size());
        const std::uintptr_t to = share_begin(first, size, node.rank() + 1, node.size());
        std::int64_t full = populate(from, to) ? 0 : 1;
        node.max(std::span(&full, 1));
        if (full != 0) return false;
        if (to > from) std::memset(reinterpret_cast<void*>(from), 0, to - from);
        return true;
    }

    Communicator node;
    std::size_t size = 0;
    std::byte* begin = nullptr;
    MPI_Win window = MPI_WIN_NULL;
    AlignedBuffer<std::byte> alone;  // instead of a window when the node has one rank
};

NodeMemory::NodeMemory(const Communicator& node, std::size_t bytes, const std::string& purpose)
    : impl_(std::make_unique<Impl>(node.duplicate())) {
    impl_->size = bytes;
    const auto asked = static_cast<std::int64_t>(bytes);
    for (const std::int64_t other : impl_->node.all_gather(asked))
        EVENGRAD_CHECK(other == asked, "ranks of a node ask for {} and {} bytes for {}", asked,
                       other, purpose);

    // Node rank 0 looks; all ranks hear the same, so that all of them throw or none.
    // (Names of a structured binding can't be captured below, says clang 14.)
    SharedMemoryRoom found = shared_memory_room(node.size());
    std::string& folder = found.folder;
    std::int64_t& room = found.free_bytes;
    std::string host = Session::host_name();
    impl_->node.broadcast(folder, 0);
    impl_->node.broadcast(host, 0);
    impl_->node.broadcast(std::span(&room, 1), 0);

    const std::int64_t needed = asked + static_cast<std::int64_t>(cache_line);
    const auto refuse = [&] {
        throw Error(
            fmt::format("{}: {} bytes ({:.1f} MiB) of shared memory are needed on {}, and {} bytes "
                        "({:.1f} MiB) are free in {}",
                        purpose, needed, mebibytes(needed), host, room, mebibytes(room), folder),
            fmt::format("Give {} more room (in a container: docker run --shm-size), cut the "
                        "machine into fewer nodes (a larger --ranks-per-node or none), or train a "
                        "smaller model.",
                        folder));
    };
    if (room < needed) refuse();

    if (node.size() == 1) {
        try {
            impl_->alone = AlignedBuffer<std::byte>(static_cast<Index>(bytes));
        } catch (const std::bad_alloc&) {
            throw Error(fmt::format("{}: {} bytes ({:.1f} MiB) of memory can't be had on {}",
                                    purpose, bytes, mebibytes(asked), host),
                        "Use a machine with more memory or train a smaller model.");
        }
        impl_->begin = impl_->alone.data();
        return;
    }
    impl_->allocate_window(impl_->node.impl_->handle);
    if (!impl_->zero()) {
        impl_->release();
        if (node.rank() == 0) room = free_bytes(folder, node.size());
        impl_->node.broadcast(std::span(&room, 1), 0);
        refuse();
    }
    barrier();
}

NodeMemory::~NodeMemory() = default;
NodeMemory::NodeMemory(NodeMemory&&) noexcept = default;
NodeMemory& NodeMemory::operator=(NodeMemory&&) noexcept = default;

std::span<std::byte> NodeMemory::bytes() const {
    return {impl_->begin, impl_->size};
}

void NodeMemory::barrier() const {
    if (impl_->window == MPI_WIN_NULL) return;
    const int rank = impl_->node.rank();
    mpi::check(MPI_Win_sync(impl_->window), "MPI_Win_sync", rank);
    impl_->node.barrier();
    mpi::check(MPI_Win_sync(impl_->window), "MPI_Win_sync", rank);
}

}  // namespace evengrad
