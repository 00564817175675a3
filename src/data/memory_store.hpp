// A file's tokens in memory, and the sink that a reader fills to make them.
#pragma once

#include "data/document_sink.hpp"
#include "data/token_store.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad {

class MemoryStore final : public TokenStore {
  public:
    /// @throws Error for documents that break Documents' rules or leave the vocabulary.
    MemoryStore(Documents documents, std::shared_ptr<const Tokenizer> tokenizer);

    std::span<const std::int64_t> offsets() const override { return documents_.offsets; }
    void read(std::int64_t begin, std::span<std::int32_t> tokens,
              std::span<float> weights) const override;
    std::string place(std::int64_t document) const override;
    std::size_t memory() const override {
        return documents_.tokens.size() * (sizeof(std::int32_t) + sizeof(float)) +
               (documents_.offsets.size() + documents_.lines.size()) * sizeof(std::int64_t);
    }
    const std::string& digest() const override { return digest_; }
    const std::shared_ptr<const Tokenizer>& tokenizer() const override { return tokenizer_; }
    const std::string& name() const override { return documents_.source; }

  private:
    Documents documents_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    std::string digest_;
};

/// Gathers the documents of one file.
class MemorySink final : public DocumentSink {
  public:
    Documents documents;

    void begin_file(const std::string& name) override { documents.source = name; }
    void begin_document(std::int64_t line) override { documents.lines.push_back(line); }
    void add(std::span<const std::int32_t> tokens, float weight) override {
        documents.tokens.insert(documents.tokens.end(), tokens.begin(), tokens.end());
        documents.weights.resize(documents.tokens.size(), weight);
    }
    void end_document() override {
        documents.offsets.push_back(static_cast<std::int64_t>(documents.tokens.size()));
    }
};

}  // namespace evengrad
