// GoogleTest's main for programs of one process.
#include <gtest/gtest.h>

#include "selected_files.hpp"

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    return evengrad::test::select_files(argc, argv) ? RUN_ALL_TESTS() : 2;
}
