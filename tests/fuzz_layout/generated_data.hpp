// Data of every shape that files may have: made up, and written as the readers take it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "fuzz_layout/draw.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad::fuzz {

struct GeneratedFile {
    std::string name;    ///< "train-0.jsonl"
    std::string bytes;   ///< its content
    double share = 0.0;  ///< of a mixture; 0: none
};

struct GeneratedData {
    std::string tokenizer;  ///< as an option: "byte", "ids:40:39"
    std::vector<GeneratedFile> train, valid;
    // What is in it, for the statistics of a run of the fuzzer.
    bool masked = false;      ///< a document without any loss
    bool shortest = false;    ///< sequences of one and two tokens
    bool fractional = false;  ///< weights that are no whole numbers
    bool zero = false;        ///< weights of 0
    bool giant = false;       ///< a document of many sequences

    /// --data FILE or FILE:SHARE, of files that are in `folder`. @local
    Dataset open_train(const std::filesystem::path& folder) const;
    /// Held-out data; nothing when there is none. @local
    Dataset open_valid(const std::filesystem::path& folder) const;
    void write(const std::filesystem::path& folder) const;
};

/// One to three files of few documents each, each with some loss. `seq_length`: what is long.
GeneratedData draw_data(Draw& draw, std::int64_t seq_length);

}  // namespace evengrad::fuzz
