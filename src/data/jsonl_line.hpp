// One line of a JSONL file as what it says, before it becomes a document.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evengrad {

struct Message {
    std::string_view role;  ///< one of the known ones, of static life
    std::string content;
    std::optional<double> weight;
};

/// Of text; prompt and completion; messages; input_ids exactly one kind is there.
struct JsonlLine {
    std::optional<std::string> text, prompt, completion;
    std::optional<std::vector<Message>> messages;
    std::optional<std::vector<std::int32_t>> input_ids;
    std::optional<std::vector<std::int32_t>> labels;  ///< [input_ids] -100, or the id
    std::optional<double> weight;                     ///< at most one of weight and weights
    std::optional<std::vector<float>> weights;        ///< one a segment
};

inline constexpr std::int32_t no_label = -100;

/// What is wrong with a line. `byte` from 1, in the line; 0: not known.
struct JsonlProblem {
    std::size_t byte = 0;
    std::string what;
    std::string hint;
};

/// Parses and checks one line, whose ids must be below vocabulary_size.
/// @throws JsonlProblem
JsonlLine parse_jsonl_line(std::string_view line, std::int32_t vocabulary_size);

}  // namespace evengrad
