// How numbers look in what people read.
#include <limits>

#include <gtest/gtest.h>

#include "hdf5/scratch_folder.hpp"
#include "report/progress.hpp"

namespace evengrad {
namespace {

using test::contains;

TEST(Format, Bytes) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(999), "999 B");
    EXPECT_EQ(format_bytes(999.6), "1 kB");  // never "1e+03 B"
    EXPECT_EQ(format_bytes(1500), "1.5 kB");
    EXPECT_EQ(format_bytes(340e3), "340 kB");
    EXPECT_EQ(format_bytes(1.234e9), "1.23 GB");
    EXPECT_EQ(format_bytes(2e12), "2 TB");
}

TEST(Format, Duration) {
    EXPECT_EQ(format_duration(0), "0:00");
    EXPECT_EQ(format_duration(59.4), "0:59");
    EXPECT_EQ(format_duration(59.6), "1:00");
    EXPECT_EQ(format_duration(245), "4:05");
    EXPECT_EQ(format_duration(3599.7), "1:00:00");
    EXPECT_EQ(format_duration(3723), "1:02:03");
    EXPECT_EQ(format_duration(100 * 3600), "100:00:00");
    for (const double unknown : {-1.0, 1e12, std::numeric_limits<double>::quiet_NaN(),
                                 std::numeric_limits<double>::infinity()})
        EXPECT_EQ(format_duration(unknown), "-");
}

StepRecord some_step() {
    StepRecord record;
    record.step = 12;
    record.loss = 2.34567;
    record.grad_norm = 0.98765;
    record.lr = 3e-4;
    record.busy = {0.5, 0.75, 1.0};
    return record;
}

TEST(StepLine, HasWhatAStepIsAbout) {
    const std::string line = step_line(some_step(), 200, 1234.4, "tokens", 75.0);
    EXPECT_TRUE(contains(line, {"step 12/200", "loss 2.3457", "grad norm 0.988", "lr 3.00e-04",
                                "1234 tokens/s", "busy 50/75/100 %", "left 1:15"}));
    EXPECT_EQ(line.find("twice"), std::string::npos);
    EXPECT_EQ(line.find('\n'), std::string::npos);
}

// R9
TEST(StepLine, AStepWithoutLossTokensHasNoLossRatherThanZero) {
    StepRecord record = some_step();
    record.loss.reset();
    record.recomputed = true;
    const std::string line = step_line(record, 200, 1.0, "tokens", 1.0);
    EXPECT_TRUE(contains(line, {"loss none", "computed twice"}));
    EXPECT_EQ(line.find("loss 0"), std::string::npos);
}

TEST(MachineLines, SayWhatTheMachineIs) {
    MachineSummary machine;
    machine.ranks = 3;
    machine.nodes = 2;
    machine.cores_allowed = 1;
    machine.cpu = "A CPU";
    machine.blas = "A BLAS";
    machine.blas_kernel = "Kernel";
    machine.mpi = "An MPI";
    std::string text = machine_lines(machine);
    EXPECT_TRUE(contains(text, {"3 ranks on 2 nodes", "An MPI", "A CPU", "1 core allowed",
                                "A BLAS, Kernel, 1 thread a rank"}));
    EXPECT_EQ(text.find("hint"), std::string::npos);
    machine.hint = "do this";
    EXPECT_TRUE(contains(machine_lines(machine), {"hint     do this\n"}));
}

}  // namespace
}  // namespace evengrad
