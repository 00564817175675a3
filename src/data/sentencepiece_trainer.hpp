// Training a SentencePiece model on a sample of the text that is being prepared.
#pragma once

#include <cstdint>
#include <queue>
#include <string>
#include <vector>

#include "data/document_sink.hpp"

namespace evengrad {

/// Vocabularies that can be trained: 256 bytes and some text, up to more than anybody has.
inline constexpr std::int32_t smallest_training = 512, largest_training = 1'000'000;

/// What --train-tokenizer asks for.
struct SentencePieceTraining {
    std::string kind;             ///< "bpe" or "unigram"
    std::int32_t vocabulary = 0;  ///< smallest_training to largest_training tokens
};

/// "bpe:8000". @throws Error naming the option's text.
SentencePieceTraining parse_training(const std::string& option);

/// Lines of the documents that a reader gives with the byte tokenizer, in bounded memory: all of
/// them, or an even sample that depends on nothing but them. Every line has a pseudo-random number
/// that follows from its position; when there are too many, those with the largest are dropped.
/// Long lines count as several.
class TextSample final : public DocumentSink {
  public:
    /// The defaults keep training within about 150 MB of memory.
    explicit TextSample(std::size_t byte_limit = std::size_t{4} << 20);

    void begin_file(const std::string& name) override;
    void begin_document(std::int64_t line) override;
    void add(std::span<const std::int32_t> tokens, float weight) override;
    void end_document() override;

    /// The lines kept, without newlines, in an order that is the same each time. Empties the
    /// sample.
    std::vector<std::string> take();
    std::int64_t lines() const noexcept { return lines_; }  ///< of all the text
    std::int64_t bytes() const noexcept { return bytes_; }

  private:
    struct Line {
        std::uint64_t key;
        std::string text;
        bool operator<(const Line& other) const { return key < other.key; }
    };
    void end_line();

    std::size_t byte_limit_;
    std::string line_;
    std::priority_queue<Line> kept_;  ///< the one with the largest key on top
    std::size_t kept_bytes_ = 0;
    std::uint64_t first_dropped_;  ///< keys from here on are not kept
    std::int64_t lines_ = 0, bytes_ = 0;
};

/// The bytes of a model's file, trained on these lines such that any text comes back as it was:
/// nothing is normalized, what has no piece is written as bytes, a newline is a piece of its own,
/// and </s> ends documents. The same lines give the same model.
///
/// Trains in a child process, since the library ends its process when it meets what it doesn't
/// expect. @throws Error when the text is too little or too varied for that vocabulary.
std::string train_sentencepiece(const SentencePieceTraining& training,
                                std::vector<std::string> lines);

}  // namespace evengrad
