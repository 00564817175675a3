// A CSV stream row by row (RFC 4180), as libcsv cuts it into cells.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <csv.h>

#include "data/byte_stream.hpp"

namespace evengrad {

/// Rows of cells. A line that is blank is no row. Spaces and tabs around a cell are dropped, inside
/// its quotes kept; lines end with LF, CR LF or CR.
class CsvRows {
  public:
    static constexpr std::size_t most_row_bytes = std::size_t{64} << 20;

    /// The stream must outlive this. Of `in` a byte order mark is consumed.
    CsvRows(ByteStream& in, char delimiter);
    ~CsvRows();
    CsvRows(const CsvRows&) = delete;
    CsvRows& operator=(const CsvRows&) = delete;

    /// The next row; false at the end of the file. @throws Error, naming line and column, for
    /// quotes that are misplaced or never closed and for a row that is too long to be one.
    bool next();

    std::int64_t line() const { return row_line_; }  ///< where the row begins, from 1
    std::size_t columns() const { return ends_.size(); }
    std::string_view cell(std::size_t column) const {  ///< from 0
        const std::size_t begin = column == 0 ? 0 : ends_[column - 1];
        return std::string_view(bytes_).substr(begin, ends_[column] - begin);
    }
    const std::string& name() const { return in_.name(); }

  private:
    /// Gives the parser bytes of one line, at most. Ends the row, or doesn't.
    void parse(std::string_view piece);
    [[noreturn]] void refuse_quote() const;

    static void add_cell(void* text, std::size_t size, void* self);
    static void end_row(int terminator, void* self);

    ByteStream& in_;
    csv_parser parser_{};
    std::string bytes_;              // the row's cells, end to end
    std::vector<std::size_t> ends_;  // of each
    std::int64_t line_ = 1, row_line_ = 1;
    bool after_return_ = false;  // CR was read last: an LF belongs to it
    bool row_ended_ = false;
};

}  // namespace evengrad
