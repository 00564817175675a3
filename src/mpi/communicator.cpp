#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <type_traits>
#include <utility>

#include "base/narrow.hpp"
#include "base/pulse.hpp"
#include "mpi/internal.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr int message_tag = 0;

/// Reduces over all ranks in place.
template <class T>
void all_reduce(std::span<T> values, MPI_Datatype type, MPI_Op operation, MPI_Comm handle,
                int rank) {
    mpi::for_each_chunk(
        values.size(), mpi::chunk_bytes / sizeof(T), [&](std::size_t offset, int count) {
            const Waiting for_others;
            mpi::check(
                MPI_Allreduce(MPI_IN_PLACE, values.data() + offset, count, type, operation, handle),
                "MPI_Allreduce", rank);
        });
}

/// A message shorter than agreed would leave old values in place; longer ones MPI refuses itself.
void check_received(MPI_Status& status, int expected, const char* call, int rank) {
    int received = 0;
    mpi::check(MPI_Get_count(&status, MPI_BYTE, &received), "MPI_Get_count", rank);
    if (received != expected)
        throw Error(fmt::format("{} on rank {}: {} bytes came from rank {}, {} were expected", call,
                                rank, received, status.MPI_SOURCE, expected));
}

}  // namespace

Communicator::Impl::Impl(MPI_Comm owned) : handle(owned) {
    mpi::check(MPI_Comm_set_errhandler(handle, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", -1);
    mpi::check(MPI_Comm_rank(handle, &rank), "MPI_Comm_rank", -1);
    mpi::check(MPI_Comm_size(handle, &size), "MPI_Comm_size", rank);
}

Communicator::Impl::~Impl() {
    if (mpi::may_free()) MPI_Comm_free(&handle);
}

Communicator::Communicator(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Communicator::Communicator(Communicator&&) noexcept = default;
Communicator& Communicator::operator=(Communicator&&) noexcept = default;
Communicator::~Communicator() = default;

int Communicator::rank() const noexcept {
    return impl_->rank;
}
int Communicator::size() const noexcept {
    return impl_->size;
}

Communicator Communicator::duplicate() const {
    MPI_Comm copy = MPI_COMM_NULL;
    const Waiting for_others;
    mpi::check(MPI_Comm_dup(impl_->handle, &copy), "MPI_Comm_dup", rank());
    return Communicator(std::make_unique<Impl>(copy));
}

Communicator Communicator::split(int color, int key) const {
    EVENGRAD_CHECK(color >= 0, "the color {} of a split is negative", color);
    MPI_Comm part = MPI_COMM_NULL;
    const Waiting for_others;
    mpi::check(MPI_Comm_split(impl_->handle, color, key, &part), "MPI_Comm_split", rank());
    return Communicator(std::make_unique<Impl>(part));
}

Communicator Communicator::split_shared() const {
    MPI_Comm part = MPI_COMM_NULL;
    const Waiting for_others;
    mpi::check(
        MPI_Comm_split_type(impl_->handle, MPI_COMM_TYPE_SHARED, rank(), MPI_INFO_NULL, &part),
        "MPI_Comm_split_type", rank());
    return Communicator(std::make_unique<Impl>(part));
}

void Communicator::barrier() const {
    const Waiting for_others;
    mpi::check(MPI_Barrier(impl_->handle), "MPI_Barrier", rank());
}

template <class T>
void Communicator::broadcast(std::span<T> values, int root) const {
    const auto bytes = std::as_writable_bytes(values);
    mpi::for_each_chunk(bytes.size(), mpi::chunk_bytes, [&](std::size_t offset, int count) {
        const Waiting for_others;
        mpi::check(MPI_Bcast(bytes.data() + offset, count, MPI_BYTE, root, impl_->handle),
                   "MPI_Bcast", rank());
    });
}

template <class T>
void Communicator::broadcast_resized(std::vector<T>& values, int root) const {
    std::uint64_t size = values.size();
    broadcast(std::span(&size, 1), root);
    values.resize(size);
    broadcast(std::span(values), root);
}

void Communicator::broadcast(std::string& text, int root) const {
    std::uint64_t size = text.size();
    broadcast(std::span(&size, 1), root);
    text.resize(size);
    broadcast(std::span(text), root);
}

// Signed sums travel as unsigned ones: the same bits, and a wrap-around is defined.
void Communicator::sum(std::span<std::int64_t> values) const {
    all_reduce(values, MPI_UINT64_T, MPI_SUM, impl_->handle, rank());
}
void Communicator::sum(std::span<std::uint64_t> values) const {
    all_reduce(values, MPI_UINT64_T, MPI_SUM, impl_->handle, rank());
}
void Communicator::max(std::span<std::uint32_t> values) const {
    all_reduce(values, MPI_UINT32_T, MPI_MAX, impl_->handle, rank());
}
void Communicator::max(std::span<std::int64_t> values) const {
    all_reduce(values, MPI_INT64_T, MPI_MAX, impl_->handle, rank());
}
void Communicator::max(std::span<double> values) const {
    all_reduce(values, MPI_DOUBLE, MPI_MAX, impl_->handle, rank());
}
void Communicator::min(std::span<std::uint64_t> values) const {
    all_reduce(values, MPI_UINT64_T, MPI_MIN, impl_->handle, rank());
}
void Communicator::min(std::span<std::int64_t> values) const {
    all_reduce(values, MPI_INT64_T, MPI_MIN, impl_->handle, rank());
}
void Communicator::min(std::span<double> values) const {
    all_reduce(values, MPI_DOUBLE, MPI_MIN, impl_->handle, rank());
}

std::vector<std::int64_t> Communicator::all_gather(std::int64_t value) const {
    std::vector<std::int64_t> values(static_cast<std::size_t>(size()));
    const Waiting for_others;
    mpi::check(MPI_Allgather(&value, 1, MPI_INT64_T, values.data(), 1, MPI_INT64_T, impl_->handle),
               "MPI_Allgather", rank());
    return values;
}

std::vector<double> Communicator::all_gather(double value) const {
    std::vector<double> values(static_cast<std::size_t>(size()));
    const Waiting for_others;
    mpi::check(MPI_Allgather(&value, 1, MPI_DOUBLE, values.data(), 1, MPI_DOUBLE, impl_->handle),
               "MPI_Allgather", rank());
    return values;
}

std::vector<std::string> Communicator::all_gather(const std::string& text) const {
    const auto lengths = all_gather(static_cast<std::int64_t>(text.size()));
    // Every rank sees the same lengths: too much is refused by all of them.
    const int total = narrow<int>(std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}));
    std::vector<int> counts;
    std::vector<int> offsets;
    int offset = 0;
    for (const std::int64_t length : lengths) {
        counts.push_back(static_cast<int>(length));
        offsets.push_back(offset);
        offset += counts.back();
    }
    std::string joined(static_cast<std::size_t>(total), '\0');
    const Waiting for_others;
    mpi::check(
        MPI_Allgatherv(text.data(), counts[static_cast<std::size_t>(rank())], MPI_BYTE,
                       joined.data(), counts.data(), offsets.data(), MPI_BYTE, impl_->handle),
        "MPI_Allgatherv", rank());
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < counts.size(); ++i)
        texts.push_back(joined.substr(static_cast<std::size_t>(offsets[i]),
                                      static_cast<std::size_t>(counts[i])));
    return texts;
}

