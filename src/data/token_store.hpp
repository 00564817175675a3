// The tokens of one data file, in memory or in a prepared file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/digest.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/tokenizer.hpp>

namespace evengrad {

/// Documents as tokens with loss weights, end to end. Document d is the tokens [offsets()[d],
/// offsets()[d+1]); it begins and ends with end_of_text, so it has at least two tokens, and its
/// first token has weight 0. Immutable.
class TokenStore {
  public:
    virtual ~TokenStore() = default;

    /// [documents + 1], from 0 to the number of tokens.
    virtual std::span<const std::int64_t> offsets() const = 0;
    /// Reads the tokens [begin, begin + size) and their weights; either span may be empty, else
    /// both have that size. Tokens are in 0 .. vocabulary_size - 1, weights are finite multiples
    /// of 2^-24 from 0 to 65536. @throws Error when the file is damaged or can't be read.
    virtual void read(std::int64_t begin, std::span<std::int32_t> tokens,
                      std::span<float> weights) const = 0;
    /// Of data that are rows of numbers: a document is a row, and has two tokens, of which the
    /// second, the one to be predicted, is its class (or 0) with the row's weight.
    virtual RowShape row_shape() const { return {}; }
    /// One row's numbers; spans of the row shape's sizes.
    virtual void read_row(std::int64_t /*document*/, std::span<float> /*features*/,
                          std::span<float> /*values*/) const {}
    /// "FILE line 12" (of the file that was prepared, too), "FILE document 7" where there are no
    /// lines.
    virtual std::string place(std::int64_t document) const = 0;
    /// Digest of tokens, weights and offsets: the same whether in memory or prepared.
    virtual const std::string& digest() const = 0;
    virtual const std::shared_ptr<const Tokenizer>& tokenizer() const = 0;
    /// The file, as it was named.
    virtual const std::string& name() const = 0;

    /// Bytes that it takes while it is there.
    virtual std::size_t memory() const { return offsets().size_bytes(); }

    std::int64_t documents() const { return static_cast<std::int64_t>(offsets().size()) - 1; }
    std::int64_t tokens() const { return offsets().back(); }
};

/// A store's digest as its documents come in.
class TokenDigest {
  public:
    void add(std::span<const std::int32_t> tokens, std::span<const float> weights);
    void end_document();
    std::string hex() const;

  private:
    Digest tokens_, weights_, offsets_;
    std::int64_t count_ = 0;
};

}  // namespace evengrad
