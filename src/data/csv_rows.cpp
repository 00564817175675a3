#include "data/csv_rows.hpp"

#include <algorithm>
#include <new>

#include "data/formats.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr int row_not_begun = 0;  // libcsv's own name for its state

}  // namespace

CsvRows::CsvRows(ByteStream& in, char delimiter) : in_(in) {
    // Strict: a quote where none may be is an error, not a character. (Without, one that is never
    // closed would make the rest of the file a cell.)
    csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI);
    csv_set_delim(&parser_, static_cast<unsigned char>(delimiter));
    csv_set_blk_size(&parser_, std::size_t{1} << 20);  // a long cell grows by so many bytes
    skip_byte_order_mark(in_);
}

CsvRows::~CsvRows() {
    csv_free(&parser_);
}

bool CsvRows::next() {
    bytes_.clear();
    ends_.clear();
    row_ended_ = false;
    while (!in_.bytes().empty() || in_.more()) {
        const std::string_view bytes = in_.bytes();
        std::string_view piece = bytes.substr(0, bytes.find('\n'));
        piece = piece.substr(0, piece.find('\r'));
        const bool line_ends = piece.size() < bytes.size();
        if (line_ends) piece = bytes.substr(0, piece.size() + 1);
        parse(piece);
        if (line_ends) {
            if (piece != "\n" || !after_return_) ++line_;
            after_return_ = piece.back() == '\r';
        } else {
            after_return_ = false;
        }
        in_.consume(piece.size());
        if (row_ended_) return true;
    }
    bytes_.reserve(bytes_.size() + parser_.entry_pos);
    ends_.reserve(ends_.size() + 1);
    if (csv_fini(&parser_, add_cell, end_row, this) != 0)
        throw Error(fmt::format("{} line {}: a quote opens column {} and is never closed", name(),
                                row_line_, ends_.size() + 1),
                    "close it; quotes inside quotes are written twice");
    return row_ended_;
}

void CsvRows::parse(std::string_view piece) {
    if (parser_.pstate == row_not_begun) row_line_ = line_;
    const std::size_t cell_bytes = parser_.entry_pos + piece.size();
    // (A cell takes room, even an empty one.)
    if (bytes_.size() + cell_bytes + 16 * ends_.size() > most_row_bytes)
        throw Error(fmt::format("{} line {}: a row longer than {} MiB", name(), row_line_,
                                most_row_bytes >> 20),
                    "is it CSV? A quote that isn't closed makes a cell of what follows");
    // Room for what the callbacks add, which are called from C and mustn't throw.
    bytes_.reserve(bytes_.size() + cell_bytes);
    ends_.reserve(ends_.size() + piece.size() + 1);
    if (csv_parse(&parser_, piece.data(), piece.size(), add_cell, end_row, this) == piece.size())
        return;
    if (csv_error(&parser_) != CSV_EPARSE) throw std::bad_alloc();
    refuse_quote();
}

void CsvRows::refuse_quote() const {
    const std::string where = fmt::format("{} line {}: column {}", name(), line_, ends_.size() + 1);
    const char* const hint =
        "put the cell into quotes and write those inside twice: \"a \"\"b\"\"\"";
    if (parser_.quoted != 0) throw Error(where + " goes on behind its closing quote", hint);
    throw Error(where + " has a quote inside", hint);
}

void CsvRows::add_cell(void* text, std::size_t size, void* self) {
    auto& rows = *static_cast<CsvRows*>(self);
    if (size > 0) rows.bytes_.append(static_cast<const char*>(text), size);
    rows.ends_.push_back(rows.bytes_.size());
}

void CsvRows::end_row(int /*terminator*/, void* self) {
    static_cast<CsvRows*>(self)->row_ended_ = true;
}

}  // namespace evengrad
