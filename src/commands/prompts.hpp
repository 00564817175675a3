// What `evengrad generate` reads and writes besides the checkpoint: prompts and results.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "train/generate.hpp"

namespace evengrad {

struct Prompt {
    std::string text;
    std::uint32_t repetition = 0;  ///< how many prompts before it have the same text
    std::string where;             ///< "FILE line 3", for messages
};

/// The prompts of a file, all of them checked. Blank lines are skipped.
///   .txt    a prompt a line
///   .jsonl  {"prompt": "..."} a line; other keys are ignored
/// @throws Error naming file and line for another extension, a file that is missing, unreadable or
/// without prompts, a line that is too long, not valid UTF-8, not such an object.
std::vector<Prompt> read_prompts(const std::filesystem::path& path);

/// @throws Error naming the byte where a text stops being UTF-8.
void check_utf8(const std::string& text);

/// {"prompt", "text", "tokens", "stopped_by"} as one line. Bytes of the text that are not UTF-8
/// become U+FFFD.
std::string result_line(const Prompt& prompt, const GeneratedText& result);

}  // namespace evengrad