template <class T>
void Communicator::send(std::span<const T> values, int destination) const {
    const auto bytes = std::as_bytes(values);
    mpi::for_each_chunk(bytes.size(), mpi::chunk_bytes, [&](std::size_t offset, int count) {
        const Waiting for_others;
        mpi::check(MPI_Send(bytes.data() + offset, count, MPI_BYTE, destination, message_tag,
                            impl_->handle),
                   "MPI_Send", rank());
    });
}

template <class T>
void Communicator::receive(std::span<T> values, int source) const {
    const auto bytes = std::as_writable_bytes(values);
    mpi::for_each_chunk(bytes.size(), mpi::chunk_bytes, [&](std::size_t offset, int count) {
        const Waiting for_others;
        MPI_Status status;
        mpi::check(MPI_Recv(bytes.data() + offset, count, MPI_BYTE, source, message_tag,
                            impl_->handle, &status),
                   "MPI_Recv", rank());
        check_received(status, count, "MPI_Recv", rank());
    });
}

template <class T>
void Communicator::exchange(std::span<const T> out, int destination, std::span<T> in,
                            int source) const {
    auto out_bytes = std::as_bytes(out);
    auto in_bytes = std::as_writable_bytes(in);
    if (destination == -1) out_bytes = {};
    if (source == -1) in_bytes = {};
    while (!out_bytes.empty() || !in_bytes.empty()) {
        const std::size_t out_count = std::min(mpi::chunk_bytes, out_bytes.size());
        const std::size_t in_count = std::min(mpi::chunk_bytes, in_bytes.size());
        const Waiting for_others;
        MPI_Status status;
        mpi::check(MPI_Sendrecv(out_bytes.data(), static_cast<int>(out_count), MPI_BYTE,
                                out_count > 0 ? destination : MPI_PROC_NULL, message_tag,
                                in_bytes.data(), static_cast<int>(in_count), MPI_BYTE,
                                in_count > 0 ? source : MPI_PROC_NULL, message_tag, impl_->handle,
                                &status),
                   "MPI_Sendrecv", rank());
        if (in_count > 0)
            check_received(status, static_cast<int>(in_count), "MPI_Sendrecv", rank());
        out_bytes = out_bytes.subspan(out_count);
        in_bytes = in_bytes.subspan(in_count);
    }
}

void Communicator::abort(int exit_code) const noexcept {
    std::fflush(nullptr);
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code == 0 ? 1 : exit_code);
}

#define EVENGRAD_MESSAGE_TYPE(T)                                                  \
    template void Communicator::broadcast<T>(std::span<T>, int) const;            \
    template void Communicator::broadcast_resized<T>(std::vector<T>&, int) const; \
    template void Communicator::send<T>(std::span<const T>, int) const;           \
    template void Communicator::receive<T>(std::span<T>, int) const;              \
    template void Communicator::exchange<T>(std::span<const T>, int, std::span<T>, int) const

EVENGRAD_MESSAGE_TYPE(char);
EVENGRAD_MESSAGE_TYPE(std::byte);
EVENGRAD_MESSAGE_TYPE(std::int32_t);
EVENGRAD_MESSAGE_TYPE(std::int64_t);
EVENGRAD_MESSAGE_TYPE(std::uint32_t);
EVENGRAD_MESSAGE_TYPE(std::uint64_t);
EVENGRAD_MESSAGE_TYPE(float);
EVENGRAD_MESSAGE_TYPE(double);

#undef EVENGRAD_MESSAGE_TYPE

}  // namespace evengrad
