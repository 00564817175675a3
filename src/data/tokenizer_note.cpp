#include "data/tokenizer_note.hpp"

#include <nlohmann/json.hpp>

#include "base/json_problem.hpp"
#include "base/narrow.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

// More than any real tokenizer has, so that a hostile file can't make us allocate without bound.
constexpr std::uint64_t tokenizer_note_bytes = 1 << 16;
constexpr std::uint64_t model_bytes = std::uint64_t{64} << 20;

}  // namespace

void write_tokenizer(hdf5::Group& parent, const TokenizerSpec& spec) {
    hdf5::Group note = parent.create_group("tokenizer", "NXnote");
    note.write_text("type", "application/json");
    const nlohmann::ordered_json json{{"kind", spec.kind},
                                      {"vocabulary_size", spec.vocabulary_size},
                                      {"end_of_text", spec.end_of_text}};
    note.write_text("data", json.dump(2));
    if (spec.model.empty()) return;
    const std::vector<std::uint8_t> bytes(spec.model.begin(), spec.model.end());
    note.write("model", bytes, {bytes.size()});
}

TokenizerSpec read_tokenizer(const hdf5::Group& parent) {
    const hdf5::Group note = parent.open_group("tokenizer");
    TokenizerSpec spec;
    try {
        const auto json = nlohmann::json::parse(note.read_text("data", tokenizer_note_bytes));
        const auto integer = [&](const char* key) {
            const auto& value = json.at(key);
            if (!value.is_number_integer())
                throw Error(fmt::format("{}: '{}' is not an integer", note.where(), key));
            return narrow<std::int32_t>(value.get<std::int64_t>());
        };
        spec.kind = json.at("kind").get<std::string>();
        spec.vocabulary_size = integer("vocabulary_size");
        spec.end_of_text = integer("end_of_text");
    } catch (const nlohmann::json::exception& error) {
        throw Error(fmt::format("{}: {}", note.where(), json_problem(error.what())),
                    "the file is damaged");
    }
    if (note.exists("model")) {
        const auto bytes = note.read<std::uint8_t>("model", model_bytes);
        spec.model.assign(bytes.begin(), bytes.end());
    }
    return spec;
}

}  // namespace evengrad
