// What people and programs see of `evengrad evaluate`.
#pragma once

#include <string>

#include <evengrad/evaluate.hpp>

namespace evengrad {

/// An evaluation, and what was evaluated. `data` has the parts of `evaluation`.
struct EvaluationReport {
    const CheckpointInfo& checkpoint;
    const Dataset& data;
    SequenceMode sequences;
    const Evaluation& evaluation;
};

/// Tables by file and by length of completion, one number a cell, "-" for what is undefined.
std::string evaluation_tables(const EvaluationReport& report);

/// The same and more as one JSON object, every digit of each number, null for what is undefined.
std::string evaluation_json(const EvaluationReport& report);

/// "[####......]  42 %  1234/2938 sequences  5120 tokens/s  left 0:07"
std::string evaluation_line(std::int64_t done, std::int64_t all, std::int64_t positions,
                            double seconds);

}  // namespace evengrad
