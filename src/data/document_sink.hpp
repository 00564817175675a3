// Where readers put what they read: documents, piece by piece, so that no document need fit into
// memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace evengrad {

/// The largest weight a token may have. Weights are multiples of weight_quantum; with this limit
/// a step's sum of weights is exact in double up to 2^29, and so is the denominator.
inline constexpr double largest_weight = 65536.0;
inline constexpr double weight_quantum = 0x1p-24;

/// `value` rounded to the nearest multiple of weight_quantum that a float holds exactly.
/// 0 <= value <= largest_weight.
float round_weight(double value);

/// Takes documents in order: begin_file, then for each document begin_document, its tokens,
/// end_document. A document's first token is end_of_text with weight 0 and its last is end_of_text;
/// the reader gives both. Documents have at least two tokens.
class DocumentSink {
  public:
    virtual ~DocumentSink() = default;

    /// What follows comes from here; `name` as the user wrote it ("-" for standard input).
    virtual void begin_file(const std::string& name) = 0;
    /// `line` of the file, from 1, where the document begins; 0 where files have no lines.
    virtual void begin_document(std::int64_t line) = 0;
    /// Tokens, all with one weight: how much the loss of predicting each of them counts. 0: none.
    virtual void add(std::span<const std::int32_t> tokens, float weight) = 0;
    virtual void end_document() = 0;
};

}  // namespace evengrad
