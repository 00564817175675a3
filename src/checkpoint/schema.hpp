// Names and notes of the checkpoint file that writing and reading must agree on.
#pragma once

#include <optional>
#include <string>

#include <evengrad/model.hpp>

namespace evengrad::schema {

inline constexpr const char* name = "evengrad-checkpoint";
inline constexpr const char* version = "1.0";
inline constexpr int major_version = 1;
inline constexpr const char* checksum_attribute = "crc32c";

std::string to_json(const ModelConfig& config);
/// @throws Error, naming `where`, for text that isn't such JSON or makes no sense as a model.
ModelConfig model_from_json(const std::string& architecture, const std::string& text,
                            const std::string& where);

/// The first field of the architecture in which two models differ, and its values.
struct Difference {
    std::string name, first, second;
};
std::optional<Difference> difference(const ModelConfig& first, const ModelConfig& second);

}  // namespace evengrad::schema
