#include "data/prepared_writer.hpp"

#include <algorithm>
#include <cmath>

#include <utf8.h>

#include "base/digest.hpp"
#include "base/replace.hpp"
#include "data/tokenizer_note.hpp"
#include "hdf5/nexus.hpp"
#include "hdf5/publish.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

using prepared::piece_tokens;

/// Runs back into one weight a token.
class PreparedWriter::WeightReader {
  public:
    explicit WeightReader(Spool& runs) : runs_(runs) {}

    void read(std::span<float> weights) {
        while (!weights.empty()) {
            if (run_.tokens == 0) runs_.read(std::as_writable_bytes(std::span(&run_, 1)));
            const auto count = std::min(static_cast<std::size_t>(run_.tokens), weights.size());
            std::fill_n(weights.begin(), count, run_.weight);
            weights = weights.subspan(count);
            run_.tokens -= static_cast<std::int64_t>(count);
        }
    }

  private:
    Spool& runs_;
    Run run_{0, 0.0F};
};

PreparedWriter::PreparedWriter(std::filesystem::path target,
                               std::shared_ptr<const Tokenizer> tokenizer)
    : target_(behind_links(std::move(target))),
      tokenizer_(std::move(tokenizer)),
      narrow_tokens_(tokenizer_->vocabulary_size() <= prepared::most_u16_tokens),
      has_text_(tokenizer_->spec().has_text()),
      tokens_(target_),
      runs_(target_) {
    refuse_stream(target_);
}

void PreparedWriter::begin_file(const std::string& name) {
    EVENGRAD_CHECK(first_documents_.empty() || first_documents_.back() < totals_.documents,
                   "{} has no documents", sources_.back());
    sources_.push_back(utf8::replace_invalid(name));
    first_documents_.push_back(totals_.documents);
}

void PreparedWriter::begin_document(std::int64_t line) {
    EVENGRAD_CHECK(!sources_.empty() && lines_.size() + 1 == offsets_.size(),
                   "a document in a document");
    lines_.push_back(line);
}

void PreparedWriter::add(std::span<const std::int32_t> tokens, float weight) {
    EVENGRAD_CHECK(lines_.size() == offsets_.size(), "tokens outside a document");
    EVENGRAD_CHECK(weight >= 0.0F && weight <= largest_weight &&
                       std::fmod(static_cast<double>(weight), weight_quantum) == 0.0,
                   "a token weight of {}", weight);
    const auto [least, most] = std::minmax_element(tokens.begin(), tokens.end());
    if (least == tokens.end()) return;
    EVENGRAD_CHECK(*least >= 0 && *most < tokenizer_->vocabulary_size(), "a token of {} or {}",
                   *least, *most);
    // In pieces, so that scratch memory doesn't grow with the document.
    for (auto rest = tokens; !rest.empty();) {
        const auto part = rest.first(std::min<std::size_t>(rest.size(), piece_tokens));
        rest = rest.subspan(part.size());
        weights_.assign(part.size(), weight);
        digest_.add(part, weights_);
        if (narrow_tokens_) {
            narrow_.resize(part.size());
            std::transform(part.begin(), part.end(), narrow_.begin(),
                           [](std::int32_t t) { return static_cast<std::uint16_t>(t); });
            tokens_.write(std::as_bytes(std::span(narrow_)));
        } else {
            tokens_.write(std::as_bytes(part));
        }
    }
    const auto count = static_cast<std::int64_t>(tokens.size());
    if (run_.tokens > 0 && weight != run_.weight) {
        runs_.write(std::as_bytes(std::span(&run_, 1)));
        run_.tokens = 0;
    }
    run_ = {run_.tokens + count, weight};
    totals_.tokens += count;
    if (weight > 0.0F) totals_.loss_tokens += count;
    if (has_text_)
        for (const std::int32_t token : tokens)
            totals_.text_bytes += static_cast<std::int64_t>(tokenizer_->text_of(token).size());
    totals_.weight += static_cast<double>(count) * static_cast<double>(weight);
}

