// Writes the prepared file as documents come in.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/document_sink.hpp"
#include "data/prepared_format.hpp"
#include "data/spool.hpp"
#include "data/token_store.hpp"
#include "hdf5/file.hpp"
#include <evengrad/tokenizer.hpp>

namespace evengrad {

/// Takes documents of any number and length in bounded memory (16 bytes a document). Tokens wait in
/// unnamed temporary files beside the target, since an HDF5 dataset's size must be known first.
/// Nothing has the target's name before all of it is on the disk. @local
class PreparedWriter final : public DocumentSink {
  public:
    /// @throws Error when the target's folder can't be written.
    PreparedWriter(std::filesystem::path target, std::shared_ptr<const Tokenizer> tokenizer);

    void begin_file(const std::string& name) override;
    void begin_document(std::int64_t line) override;
    void add(std::span<const std::int32_t> tokens, float weight) override;
    void end_document() override;

    /// What came in so far.
    const prepared::Totals& totals() const noexcept { return totals_; }
    std::string digest() const { return digest_.hex(); }

    /// Writes the file, in place of an earlier one. Call once, last. @throws Error (disk full ...):
    /// then there is no file, or the earlier one.
    void publish();

  private:
    /// Neighbors of one weight.
    struct Run {
        std::int64_t tokens;
        float weight;
    };
    class WeightReader;
    void write_pieces(hdf5::Group& root);

    std::filesystem::path target_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    bool narrow_tokens_;  ///< u16
    bool has_text_;       ///< not ids
    Spool tokens_, runs_;
    Run run_{0, 0.0F};  ///< the last one, still growing
    std::vector<std::int64_t> offsets_{0}, lines_, first_documents_;
    std::vector<std::string> sources_;
    prepared::Totals totals_;
    TokenDigest digest_;
    std::vector<std::uint16_t> narrow_;  ///< scratch
    std::vector<float> weights_;         ///< scratch
};

}  // namespace evengrad
