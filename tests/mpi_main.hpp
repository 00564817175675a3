// What an MPI test program gets beside GoogleTest (mpi_main.cpp is its main).
#pragma once

#include <evengrad/communicator.hpp>

namespace evengrad::test {

/// All ranks of the test program.
const Communicator& world();

}  // namespace evengrad::test
