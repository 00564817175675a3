// CSV and TSV: which columns are what, and the numbers in them.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "base/narrow.hpp"
#include "data/csv_rows.hpp"
#include "data/document_sink.hpp"
#include "data/excerpt.hpp"
#include "data/table_readers.hpp"
#include "data/table_store.hpp"
#include "data/tokenizer_kinds.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr double largest_float = std::numeric_limits<float>::max();

/// What a cell says, if it is a number: infinite when no double holds it.
std::optional<double> cell_number(std::string_view text) {
    if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
    double value = 0.0;
    const char* const end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, value);
    if (stop != end || problem == std::errc::invalid_argument) return {};
    if (problem != std::errc()) return std::numeric_limits<double>::infinity();
    return value;
}

bool is_column_number(std::string_view column) {
    return !column.empty() && column.find_first_not_of("0123456789") == column.npos;
}

enum class ColumnUse { feature, value, label, weight };

class CsvReader {
  public:
    CsvReader(ByteStream& in, char delimiter, const TableOptions& options, Labels& labels)
        : rows_(in, delimiter), options_(options), labels_(labels) {
        table_.source = in.name();
    }

    ReadTable read() {
        if (!rows_.next())
            throw Error(fmt::format("{}: no rows", rows_.name()), "give a file with rows of cells");
        columns_ = rows_.columns();
        first_line_ = rows_.line();
        const bool has_header = is_header();
        if (has_header) read_names();
        choose_columns();
        if (has_header && !rows_.next())
            throw Error(fmt::format("{}: no rows below the names of its columns", rows_.name()),
                        "give a file with rows of numbers");
        do add_row();
        while (rows_.next());
        return {std::move(table_), has_header};
    }

  private:
    bool is_header() const {
        if (options_.header != TableHeader::automatic) return options_.header == TableHeader::yes;
        const auto by_name = [](const std::string& column) {
            return !column.empty() && !is_column_number(column);
        };
        if (by_name(options_.weight_column)) return true;
        for (const std::string& column : options_.target_columns)
            if (by_name(column)) return true;
        // A class may be a text in any row.
        std::size_t label = columns_;
        if (options_.targets == TableTargets::classes)
            label = options_.target_columns.empty() ? columns_ - 1
                                                    : find(options_.target_columns.front());
        for (std::size_t c = 0; c < columns_; ++c)
            if (c != label && !rows_.cell(c).empty() && !cell_number(rows_.cell(c))) return true;
        return false;
    }

    void read_names() {
        for (std::size_t c = 0; c < columns_; ++c) {
            const std::string_view name = rows_.cell(c);
            names_.emplace_back(name);
            if (name.empty()) continue;  // pandas has none for its index
            if (const std::string problem = name_problem(name); !problem.empty())
                throw Error(fmt::format("{} line {}: the name of column {}, '{}', {}", rows_.name(),
                                        rows_.line(), c + 1, excerpt(name), problem),
                            "does the first row name the columns?");
        }
    }

    /// The place of a column given by name or number, from 0.
    std::size_t find(const std::string& column) const {
        if (is_column_number(column)) {
            std::size_t number = 0;
            std::from_chars(column.data(), column.data() + column.size(), number);
            if (number < 1 || number > columns_)
                throw Error(fmt::format("{}: there is no column {}, it has {}", rows_.name(),
                                        excerpt(column), columns_),
                            "columns are numbered from 1");
            return number - 1;
        }
        if (names_.empty())
            throw UsageError(
                fmt::format("{}: a column '{}' is asked for, but columns are said to have no names",
                            rows_.name(), excerpt(column)),
                "give its number, from 1");
        const auto found = std::find(names_.begin(), names_.end(), column);
        if (found == names_.end())
            throw Error(fmt::format("{} line {}: there is no column '{}'", rows_.name(),
                                    first_line_, excerpt(column)),
                        "give one of the names in the first row, or a number, from 1");
        if (std::find(found + 1, names_.end(), column) != names_.end())
            throw Error(fmt::format("{} line {}: two columns are called '{}'", rows_.name(),
                                    first_line_, excerpt(column)),
                        "give its number, from 1");
        return static_cast<std::size_t>(found - names_.begin());
    }

