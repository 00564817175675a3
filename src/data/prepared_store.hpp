// Reads the prepared file.
#pragma once

#include <filesystem>
#include <mutex>
#include <vector>

#include "data/prepared_format.hpp"
#include "data/token_store.hpp"

namespace evengrad {

/// Whether a file says that it is a prepared one. False for what can't be read as HDF5 at all.
bool is_prepared_file(const std::filesystem::path& path);

/// A prepared file, of which only offsets and lines of documents are in memory.
///
/// Opened through HDF5 and checked; from then on tokens and weights are read without it, so that
/// another thread may use the library. A piece of 65,536 tokens is checked against its checksum
/// when it is first touched, and every token and weight on every reading. @local
class PreparedStore final : public TokenStore {
  public:
    /// `file` as it is to be named. @throws Error for what is no prepared file, damaged or hostile.
    explicit PreparedStore(const std::string& file);
    ~PreparedStore() override;

    std::span<const std::int64_t> offsets() const override { return offsets_; }
    void read(std::int64_t begin, std::span<std::int32_t> tokens,
              std::span<float> weights) const override;
    std::string place(std::int64_t document) const override;
    const std::string& digest() const override { return digest_; }
    const std::shared_ptr<const Tokenizer>& tokenizer() const override { return tokenizer_; }
    const std::string& name() const override { return name_; }

    const prepared::Totals& totals() const noexcept { return totals_; }
    /// The files it was prepared from, as they were named, and the first document of each.
    const std::vector<std::string>& sources() const noexcept { return sources_; }
    const std::vector<std::int64_t>& first_documents() const noexcept { return first_documents_; }
    std::uint64_t file_size() const noexcept { return file_size_; }

  private:
    class Opening;
    [[noreturn]] void fail_damaged(std::int64_t begin, std::int64_t end,
                                   const std::string& what) const;
    void read_bytes(std::uint64_t offset, std::span<std::byte> bytes) const;
    void read_checked(std::int64_t begin, std::span<std::int32_t> tokens,
                      std::span<float> weights) const;
    void verify(std::int64_t piece) const;
    void check_ends(std::int64_t begin, std::int64_t end) const;

    std::string name_;
    int descriptor_ = -1;
    std::uint64_t file_size_ = 0, tokens_at_ = 0, weights_at_ = 0;
    bool narrow_tokens_ = true;
    std::vector<std::int64_t> offsets_, lines_, first_documents_;
    std::vector<std::uint32_t> token_checksums_, weight_checksums_;
    std::vector<std::string> sources_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    prepared::Totals totals_;
    std::string digest_;

    mutable std::mutex mutex_;            ///< of what follows
    mutable std::vector<bool> verified_;  ///< pieces
    mutable std::vector<std::byte> scratch_;
};

}  // namespace evengrad
