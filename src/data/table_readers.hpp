// Readers of tables, one a format; open_table picks.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/byte_stream.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad {

/// The labels of all files, each text once, numbered as they come: only when all are known can they
/// become classes.
class Labels {
  public:
    /// A label's number. `where` (returning a text) says where it stands: "FILE line 3: column 5".
    /// @throws Error for a text that can't be a class's name, and for too many.
    template <class Where>
    std::int32_t add(std::string_view text, const Where& where) {
        const auto found = numbers_.find(std::string(text));
        return found != numbers_.end() ? found->second : insert(text, where());
    }

    /// [labels] the class of each, and `tokenizer`, or if there is none one that is made of them.
    /// @throws Error for a label that is none of the tokenizer's classes, for numbers that are too
    /// large, and when there is only one.
    std::vector<std::int32_t> classes(std::shared_ptr<const Tokenizer>& tokenizer) const;

  private:
    std::int32_t insert(std::string_view text, std::string where);
    std::shared_ptr<const Tokenizer> make_classes() const;

    std::unordered_map<std::string, std::int32_t> numbers_;
    std::vector<std::string> texts_, places_;  // [labels] places: where each came first
};

/// What a reader gives: classes are numbers of labels.
struct ReadTable {
    Table table;
    bool has_names = false;  ///< of columns, which the file gave
};

/// `delimiter` is a comma or a tab.
ReadTable read_csv(ByteStream& in, char delimiter, const TableOptions& options, Labels& labels);

/// Whether a file is named as IDX: "...-idx3-ubyte", perhaps with .gz behind.
bool names_idx(const std::string& path);
/// Images, and the labels that are found beside them.
ReadTable read_idx(const std::string& path, Labels& labels);

/// "generate:..."
bool names_generator(const std::string& path);
/// Whether what it makes has values or classes. @throws UsageError for an unknown one.
TableTargets targets_of_generator(const std::string& path);
/// "generate:NAME" or "generate:NAME:key=value,...". @throws UsageError for an unknown key or a bad
/// value, naming the keys.
ReadTable generate_table(const std::string& path, Labels& labels);

/// @throws Error when a table with so many more numbers would have more than most_numbers.
void check_size(const Table& table, std::size_t more);

}  // namespace evengrad
