// MPI, as the rest of evengrad sees it: a session, and communicators that are moved, never copied.
//
// Every function says whether all ranks of the communicator must call it (@collective) or not
// (@local). Counts are 64-bit; messages beyond INT_MAX elements are cut up inside.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace evengrad {

class NodeMemory;

/// A group of ranks. Move-only; a duplicate is a visible, collective call.
/// Every failure of the library throws Error with the call, the rank and MPI's own message.
class Communicator {
  public:
    Communicator(Communicator&&) noexcept;
    Communicator& operator=(Communicator&&) noexcept;
    ~Communicator();

    int rank() const noexcept;  ///< @local 0 .. size()-1
    int size() const noexcept;  ///< @local

    /// @collective Same members, own message space.
    Communicator duplicate() const;
    /// @collective Members of equal color come together, in the order of key, then rank.
    Communicator split(int color, int key) const;
    /// @collective The ranks that can share memory with this one (MPI_COMM_TYPE_SHARED).
    Communicator split_shared() const;

    void barrier() const;  ///< @collective

    /// @collective `values` of `root` on every rank. Sizes must agree.
    template <class T>
    void broadcast(std::span<T> values, int root) const;

    /// @collective A vector whose size only `root` knows.
    template <class T>
    void broadcast_resized(std::vector<T>& values, int root) const;
    void broadcast(std::string& text, int root) const;  ///< @collective

    /// @collective Element by element, over all ranks, in place. Sizes must agree.
    /// Sums are offered for integers only: a sum of floats would depend on the layout.
    void sum(std::span<std::int64_t> values) const;
    void sum(std::span<std::uint64_t> values) const;  ///< modulo 2^64
    void max(std::span<std::uint32_t> values) const;
    void max(std::span<std::int64_t> values) const;
    void max(std::span<double> values) const;
    void min(std::span<std::uint64_t> values) const;
    void min(std::span<std::int64_t> values) const;
    void min(std::span<double> values) const;

    /// @collective One value of each rank, in rank order, on every rank.
    std::vector<std::int64_t> all_gather(std::int64_t value) const;
    std::vector<double> all_gather(double value) const;
    std::vector<std::string> all_gather(const std::string& text) const;

    /// @local Blocking point to point; both sides know the size.
    template <class T>
    void send(std::span<const T> values, int destination) const;
    template <class T>
    void receive(std::span<T> values, int source) const;

    /// @local Sends to one rank while receiving from another (either may be -1: nothing).
    template <class T>
    void exchange(std::span<const T> out, int destination, std::span<T> in, int source) const;

    /// @local Ends the job on all ranks at once. Does not return.
    [[noreturn]] void abort(int exit_code) const noexcept;

  private:
    friend class Session;
    friend class NodeMemory;
    struct Impl;
    explicit Communicator(std::unique_ptr<Impl> impl) noexcept;
    std::unique_ptr<Impl> impl_;
};

/// MPI itself: the first object in main, the last to go. Nothing MPI-owned outlives it.
class Session {
  public:
    /// @collective Starts MPI (works without mpirun: one rank). Asks for MPI_THREAD_FUNNELED and
    /// throws Error when the library gives less.
    Session(int& argc, char**& argv);
    /// @collective Finalizes, when all ranks are there; while an exception unwinds it does not (a
    /// rank that failed must end the job through `abort`, or the others would hang). When
    /// MPI_Finalize takes longer than half a minute the process ends with exit code 1.
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    const Communicator& world() const noexcept { return *world_; }

    static std::string library_version();  ///< @local e.g. "Open MPI v4.1.4"
    static std::string host_name();        ///< @local

  private:
    std::unique_ptr<Communicator> world_;
};

}  // namespace evengrad
