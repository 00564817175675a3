#include "data/prepared_store.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>

#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/replace.hpp"
#include "data/byte_stream.hpp"
#include "data/document_sink.hpp"
#include "data/tokenizer_note.hpp"
#include "hdf5/nexus.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

using prepared::piece_tokens;

namespace {

constexpr const char* prepare_again = "prepare it again: evengrad prepare --input ... --output ...";
// More than any real file has, so that a hostile one can't make us allocate without bound. (Numbers
// take the room in the file that they take in memory.)
constexpr std::uint64_t most_sources = std::uint64_t{1} << 20;
constexpr std::uint64_t source_bytes = std::uint64_t{16} << 20;

bool is_weight(float weight) {
    if (!(weight >= 0.0F && weight <= static_cast<float>(largest_weight))) return false;
    const double quanta = static_cast<double>(weight) / weight_quantum;
    return quanta == std::floor(quanta);
}

}  // namespace

/// The file while it is open through the library.
class PreparedStore::Opening {
  public:
    Opening(hdf5::Group root, PreparedStore& store) : root_(std::move(root)), store_(store) {}

    void read_all() {
        hdf5::check_root(root_, prepared::schema, prepared::major_version);
        store_.tokenizer_ = tokenizer();
        store_.offsets_ = numbers<std::int64_t>("documents/offset");
        store_.lines_ = numbers<std::int64_t>("documents/line");
        check_documents();
        const auto count = static_cast<std::uint64_t>(store_.tokens());
        store_.narrow_tokens_ = store_.tokenizer_->vocabulary_size() <= prepared::most_u16_tokens;
        store_.tokens_at_ =
            place_of("tokens", store_.narrow_tokens_ ? hdf5::Type::u16 : hdf5::Type::i32, count);
        store_.weights_at_ = place_of("weights", hdf5::Type::f32, count);
        store_.token_checksums_ = numbers<std::uint32_t>("checksums/tokens");
        store_.weight_checksums_ = numbers<std::uint32_t>("checksums/weights");
        const std::uint64_t pieces = (count + piece_tokens - 1) / piece_tokens;
        const std::int64_t size = root_.open_group("checksums").get<std::int64_t>("piece_tokens");
        if (store_.token_checksums_.size() != pieces || store_.weight_checksums_.size() != pieces ||
            size != piece_tokens)
            fail("checksums", fmt::format("{} and {} checksums, each of {} tokens, of {} tokens",
                                          store_.token_checksums_.size(),
                                          store_.weight_checksums_.size(), size, count));
        store_.verified_.resize(pieces);
        read_sources();
        read_totals();
        check_description();
    }

  private:
    [[noreturn]] void fail(const std::string& path, const std::string& what) const {
        throw Error(fmt::format("{}: {}", root_.open_group(path).where(), what), prepare_again);
    }

    std::shared_ptr<const Tokenizer> tokenizer() const {
        const TokenizerSpec spec = read_tokenizer(root_);
        try {
            return make_tokenizer(spec);
        } catch (const Error& error) {
            fail("tokenizer", error.what());
        }
    }

    /// Where the numbers of a dataset are, all of them in the file.
    std::uint64_t place_of(const hdf5::Dataset& dataset) const {
        const auto offset = dataset.contiguous_offset();
        if (!offset)
            throw Error(fmt::format("{}: isn't stored in one piece of this machine's numbers",
                                    dataset.where()),
                        prepare_again);
        const hdf5::Type type = dataset.type();
        const std::uint64_t width = type == hdf5::Type::u16 ? 2 : type == hdf5::Type::i64 ? 8 : 4;
        if (*offset > store_.file_size_ || dataset.size() > (store_.file_size_ - *offset) / width)
            throw Error(fmt::format("{}: reaches beyond the end of the file", dataset.where()),
                        prepare_again);
        return *offset;
    }
    std::uint64_t place_of(const std::string& path, hdf5::Type type, std::uint64_t count) const {
        const hdf5::Dataset dataset = root_.open_dataset(path);
        dataset.expect(type, {count});
        return place_of(dataset);
    }
    template <hdf5::Number T>
    std::vector<T> numbers(const std::string& path) const {
        const hdf5::Dataset dataset = root_.open_dataset(path);
        dataset.expect(hdf5::detail::type_of<T>());
        place_of(dataset);  // so it has no more elements than the file has room for
        return root_.read<T>(path, store_.file_size_);
    }

    void check_documents() const {
        const auto& offsets = store_.offsets_;
        if (offsets.size() < 2 || offsets.size() != store_.lines_.size() + 1)
            fail("documents",
                 fmt::format("{} offsets and {} lines", offsets.size(), store_.lines_.size()));
        if (offsets.front() != 0)
            fail("documents", fmt::format("the first offset is {}, not 0", offsets.front()));
        for (std::size_t d = 0; d + 1 < offsets.size(); ++d) {
            if (offsets[d + 1] < offsets[d] || offsets[d + 1] - offsets[d] < 2)
                fail("documents", fmt::format("document {} reaches from token {} to {}", d,
                                              offsets[d], offsets[d + 1]));
            if (store_.lines_[d] < 0)
                fail("documents", fmt::format("document {} is in line {}", d, store_.lines_[d]));
        }
    }

