// What people see of `evengrad prepare` and of what it made.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "data/prepared_store.hpp"
#include "report/moving_line.hpp"

namespace evengrad {

/// How far reading is.
struct ReadingState {
    std::string file;              ///< being read
    std::int64_t bytes = 0;        ///< read, of all files
    std::int64_t total_bytes = 0;  ///< of all files; 0: not known
    std::int64_t documents = 0;
    double seconds = 0.0;
};

/// "[####......]  42 %  16.8 of 40 MB  3.1 MB/s  1234 documents  left 0:07"; where the end isn't
/// known, without bar and time left.
std::string reading_line(const ReadingState& state);

/// On a terminal a bar that moves; otherwise a plain line every ten seconds.
class ReadingProgress {
  public:
    ReadingProgress(std::FILE* out, bool terminal);

    void update(const ReadingState& state);
    void finish();  ///< the bar goes; lines can follow

  private:
    std::FILE* out_;
    std::unique_ptr<MovingLine> moving_;
    double last_ = 0.0;
};

/// Some lines about a prepared file.
std::string prepared_summary(const PreparedStore& store);

/// The text of a document, of its first `most_tokens` tokens, with what carries loss in color, or
/// else in [brackets], followed by its weight where that isn't 1. End of text is shown as <end>.
/// Control characters but tab and newline are replaced.
std::string masked_text(const PreparedStore& store, std::int64_t document, bool color,
                        std::int64_t most_tokens = 4096);

}  // namespace evengrad
