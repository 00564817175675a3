// GoogleTest's main for MPI programs.
//
// Rank 0 reports as usual; the others only speak when something fails. A failure on any rank makes
// all ranks end with code 1. A test's collective calls must be reached by all ranks: use ASSERT_*
// only where all ranks get the same answer. An uncaught exception ends the job.
#include "mpi_main.hpp"

#include <cstdio>
#include <exception>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "selected_files.hpp"
#include <evengrad/error.hpp>

namespace evengrad::test {

namespace {

const Communicator* world_communicator = nullptr;

/// Prints failures with the rank, and nothing else.
class FailurePrinter : public testing::EmptyTestEventListener {
    void OnTestStart(const testing::TestInfo& test) override {
        test_ = fmt::format("{}.{}", test.test_suite_name(), test.name());
    }
    // GoogleTest holds its lock here: asking it for the current test would hang.
    void OnTestPartResult(const testing::TestPartResult& result) override {
        if (!result.failed()) return;
        fmt::print(stderr, "[rank {}] {}: {}:{}: {}\n", world().rank(), test_,
                   result.file_name() == nullptr ? "unknown file" : result.file_name(),
                   result.line_number(), result.message());
    }

    std::string test_ = "outside of tests";
};

int run(const Communicator& world) {
    try {
        // 1 when a test failed; the worst of all ranks is everybody's.
        std::int64_t code = RUN_ALL_TESTS();
        world.max(std::span(&code, 1));
        return static_cast<int>(code);
    } catch (const Error& error) {
        fmt::print(stderr, "[rank {}] {}\n{}\n", world.rank(), error.what(), error.hint());
    } catch (const std::exception& error) {
        fmt::print(stderr, "[rank {}] {}\n", world.rank(), error.what());
    }
    world.abort(1);
}

}  // namespace

const Communicator& world() {
    return *world_communicator;
}

}  // namespace evengrad::test

int main(int argc, char** argv) {
    evengrad::Session session(argc, argv);
    testing::InitGoogleTest(&argc, argv);
    // An exception on one rank, turned into a failure, would leave the others waiting.
    GTEST_FLAG_SET(catch_exceptions, false);
    if (!evengrad::test::select_files(argc, argv)) return 2;
    evengrad::test::world_communicator = &session.world();
    if (session.world().rank() != 0) {
        auto& listeners = testing::UnitTest::GetInstance()->listeners();
        delete listeners.Release(listeners.default_result_printer());
        listeners.Append(new evengrad::test::FailurePrinter);
    }
    return evengrad::test::run(session.world());
}
