#include "fuzz_layout/job.hpp"

#include <cstring>
#include <fstream>
#include <iterator>

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <evengrad/error.hpp>

namespace evengrad::fuzz {

Job::Job(const std::vector<std::string>& command, const std::filesystem::path& log) : log_(log) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    const int failed =
        posix_spawnp(&process_, arguments[0], &files, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed != 0)
        throw Error(fmt::format("{} can't be started: {}", command[0], std::strerror(failed)));
}

JobEnd Job::wait() {
    int status = 0;
    while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    std::ifstream in(log_, std::ios::binary);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            {std::istreambuf_iterator<char>(in), {}}};
}

std::vector<std::string> under_mpirun(int processes, const std::filesystem::path& folder,
                                      const std::vector<std::string>& arguments) {
    std::vector<std::string> command{EVENGRAD_MPIEXEC, "--bind-to", "none", "--oversubscribe",
                                     // More ranks than cores are normal here.
                                     "--mca", "mpi_yield_when_idle", "1",
                                     // What a killed job leaves goes with the folder.
                                     "--mca", "btl_vader_backing_directory", folder.string()};
    if (geteuid() == 0) command.emplace_back("--allow-run-as-root");
    command.insert(command.end(), {"-n", std::to_string(processes),
                                   std::filesystem::read_symlink("/proc/self/exe").string()});
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

}  // namespace evengrad::fuzz
