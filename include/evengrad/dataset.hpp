// What a run is trained on: documents as tokens with loss weights, in memory or in prepared files.
//
// Everything here is @local; in a run only rank 0 has data.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <evengrad/feature_scaling.hpp>
#include <evengrad/tokenizer.hpp>

namespace evengrad {

class TokenStore;

/// Whether a FILE or FILE:SHARE is named as prepared data (.h5), which have their own tokenizer.
bool names_prepared_file(const std::string& file);

/// Documents in memory, end to end, before they become a Dataset. Document d is tokens[offsets[d]
/// .. offsets[d+1]), has at least two tokens, and begins and ends with end_of_text.
struct Documents {
    std::string source;                    ///< the file, as it was named
    std::vector<std::int32_t> tokens;      ///< [tokens]
    std::vector<float> weights;            ///< [tokens] how much the loss of predicting this token
                                           ///< counts; 0 for the first token of a document
    std::vector<std::int64_t> offsets{0};  ///< [documents + 1], from 0 to tokens.size()
    std::vector<std::int64_t> lines;       ///< [documents] of the source, from 1; 0: it has none
};

/// Rows of numbers in memory before they become a Dataset: what is known of each, and what it is to
/// give, which is one of some classes or one or several values.
struct Table {
    std::string source;                      ///< the file, as it was named
    std::vector<std::string> feature_names;  ///< [features], at least one
    std::vector<std::string> value_names;    ///< [values]; empty: rows have classes
    std::vector<float> features;             ///< [rows, features], finite
    std::vector<std::int32_t> classes;       ///< [rows], or empty
    std::vector<float> values;               ///< [rows, values], finite
    std::vector<float> weights;       ///< [rows] how much the loss of a row counts; empty: 1 each
    std::vector<std::int64_t> lines;  ///< [rows] of the source, from 1; empty: it has none
};

/// Numbers of one row of data that are rows of numbers; all 0 for text.
struct RowShape {
    std::int64_t features = 0;
    std::int64_t values = 0;  ///< what the row is to give, if numbers rather than a class
    bool operator==(const RowShape&) const = default;
};

/// A part of a dataset: a run of tokens of one file. Copies share the file.
class DataPart {
  public:
    /// All of a file.
    explicit DataPart(std::shared_ptr<const TokenStore> store);

    const std::string& name() const;               ///< the file, as it was named
    std::int64_t begin() const { return begin_; }  ///< its first token in the file
    std::int64_t end() const { return end_; }      ///< behind its last token in the file
    std::int64_t tokens() const { return end_ - begin_; }
    /// Documents, the one that a held-out split cut through counted in both parts.
    std::int64_t documents() const { return last_document_ - first_document_; }
    /// Where the part's document d begins and ends in the file, as far as it is in this part.
    std::pair<std::int64_t, std::int64_t> document(std::int64_t d) const;
    /// The document that a token of the file is in.
    std::int64_t document_of(std::int64_t token) const;

    /// Tokens and weights [first, first + size) of the file, inside this part. Either span may be
    /// empty, else both have that size. @throws Error when the file is damaged or can't be read.
    void read(std::int64_t first, std::span<std::int32_t> tokens, std::span<float> weights) const;
    RowShape row_shape() const;
    /// The numbers of document d, which is one row: spans of the row shape's sizes. Features are
    /// scaled, if the dataset is.
    void read_row(std::int64_t d, std::span<float> features, std::span<float> values) const;
    /// Whether any token but the first has a weight above 0. Reads until it finds one.
    bool has_loss() const;
    /// For messages: "FILE line 12".
    std::string place(std::int64_t document) const;
    /// For messages: "FILE line 12: begins 'Call me Ish...'", at most 40 bytes of the text (whole
    /// characters), control characters escaped. Of a row: "FILE line 12: class 'setosa'" or
    /// "FILE line 12: values 0.5, 3".
    std::string describe(std::int64_t document) const;

    /// {the first part, the last `fraction` of the tokens}: cut between the two documents where the
    /// parts come closest to the fraction, a single document between two characters.
    /// @throws Error when it can't be cut in two.
    std::pair<DataPart, DataPart> split_tail(double fraction) const;
    /// The tokens [begin, end) of the file, inside this part; not empty.
    DataPart slice(std::int64_t begin, std::int64_t end) const;

    const TokenStore& store() const { return *store_; }
    const std::shared_ptr<const TokenStore>& shared_store() const { return store_; }

  private:
    friend class Dataset;

