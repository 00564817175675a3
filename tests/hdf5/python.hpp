// Changes to HDF5 files by h5py (Debian's python3-h5py, which launch/setup --tests installs).
#pragma once

#include <cstdlib>
#include <string>

#include <sys/socket.h>
#include <unistd.h>

#include "hdf5/scratch_folder.hpp"

namespace evengrad::test {

/// Runs a script, with h5py and numpy (np) imported; whether it succeeded. One Python lives as long
/// as the test program, since it takes longer to start than most scripts to run.
inline bool run_python(const ScratchFolder& folder, const std::string& script) {
    static const int python = [] {
        constexpr const char* server = R"(
import socket, traceback, h5py, numpy
peer = socket.socket(fileno=0)
while path := peer.recv(4096):
    try:
        exec(open(path).read(), {'h5py': h5py, 'np': numpy})
        peer.send(b'1')
    except BaseException:
        traceback.print_exc()
        peer.send(b'0')
)";
        int ends[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
        if (::fork() == 0) {
            ::dup2(ends[1], STDIN_FILENO);
            ::execl("/usr/bin/python3", "python3", "-c", server, nullptr);
            ::_exit(1);
        }
        ::close(ends[1]);
        return ends[0];
    }();
    const std::string path = folder / "script.py";
    write_bytes(path, script);
    char answer = '0';
    return ::send(python, path.data(), path.size(), MSG_NOSIGNAL) > 0 &&
           ::recv(python, &answer, 1, 0) == 1 && answer == '1';
}

}  // namespace evengrad::test
