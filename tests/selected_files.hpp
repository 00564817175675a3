// The tests of a room are one program, and ctest runs them file by file.
#pragma once

namespace evengrad::test {

/// Of the program's tests, leaves those of the source files that its arguments name
/// (`test_data csv_test.cpp`); without arguments, all. What the filter of GoogleTest excludes stays
/// excluded. Call after testing::InitGoogleTest.
///
/// @local. Returns false, and says which, where a file has no test.
bool select_files(int argc, char** argv);

}  // namespace evengrad::test