    void choose_columns() {
        uses_.assign(columns_, ColumnUse::feature);
        const auto choose = [&](std::size_t column, ColumnUse use) {
            if (uses_[column] != ColumnUse::feature)
                throw UsageError(
                    fmt::format("{}: {} is asked for twice", rows_.name(), describe(column)),
                    "a column is a target or a weight, once");
            uses_[column] = use;
        };
        const bool values = options_.targets == TableTargets::values;
        std::vector<std::size_t> targets;
        for (const std::string& column : options_.target_columns) targets.push_back(find(column));
        if (targets.empty()) targets.push_back(columns_ - 1);
        for (const std::size_t c : targets) choose(c, values ? ColumnUse::value : ColumnUse::label);
        if (!options_.weight_column.empty())
            choose(find(options_.weight_column), ColumnUse::weight);
        const auto name_of = [&](std::size_t c) {
            return names_.empty() || names_[c].empty() ? std::to_string(c + 1) : names_[c];
        };
        if (values) {
            // In the order asked for, which need not be the file's.
            for (const std::size_t c : targets) table_.value_names.push_back(name_of(c));
            value_columns_ = std::move(targets);
        }
        for (std::size_t c = 0; c < columns_; ++c)
            if (uses_[c] == ColumnUse::feature) table_.feature_names.push_back(name_of(c));
        if (table_.feature_names.empty() || table_.feature_names.size() > at(most_features))
            throw Error(fmt::format("{} line {}: {} columns, {} of them features", rows_.name(),
                                    first_line_, columns_, table_.feature_names.size()),
                        fmt::format("1 to {} columns beside target and weight are features; is the "
                                    "delimiter right? (.csv: comma, .tsv: tab)",
                                    most_features));
    }

    std::string describe(std::size_t column) const {
        if (names_.empty() || names_[column].empty()) return fmt::format("column {}", column + 1);
        return fmt::format("column {} ({})", column + 1, excerpt(names_[column]));
    }
    std::string where(std::size_t column) const {
        return fmt::format("{} line {}: {}", rows_.name(), rows_.line(), describe(column));
    }

    double number(std::size_t column) const {
        const std::string_view text = rows_.cell(column);
        const std::optional<double> value = cell_number(text);
        if (text.empty())
            throw Error(where(column) + " is empty",
                        "every row needs every number: fill it in, or leave the row out");
        if (!value)
            throw Error(fmt::format("{} is '{}', not a number", where(column), excerpt(text)),
                        "features, values and weights are numbers, such as -1.5 or 2e-3; turn "
                        "texts into numbers, or leave their column out");
        if (!(std::abs(*value) <= largest_float))
            throw Error(fmt::format("{} is {}, not a finite number of single precision",
                                    where(column), excerpt(text)),
                        "fill in a number, or leave the row out");
        return *value;
    }

    void add_row() {
        if (rows_.columns() != columns_)
            throw Error(fmt::format("{} line {}: {} columns, line {} has {}", rows_.name(),
                                    rows_.line(), rows_.columns(), first_line_, columns_),
                        "is a delimiter missing, or one in a text without quotes?");
        check_size(table_, table_.feature_names.size());
        for (std::size_t c = 0; c < columns_; ++c) {
            if (uses_[c] == ColumnUse::feature)
                table_.features.push_back(static_cast<float>(number(c)));
            else if (uses_[c] == ColumnUse::label)
                table_.classes.push_back(labels_.add(rows_.cell(c), [&] { return where(c); }));
            else if (uses_[c] == ColumnUse::weight)
                table_.weights.push_back(weight(c));
        }
        for (const std::size_t c : value_columns_)
            table_.values.push_back(static_cast<float>(number(c)));
        table_.lines.push_back(rows_.line());
    }

    float weight(std::size_t column) const {
        const double value = number(column);
        if (!(value >= 0.0 && value <= largest_weight))
            throw Error(fmt::format("{} is a weight of {}", where(column), value),
                        fmt::format("weights go from 0 to {}", largest_weight));
        return round_weight(value + 0.0);  // -0 as 0
    }

    CsvRows rows_;
    const TableOptions& options_;
    Labels& labels_;
    Table table_;
    std::size_t columns_ = 0;
    std::int64_t first_line_ = 1;
    std::vector<std::string> names_;  ///< [columns], or none
    std::vector<ColumnUse> uses_;     ///< [columns]
    std::vector<std::size_t> value_columns_;
};

}  // namespace

ReadTable read_csv(ByteStream& in, char delimiter, const TableOptions& options, Labels& labels) {
    return CsvReader(in, delimiter, options, labels).read();
}

}  // namespace evengrad
