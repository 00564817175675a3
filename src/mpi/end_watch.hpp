// The last moment in which a rank could wait for ever: MPI_Finalize.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace evengrad {

/// While it lives: ends the process, with exit code 1, when that takes longer than `limit` seconds.
/// MPI_Finalize waits for all ranks, and for mpirun and its daemons on all hosts, of which one may
/// be stopped, or cut off without the connection being broken; no rank would ever notice. The work
/// is done then. Rank 0 says so. @local
class EndWatch {
  public:
    explicit EndWatch(int rank, int limit = 30);
    ~EndWatch();
    EndWatch(const EndWatch&) = delete;
    EndWatch& operator=(const EndWatch&) = delete;

  private:
    void watch(int rank, int limit);

    std::mutex mutex_;
    std::condition_variable end_;
    bool ended_ = false;
    std::thread thread_;
};

}  // namespace evengrad