    void read_sources() const {
        store_.sources_ = root_.read_texts("sources/name", most_sources, source_bytes);
        const auto& first = store_.first_documents_ =
            numbers<std::int64_t>("sources/first_document");
        bool good = !first.empty() && first.size() == store_.sources_.size() && first[0] == 0 &&
                    first.back() < store_.documents();
        for (std::size_t s = 1; s < first.size(); ++s) good = good && first[s - 1] < first[s];
        if (!good) fail("sources", "its files don't fit its documents");
    }

    void read_totals() const {
        const hdf5::Group group = root_.open_group("totals");
        prepared::Totals& totals = store_.totals_;
        totals.documents = group.read_scalar<std::int64_t>("documents");
        totals.tokens = group.read_scalar<std::int64_t>("tokens");
        totals.loss_tokens = group.read_scalar<std::int64_t>("loss_tokens");
        totals.weight = group.read_scalar<double>("weight");
        totals.text_bytes = group.read_scalar<std::int64_t>("text_bytes");
        if (totals.documents != store_.documents() || totals.tokens != store_.tokens() ||
            totals.text_bytes < 0 || totals.loss_tokens < 0 || totals.loss_tokens > totals.tokens ||
            !(totals.weight >= 0.0 &&
              totals.weight <= largest_weight * static_cast<double>(totals.loss_tokens)))
            fail("totals", "they don't fit its documents and tokens");
        store_.digest_ = root_.read_text("digest", 64);
        if (store_.digest_.size() != 32 ||
            store_.digest_.find_first_not_of("0123456789abcdef") != std::string::npos)
            throw Error(fmt::format("{}: the digest is not one", store_.name_), prepare_again);
    }

    void check_description() const {
        if (root_.get<std::string>("schema_version") == prepared::version_without_description)
            return;
        const prepared::Description description{
            store_.offsets_,           store_.lines_,  store_.first_documents_, store_.sources_,
            store_.tokenizer_->spec(), store_.totals_, store_.digest_};
        if (root_.read_text("checksums/description", 64) != description.digest())
            fail("checksums", "documents, sources, tokenizer or totals aren't what was written");
    }

    hdf5::Group root_;
    PreparedStore& store_;
};

bool is_prepared_file(const std::filesystem::path& path) {
    try {
        const hdf5::File file = hdf5::File::open(path);
        return hdf5::schema_of(file.root()) == prepared::schema;
    } catch (const Error&) {
        return false;
    }
}

PreparedStore::PreparedStore(const std::string& file) : name_(file) {
    hdf5::File opened = hdf5::File::open(file);
    descriptor_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) fail_to("read", file, errno);
    try {
        file_size_ = static_cast<std::uint64_t>(status.st_size);
        Opening(opened.root(), *this).read_all();
        opened.close();
    } catch (const Error& error) {
        ::close(descriptor_);
        throw Error(error.what(), error.hint().empty() ? prepare_again : error.hint());
    } catch (...) {
        ::close(descriptor_);
        throw;
    }
}

PreparedStore::~PreparedStore() {
    ::close(descriptor_);
}

void PreparedStore::fail_damaged(std::int64_t begin, std::int64_t end,
                                 const std::string& what) const {
    throw Error(
        fmt::format("{}: tokens {} to {} (piece {}): {}", name_, begin, end - 1,
                    begin / piece_tokens, what),
        fmt::format("the file is damaged or was changed; prepare it again: evengrad prepare "
                    "--input {} --tokenizer {} --output {} --overwrite",
                    sources_.size() <= 4 ? fmt::format("{}", fmt::join(sources_, " "))
                                         : sources_.front() + " ...",
                    tokenizer_->spec().option(), name_));
}

void PreparedStore::read_bytes(std::uint64_t offset, std::span<std::byte> bytes) const {
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t got = ::pread(descriptor_, bytes.data() + done, bytes.size() - done,
                                    static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail_to("read", name_, errno);
        if (got == 0)
            throw Error(fmt::format("{}: was cut off while it was in use", name_), prepare_again);
        done += static_cast<std::size_t>(got);
    }
}

