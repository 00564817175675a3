// The last wait of a process: for MPI_Finalize.
#include "mpi/end_watch.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

namespace evengrad {
namespace {

TEST(EndWatch, EndsAProcessThatWaitsForEver) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    const auto wait = [](int rank) {
        const EndWatch watch(rank, 1);
        sleep(60);
    };
    EXPECT_EXIT(wait(0), testing::ExitedWithCode(1),
                "evengrad: error: all is done, but MPI_Finalize has not come back for 1 s");
    EXPECT_EXIT(wait(1), testing::ExitedWithCode(1), "^$") << "rank 0 speaks for all";
}

TEST(EndWatch, LetsItGoThatEnds) {
    { const EndWatch watch(0, 2); }
    sleep(4);  // it isn't there any more
}

}  // namespace
}  // namespace evengrad
