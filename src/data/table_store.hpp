// A table's rows in memory, as documents of two tokens.
#pragma once

#include "data/token_store.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad {

/// Numbers of one table, at most: 8 GiB. A short compressed file can be a long one.
inline constexpr std::int64_t most_numbers = std::int64_t{1} << 31;
inline constexpr std::int64_t most_features = std::int64_t{1} << 20;

class TableStore final : public TokenStore {
  public:
    /// `tokenizer` as Dataset(Table). @throws Error for a table that breaks Table's rules, or with
    /// a class that isn't one of the tokenizer's.
    TableStore(Table table, std::shared_ptr<const Tokenizer> tokenizer);

    std::span<const std::int64_t> offsets() const override { return offsets_; }
    void read(std::int64_t begin, std::span<std::int32_t> tokens,
              std::span<float> weights) const override;
    RowShape row_shape() const override;
    void read_row(std::int64_t row, std::span<float> features,
                  std::span<float> values) const override;
    std::string place(std::int64_t row) const override;
    /// Of features, values, classes and weights; not of names.
    const std::string& digest() const override { return digest_; }
    const std::shared_ptr<const Tokenizer>& tokenizer() const override { return tokenizer_; }
    const std::string& name() const override { return table_.source; }
    std::size_t memory() const override;

    const Table& table() const { return table_; }

  private:
    Table table_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    std::vector<std::int64_t> offsets_;
    std::string digest_;
};

}  // namespace evengrad