void PreparedStore::read(std::int64_t begin, std::span<std::int32_t> tokens,
                         std::span<float> weights) const {
    const auto size = static_cast<std::int64_t>(std::max(tokens.size(), weights.size()));
    EVENGRAD_CHECK(begin >= 0 && begin <= this->tokens() && size <= this->tokens() - begin,
                   "tokens {}+{} of {}", begin, size, this->tokens());
    EVENGRAD_CHECK(tokens.empty() || weights.empty() || tokens.size() == weights.size(),
                   "{} tokens with {} weights", tokens.size(), weights.size());
    const std::lock_guard lock(mutex_);
    // Piece by piece, so that scratch memory is bounded.
    for (std::int64_t at = begin; at < begin + size;) {
        const std::int64_t piece = at / piece_tokens;
        const std::int64_t end = std::min(begin + size, (piece + 1) * piece_tokens);
        if (!verified_[static_cast<std::size_t>(piece)]) verify(piece);
        const auto first = static_cast<std::size_t>(at - begin);
        const auto count = static_cast<std::size_t>(end - at);
        read_checked(at, tokens.empty() ? tokens : tokens.subspan(first, count),
                     weights.empty() ? weights : weights.subspan(first, count));
        at = end;
    }
}

void PreparedStore::verify(std::int64_t piece) const {
    const std::int64_t begin = piece * piece_tokens;
    const std::int64_t end = std::min(begin + piece_tokens, tokens());
    const std::size_t width = narrow_tokens_ ? 2 : 4;
    const auto part = [&](std::uint64_t at, std::size_t bytes, std::uint32_t checksum,
                          const char* what) {
        scratch_.resize(static_cast<std::size_t>(end - begin) * bytes);
        read_bytes(at + static_cast<std::uint64_t>(begin) * bytes, scratch_);
        if (crc32c(scratch_) != checksum)
            fail_damaged(begin, end, fmt::format("the {} don't have their checksum", what));
    };
    part(tokens_at_, width, token_checksums_[static_cast<std::size_t>(piece)], "tokens");
    part(weights_at_, 4, weight_checksums_[static_cast<std::size_t>(piece)], "weights");
    check_ends(begin, end);
    verified_[static_cast<std::size_t>(piece)] = true;
}

void PreparedStore::check_ends(std::int64_t begin, std::int64_t end) const {
    // Each offset but the last begins a document, each but the first ends one.
    for (auto offset = std::lower_bound(offsets_.begin(), offsets_.end(), begin);
         offset != offsets_.end() && *offset <= end; ++offset) {
        std::int32_t token = 0;
        float weight = 0.0F;
        if (*offset < end) {
            read_checked(*offset, {&token, 1}, {&weight, 1});
            if (token != tokenizer_->end_of_text() || weight != 0.0F)
                fail_damaged(*offset, *offset + 1,
                             "a document doesn't begin with end of text of weight 0");
        }
        if (*offset > begin) {
            read_checked(*offset - 1, {&token, 1}, {});
            if (token != tokenizer_->end_of_text())
                fail_damaged(*offset - 1, *offset, "a document doesn't end with end of text");
        }
    }
}

void PreparedStore::read_checked(std::int64_t begin, std::span<std::int32_t> tokens,
                                 std::span<float> weights) const {
    const auto at = static_cast<std::uint64_t>(begin);
    if (narrow_tokens_ && !tokens.empty()) {
        scratch_.resize(tokens.size() * 2);
        read_bytes(tokens_at_ + 2 * at, scratch_);
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            std::uint16_t token = 0;
            std::memcpy(&token, scratch_.data() + 2 * i, 2);
            tokens[i] = token;
        }
    } else if (!tokens.empty()) {
        read_bytes(tokens_at_ + 4 * at, std::as_writable_bytes(tokens));
    }
    if (!weights.empty()) read_bytes(weights_at_ + 4 * at, std::as_writable_bytes(weights));
    const std::int32_t vocabulary = tokenizer_->vocabulary_size();
    for (std::size_t i = 0; i < tokens.size(); ++i)
        if (tokens[i] < 0 || tokens[i] >= vocabulary)
            fail_damaged(begin + static_cast<std::int64_t>(i),
                         begin + static_cast<std::int64_t>(i) + 1,
                         fmt::format("token {} is not in the vocabulary (0 to {})", tokens[i],
                                     vocabulary - 1));
    for (std::size_t i = 0; i < weights.size(); ++i)
        if (!is_weight(weights[i]))
            fail_damaged(begin + static_cast<std::int64_t>(i),
                         begin + static_cast<std::int64_t>(i) + 1,
                         fmt::format("a weight of {}", weights[i]));
}

std::string PreparedStore::place(std::int64_t document) const {
    EVENGRAD_CHECK(document >= 0 && document < documents(), "document {} of {}", document,
                   documents());
    const auto next = std::upper_bound(first_documents_.begin(), first_documents_.end(), document);
    const auto source = static_cast<std::size_t>(next - first_documents_.begin()) - 1;
    const std::int64_t line = lines_[static_cast<std::size_t>(document)];
    // As ByteStream, and so every reader's message, calls it.
    const std::string& name = sources_[source] == "-" ? standard_input_name : sources_[source];
    if (line > 0) return fmt::format("{} line {}", name, line);
    return fmt::format("{} document {}", name, document - first_documents_[source] + 1);
}

}  // namespace evengrad
