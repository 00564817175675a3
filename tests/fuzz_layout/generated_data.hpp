// Data of every shape that files may have: made up, and written as the readers take it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "fuzz_layout/draw.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/feature_scaling.hpp>

namespace evengrad::fuzz {

struct GeneratedFile {
    std::string name;    ///< "train-0.jsonl"
    std::string bytes;   ///< its content
    double share = 0.0;  ///< of a mixture; 0: none
};

struct GeneratedData {
    std::string tokenizer;               ///< as an option: "byte", "ids:40:39"; empty of tables
    std::optional<TableOptions> tables;  ///< of rows of numbers
    FeatureScalingKind scaling = FeatureScalingKind::none;
    std::vector<GeneratedFile> train, valid;
    // What is in it, for the statistics of a run of the fuzzer.
    bool masked = false;      ///< a document without any loss
    bool shortest = false;    ///< sequences of one and two tokens
    bool fractional = false;  ///< weights that are no whole numbers
    bool zero = false;        ///< weights of 0
    bool giant = false;       ///< a document of many sequences

    /// --data FILE or FILE:SHARE, of files that are in `folder`, and held-out data, if there are
    /// any. @local
    std::pair<Dataset, Dataset> open(const std::filesystem::path& folder) const;
    void write(const std::filesystem::path& folder) const;
};

/// One or two CSV files of few rows each. `classes`: of a row; 0: it has `values` numbers instead.
GeneratedData draw_rows(Draw& draw, std::int64_t features, std::int64_t classes,
                        std::int64_t values);

/// One to three files of few documents each, each with some loss. `seq_length`: what is long.
GeneratedData draw_data(Draw& draw, std::int64_t seq_length);

}  // namespace evengrad::fuzz
