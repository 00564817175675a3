#include <filesystem>

#include "data/byte_stream.hpp"
#include "data/named_file.hpp"
#include "data/table_readers.hpp"
#include "data/table_store.hpp"
#include "data/tokenizer_kinds.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// That nothing is asked of columns where there are none to choose from.
void check_no_columns(const std::string& path, const TableOptions& options, TableTargets targets) {
    if (options.targets != targets)
        throw UsageError(fmt::format("{}: its rows have {}", path,
                                     targets == TableTargets::values ? "values, not classes"
                                                                     : "classes, not values"),
                         "values go with --loss mse, classes with --loss cross-entropy");
    if (!options.target_columns.empty() || !options.weight_column.empty() ||
        options.header != TableHeader::automatic)
        throw UsageError(fmt::format("{}: it has no columns to choose from", path),
                         "header, target and weight columns are for .csv and .tsv");
}

ReadTable read_by_name(const std::string& path, const TableOptions& options, Labels& labels) {
    if (names_generator(path)) {
        check_no_columns(path, options, targets_of_generator(path));
        return generate_table(path, labels);
    }
    if (names_idx(path)) {
        check_no_columns(path, options, TableTargets::classes);
        return read_idx(path, labels);
    }
    std::string extension = extension_of(path);
    if (extension == ".gz")
        extension = extension_of(std::filesystem::path(path).replace_extension());
    ByteStream in(path);  // what isn't even a file is refused as that
    if (extension == ".csv") return read_csv(in, ',', options, labels);
    if (extension == ".tsv") return read_csv(in, '\t', options, labels);
    throw UsageError(fmt::format("{}: unknown kind of table{}", path,
                                 extension.empty() ? " (no extension)" : ""),
                     "known are .csv, .tsv and MNIST's ...images-idx3-ubyte, each also with .gz "
                     "behind, and generate:NAME");
}

/// That a table fits the one read before.
void check_columns(const ReadTable& first, const ReadTable& other) {
    const Table &a = first.table, &b = other.table;
    const auto compare = [&](const char* what, const std::vector<std::string>& names_a,
                             const std::vector<std::string>& names_b) {
        if (names_a.size() != names_b.size())
            throw Error(fmt::format("{} has {} {} columns, {} has {}", b.source, names_b.size(),
                                    what, a.source, names_a.size()),
                        "all files must have the same columns");
        for (std::size_t i = 0; first.has_names && other.has_names && i < names_a.size(); ++i)
            if (names_a[i] != names_b[i])
                throw Error(fmt::format("{}: the {} column '{}' stands where {} has '{}'", b.source,
                                        what, names_b[i], a.source, names_a[i]),
                            "all files must have the same columns, in the same order");
    };
    compare("feature", a.feature_names, b.feature_names);
    compare("value", a.value_names, b.value_names);
}

}  // namespace

void check_size(const Table& table, std::size_t more) {
    if (table.features.size() + more > static_cast<std::size_t>(most_numbers))
        throw Error(fmt::format("{}: more than {} numbers", table.source, most_numbers),
                    "cut it into several files, or take fewer rows");
}

Dataset open_table(const std::vector<std::string>& files, const TableOptions& options,
                   std::shared_ptr<const Tokenizer> tokenizer) {
    const bool values = options.targets == TableTargets::values;
    if (!values && options.target_columns.size() > 1)
        throw UsageError(fmt::format("{} target columns, but a row has one class",
                                     options.target_columns.size()),
                         "several target columns are for values (--loss mse)");
    const std::string kind = values ? "values" : "classes";
    if (tokenizer && tokenizer->spec().kind != kind)
        throw UsageError(
            fmt::format("rows that are to give {} don't go with a tokenizer of kind {}", kind,
                        tokenizer->spec().kind));
    NamedFiles named = parse_files(files);
    Labels labels;
    std::vector<ReadTable> tables;
    for (const std::string& path : named.paths) {
        tables.push_back(read_by_name(path, options, labels));
        check_columns(tables.front(), tables.back());
    }
    std::vector<std::int32_t> classes;
    if (!values)
        classes = labels.classes(tokenizer);
    else if (!tokenizer)
        tokenizer = make_tokenizer(values_spec());
    std::vector<DataPart> parts;
    for (ReadTable& read : tables) {
        for (std::int32_t& label : read.table.classes)
            label = classes[static_cast<std::size_t>(label)];
        parts.emplace_back(std::make_shared<const TableStore>(std::move(read.table), tokenizer));
    }
    return Dataset(std::move(parts), std::move(named.shares));
}

}  // namespace evengrad