void PreparedWriter::end_document() {
    EVENGRAD_CHECK(lines_.size() == offsets_.size() && totals_.tokens - offsets_.back() >= 2,
                   "a document of {} tokens", totals_.tokens - offsets_.back());
    offsets_.push_back(totals_.tokens);
    digest_.end_document();
    ++totals_.documents;
}

void PreparedWriter::write_pieces(hdf5::Group& root) {
    const auto count = static_cast<std::uint64_t>(totals_.tokens);
    const hdf5::Type type = narrow_tokens_ ? hdf5::Type::u16 : hdf5::Type::i32;
    hdf5::Dataset tokens =
        root.create_dataset("tokens", type, {count},
                            {{"long_name", std::string("token ids")}, {"units", std::string("1")}});
    hdf5::Dataset weights = root.create_dataset(
        "weights", hdf5::Type::f32, {count},
        {{"long_name", std::string("loss weight of each token")}, {"units", std::string("1")}});
    std::vector<std::uint32_t> token_checksums, weight_checksums;
    std::vector<std::int32_t> wide;
    WeightReader weight_reader(runs_);
    const auto copy = [&](auto& values, std::size_t size, std::uint64_t begin) {
        values.resize(size);
        tokens_.read(std::as_writable_bytes(std::span(values)));
        tokens.write(values, begin);
        token_checksums.push_back(crc32c(std::as_bytes(std::span(values))));
    };
    for (std::uint64_t begin = 0; begin < count; begin += piece_tokens) {
        const auto size =
            static_cast<std::size_t>(std::min<std::uint64_t>(piece_tokens, count - begin));
        if (narrow_tokens_)
            copy(narrow_, size, begin);
        else
            copy(wide, size, begin);
        weights_.resize(size);
        weight_reader.read(weights_);
        weights.write(weights_, begin);
        weight_checksums.push_back(crc32c(std::as_bytes(std::span(weights_))));
    }
    hdf5::Group checksums = root.create_group("checksums");
    checksums.set({{"algorithm", std::string("CRC-32C")}, {"piece_tokens", piece_tokens}});
    checksums.write("tokens", token_checksums, {token_checksums.size()});
    checksums.write("weights", weight_checksums, {weight_checksums.size()});
}

void PreparedWriter::publish() {
    EVENGRAD_CHECK(totals_.documents > 0 && lines_.size() + 1 == offsets_.size(),
                   "a prepared file of {} documents", totals_.documents);
    runs_.write(std::as_bytes(std::span(&run_, 1)));
    hdf5::PublishedFile file(target_);
    hdf5::write_root(file.root(), {prepared::schema, prepared::schema_version, ""});
    {
        hdf5::Group root = file.root();
        write_pieces(root);
        hdf5::Group documents = root.create_group("documents");
        documents.write("offset", offsets_, {offsets_.size()},
                        {{"long_name", std::string("first token of each document, and the end")},
                         {"units", std::string("tokens")}});
        documents.write("line", lines_, {lines_.size()},
                        {{"long_name", std::string("line where it begins, 0: no lines")},
                         {"units", std::string("1")}});
        hdf5::Group sources = root.create_group("sources");
        sources.write_texts("name", sources_, {{"long_name", std::string("file as it was named")}});
        sources.write("first_document", first_documents_, {first_documents_.size()});
        write_tokenizer(root, tokenizer_->spec());
        hdf5::Group totals = root.create_group("totals");
        totals.write_scalar("documents", totals_.documents);
        totals.write_scalar("tokens", totals_.tokens);
        totals.write_scalar("loss_tokens", totals_.loss_tokens);
        totals.write_scalar("weight", totals_.weight);
        totals.write_scalar("text_bytes", totals_.text_bytes);
        const std::string digest = digest_.hex();
        root.write_text("digest", digest,
                        {{"algorithm", std::string("XXH3-128 of tokens, weights, offsets")}});
        const prepared::Description description{
            offsets_, lines_, first_documents_, sources_, tokenizer_->spec(), totals_, digest};
        root.open_group("checksums")
            .write_text("description", description.digest(),
                        {{"algorithm", std::string("XXH3-128 of all but tokens and weights")}});
    }
    file.publish();
}

}  // namespace evengrad
