// Other processes: mpirun.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

namespace evengrad::fuzz {

/// How a process ended: its exit code, or 128 and the signal.
struct JobEnd {
    int code = 0;
    std::string output;  ///< what it printed
};

/// A process that runs until `wait`. Move-only.
class Job {
  public:
    /// Starts it; standard output and errors go to `log`. @throws Error when it can't be.
    Job(const std::vector<std::string>& command, const std::filesystem::path& log);
    JobEnd wait();

  private:
    pid_t process_;
    std::filesystem::path log_;
};

/// mpirun of so many processes of this program with these arguments. What Open MPI keeps in files
/// goes to `folder`.
std::vector<std::string> under_mpirun(int processes, const std::filesystem::path& folder,
                                      const std::vector<std::string>& arguments);

}  // namespace evengrad::fuzz
