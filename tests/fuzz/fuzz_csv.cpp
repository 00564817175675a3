// CSV and TSV files. What is accepted must be what a simple reading of the whole file (RFC 4180,
// and what data/README.md says beyond it) finds: the same rows, numbers, classes and lines.
#include "data/readers.hpp"
#include "fuzz.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad::fuzz {
namespace {

struct Row {
    std::vector<std::string> cells;
    std::int64_t line = 1;
};

/// Without the spaces and tabs around it, as long as they don't separate cells.
std::string trimmed(std::string text, char delimiter) {
    const auto is_space = [&](char c) { return (c == ' ' || c == '\t') && c != delimiter; };
    while (!text.empty() && is_space(text.back())) text.pop_back();
    std::size_t begin = 0;
    while (begin < text.size() && is_space(text[begin])) ++begin;
    return text.substr(begin);
}

/// Rows of a file without misplaced quotes.
std::vector<Row> rows_of(std::string_view file, char delimiter) {
    std::vector<Row> rows;
    std::int64_t line = 1;
    for (std::size_t i = 0; i < file.size();) {
        Row row{{}, line};
        bool ended = false, blank = true;
        while (!ended) {
            std::string cell;
            std::size_t first = i;
            while (first < file.size() && (file[first] == ' ' || file[first] == '\t') &&
                   file[first] != delimiter)
                ++first;
            const bool quoted = first < file.size() && file[first] == '"';
            if (quoted) {
                blank = false;
                for (i = first + 1; i < file.size(); ++i) {
                    if (file[i] == '"' && (i + 1 == file.size() || file[i + 1] != '"')) break;
                    if (file[i] == '"') ++i;
                    cell += file[i];
                    if (file[i] == '\n' && file[i - 1] == '\r') continue;
                    line += file[i] == '\n' || file[i] == '\r';
                }
                ++i;
            }
            std::string behind;
            while (i < file.size() && file[i] != delimiter && file[i] != '\n' && file[i] != '\r')
                behind += file[i++];
            behind = trimmed(behind, delimiter);
            FUZZ_CHECK(!quoted || behind.empty());
            row.cells.push_back(quoted ? cell : behind);
            if (!row.cells.back().empty()) blank = false;
            ended = i >= file.size() || file[i] != delimiter;
            if (ended) break;
            blank = false;
            ++i;
        }
        if (i < file.size()) {
            ++line;
            if (file[i] == '\r' && i + 1 < file.size() && file[i + 1] == '\n') ++i;
            ++i;
        }
        if (!blank) rows.push_back(std::move(row));
    }
    return rows;
}

float float_of(const std::string& text) {
    return static_cast<float>(std::strtod(text.c_str(), nullptr));
}

void check(Choices choices) {
    static const CaseFile csv(".csv"), tsv(".tsv");
    constexpr std::size_t read_sizes[] = {0, 1, 2, 3, 5, 16};
    constexpr TableHeader headers[] = {TableHeader::automatic, TableHeader::yes, TableHeader::no};
    TableOptions options;
    const bool tabs = choices.below(2) == 1;
    const bool values = choices.below(2) == 1;
    if (values) options.targets = TableTargets::values;
    options.header = headers[choices.below(3)];
    // The target is in the first column, or in the last one.
    const bool first = choices.below(2) == 1;
    if (first) options.target_columns = {"1"};
    set_read_size(read_sizes[choices.below(6)]);
    std::string_view bytes = choices.rest();
    const CaseFile& file = tabs ? tsv : csv;
    Dataset data;
    if (refused([&] { data = open_table({file.write(bytes).string()}, options); })) return;

    if (bytes.starts_with(byte_order_mark)) bytes.remove_prefix(byte_order_mark.size());
    std::vector<Row> rows = rows_of(bytes, tabs ? '\t' : ',');
    const DataPart& part = data.part(0);
    const std::size_t columns = rows.front().cells.size();
    const bool has_header = std::cmp_equal(rows.size(), part.documents() + 1);
    FUZZ_CHECK(has_header ? options.header != TableHeader::no : options.header != TableHeader::yes);
    if (has_header) rows.erase(rows.begin());
    FUZZ_CHECK(std::cmp_equal(rows.size(), part.documents()));
    FUZZ_CHECK(std::cmp_equal(part.row_shape().features, columns - 1));
    const std::size_t target = first ? 0 : columns - 1;
    std::vector<float> features(columns - 1), value(values ? 1 : 0);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const auto row = static_cast<std::int64_t>(r);
        FUZZ_CHECK(rows[r].cells.size() == columns);
        FUZZ_CHECK(part.place(row).ends_with(fmt::format(" line {}", rows[r].line)));
        part.describe(row);
        part.read_row(row, features, value);
        for (std::size_t c = 0, f = 0; c < columns; ++c)
            if (c != target) FUZZ_CHECK(features[f++] == float_of(rows[r].cells[c]));
        std::int32_t tokens[2];
        float weights[2];
        part.read(2 * row, tokens, weights);
        FUZZ_CHECK(tokens[0] == 0 && weights[0] == 0.0f && weights[1] == 1.0f);
        const std::string& label = rows[r].cells[target];
        if (values)
            FUZZ_CHECK(value[0] == float_of(label) && tokens[1] == 0);
        else if (data.tokenizer()->spec().model.empty())
            FUZZ_CHECK(static_cast<float>(tokens[1]) == float_of(label));
        else
            FUZZ_CHECK(data.tokenizer()->text_of(tokens[1]) == label);
    }
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({data, size});
    return 0;
}
