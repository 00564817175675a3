// What runs under mpirun: the segments of a case, one behind the other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "fuzz_layout/fuzz_case.hpp"
#include <evengrad/communicator.hpp>

namespace evengrad::fuzz {

/// A layout's folder in that of its case; -1 is the reference.
inline std::filesystem::path folder_of(const std::filesystem::path& folder, std::int64_t layout) {
    return folder / (layout < 0 ? "reference" : "layout-" + std::to_string(layout));
}

/// What a segment's run said of itself while it ran, beside its checkpoints: "STEP NAME VALUE",
/// one value a line, numbers in hexadecimal. Not what depends on time or who computed.
inline std::filesystem::path witness_file(const std::filesystem::path& run, std::size_t segment) {
    return run / ("witness-" + std::to_string(segment) + ".txt");
}

/// Faults for the fuzzer to find.
enum class Plant {
    nothing,
    float_sum,  ///< a weight is a sum of floats in the order of the work, after the last step
};
inline constexpr const char* planted_tensor = "blocks.0.attn.qkv.weight";
inline constexpr const char* planted_mlp_tensor = "layers.0.weight";
inline constexpr std::int64_t planted_element = 5;

/// @collective The reference and then `layouts`, without their killed segments. A segment goes on
/// from what the one before has left in its folder. @throws Error
void run_layouts(const Communicator& world, const FuzzCase& fuzz_case,
                 const std::filesystem::path& folder, const std::vector<std::int64_t>& layouts,
                 Plant plant);

/// @collective The killed segment of a layout, on all ranks. Doesn't return.
[[noreturn]] void run_killed(const Communicator& world, const FuzzCase& fuzz_case,
                             const std::filesystem::path& folder, std::int64_t layout);

}  // namespace evengrad::fuzz