    std::shared_ptr<const TokenStore> store_;
    std::shared_ptr<const FeatureScaling> scaling_;  ///< none: features as they are
    std::int64_t begin_, end_;
    std::int64_t first_document_, last_document_;
};

/// One or several parts, perhaps mixed by weight. Immutable, cheap to copy.
class Dataset {
  public:
    Dataset() = default;  ///< nothing
    /// @throws Error for documents that break the rules above or leave the vocabulary.
    explicit Dataset(Documents documents,
                     std::shared_ptr<const Tokenizer> tokenizer = make_tokenizer({}));
    /// `classes` tells the classes' number and names; none: 0 to the largest there is, without
    /// names, or values. @throws Error for a table that breaks the rules above or leaves `classes`.
    explicit Dataset(Table table, std::shared_ptr<const Tokenizer> classes = nullptr);
    /// `shares` is empty (each sequence once an epoch) or has one positive number a part: in which
    /// proportion sequences are drawn from it. @throws Error when tokenizers or row shapes differ.
    explicit Dataset(std::vector<DataPart> parts, std::vector<double> shares = {});

    const std::vector<DataPart>& parts() const { return parts_; }
    const DataPart& part(std::int64_t index) const {
        return parts_[static_cast<std::size_t>(index)];
    }
    const std::vector<double>& shares() const { return shares_; }
    std::int64_t tokens() const;
    std::int64_t documents() const;
    bool has_loss() const;
    RowShape row_shape() const;  ///< all parts'
    const std::shared_ptr<const Tokenizer>& tokenizer() const;
    /// The files' names, for messages: "a.jsonl, b.jsonl".
    std::string source() const;
    /// Equal for equal tokens, weights, documents, rows, parts and shares, wherever they are kept;
    /// scaling doesn't matter.
    std::string digest() const;

    /// Holds out the last `fraction` of the tokens of each part: {for training, held out}.
    /// @throws Error unless 0 < fraction < 1, or when one of the two would have no loss.
    std::pair<Dataset, Dataset> split_tail(double fraction) const;
    /// The same rows with features that read_row scales. @throws Error when `scaling` is of another
    /// number of features.
    Dataset scaled(std::shared_ptr<const FeatureScaling> scaling) const;
    /// How features are scaled; null: they are as in the files.
    const FeatureScaling* scaling() const;

  private:
    std::vector<DataPart> parts_;
    std::vector<double> shares_;
};

/// Opens what `--data` names: FILE or FILE:SHARE each, all with a share or none. Prepared files
/// (.h5) are read from disk as needed, raw ones (by extension: .txt, .jsonl, .bin, each also with
/// .gz behind) into memory with `tokenizer`. No tokenizer: that of the prepared files, or bytes.
/// @throws Error naming file, line and byte for what can't be read.
Dataset open_dataset(const std::vector<std::string>& files,
                     std::shared_ptr<const Tokenizer> tokenizer = nullptr);

/// What the rows of a table are to give.
enum class TableTargets {
    classes,  ///< one of some classes
    values,   ///< numbers
};
/// Whether a CSV file's first row names the columns. `automatic`: it does when a column is asked
/// for by name, or when one of its cells isn't a number, the class aside.
enum class TableHeader { automatic, yes, no };
inline constexpr std::array table_header_names = {"auto", "yes", "no"};

/// How a table's columns are to be understood. A column is given by its name or its number, from 1.
struct TableOptions {
    TableTargets targets = TableTargets::classes;
    std::vector<std::string> target_columns;  ///< empty: the last one; several for values only
    std::string weight_column;                ///< empty: each row weighs 1
    TableHeader header = TableHeader::automatic;
};

/// Opens tables: FILE or FILE:SHARE each, as open_dataset does, read into memory. The name tells
/// the format (each also with .gz behind): .csv, .tsv, MNIST's IDX ("train-images-idx3-ubyte", with
/// its labels beside it), or what is made here ("generate:spirals:rows=500,turns=1"). All have the
/// same columns. Columns that are neither target nor weight are features.
///
/// Labels that all are whole numbers from 0 on are the classes' numbers; else classes are the texts
/// in the order of their bytes. With a tokenizer, of other tables, they must be among its classes,
/// of which it says the number. data/README.md describes the formats.
/// @throws UsageError for options that don't fit; Error naming file, line and column for what is
/// wrong with a file.
Dataset open_table(const std::vector<std::string>& files, const TableOptions& options = {},
                   std::shared_ptr<const Tokenizer> tokenizer = nullptr);

}  // namespace evengrad
