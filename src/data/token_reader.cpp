// Token ids in binary, little-endian, as two programs write them:
//   llm.c    dev/data/data_common.py, write_datafile: 256 int32 (magic, version, tokens, zeros),
//            then the ids, as uint16 (magic 20240520, version 1) or uint32 (20240801, version 7)
//   nanoGPT  data/*/prepare.py: ids as uint16 and nothing else
// A magic number read as nanoGPT's ids begins with one above 55,000: no id of GPT-2's vocabulary.
#include <algorithm>
#include <optional>

#include "data/document_writer.hpp"
#include "data/formats.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr std::size_t header_bytes = 256 * 4;

/// An unsigned integer of `size` bytes.
std::uint32_t load(std::string_view bytes, std::size_t at, std::size_t size) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
        value |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
    return value;
}

struct Layout {
    std::size_t token_bytes = 2;
    std::optional<std::int64_t> tokens;  ///< as the header says; none: up to the end
};

/// Consumes llm.c's header, if there is one.
Layout read_header(ByteStream& in) {
    struct Kind {
        std::uint32_t magic, version;
        std::size_t token_bytes;
    };
    constexpr Kind kinds[] = {{20240520, 1, 2}, {20240801, 7, 4}};
    constexpr std::uint32_t evaluation_magic = 20240522;

    while (in.bytes().size() < header_bytes && in.more()) continue;
    const std::string_view header = in.bytes().substr(0, header_bytes);
    if (header.empty())
        throw Error(fmt::format("{}: the file is empty", in.name()), "give a file with token ids");
    if (header.size() < 4) return {};
    const std::uint32_t magic = load(header, 0, 4);
    if (magic == evaluation_magic)
        throw Error(fmt::format("{}: an evaluation file of llm.c (multiple choice), not a shard of "
                                "training tokens",
                                in.name()),
                    "llm.c's shards of tokens begin with the number 20240520 or 20240801");
    const Kind* const kind = std::find_if(std::begin(kinds), std::end(kinds),
                                          [&](const Kind& k) { return k.magic == magic; });
    if (kind == std::end(kinds)) return {};
    if (header.size() < header_bytes)
        throw Error(fmt::format("{}: ends after {} of the {} bytes of llm.c's header", in.name(),
                                header.size(), header_bytes),
                    "the file was cut short: copy or make it again");
    const std::uint32_t version = load(header, 4, 4);
    if (version != kind->version)
        throw Error(fmt::format("{}: version {} of llm.c's format {}; version {} is known",
                                in.name(), version, magic, kind->version),
                    "make the file again with llm.c's dev/data scripts");
    const auto tokens = static_cast<std::int32_t>(load(header, 8, 4));
    if (tokens < 1)
        throw Error(fmt::format("{}: the header says {} tokens", in.name(), tokens),
                    "make the file again; llm.c's format holds 1 to 2147483647 tokens");
    in.consume(header_bytes);
    return {kind->token_bytes, tokens};
}

/// Cuts a stream of tokens into documents at end_of_text.
class TokenSplitter {
  public:
    TokenSplitter(const Tokenizer& tokenizer, DocumentWriter& writer)
        : end_of_text_(tokenizer.end_of_text()), writer_(writer) {}

    void add(std::span<const std::int32_t> tokens) {
        while (!tokens.empty()) {
            const auto end = std::find(tokens.begin(), tokens.end(), end_of_text_);
            const auto count = static_cast<std::size_t>(end - tokens.begin());
            if (count > 0) {
                if (!writer_.in_document()) writer_.begin(0);
                writer_.tokens(tokens.first(count), 1.0f);
            }
            if (end == tokens.end()) return;
            // Two in a row, or one at the beginning, end nothing.
            if (writer_.in_document()) writer_.end(1.0f);
            tokens = tokens.subspan(count + 1);
        }
    }

    /// A shard's last document may go on in the next one: nothing should learn that it ends.
    void finish() {
        if (writer_.in_document()) writer_.end(0.0f);
    }

  private:
    std::int32_t end_of_text_;
    DocumentWriter& writer_;
};

}  // namespace

void read_tokens(ByteStream& in, const Tokenizer& tokenizer, DocumentSink& sink) {
    const Layout layout = read_header(in);
    const auto vocabulary_size = static_cast<std::uint32_t>(tokenizer.vocabulary_size());
    DocumentWriter writer(tokenizer, sink, in.name(), false);
    TokenSplitter splitter(tokenizer, writer);
    std::vector<std::int32_t> tokens;
    std::int64_t count = 0;
    do {
        const std::string_view bytes = in.bytes();
        tokens.clear();
        for (std::size_t at = 0; at + layout.token_bytes <= bytes.size();
             at += layout.token_bytes) {
            const std::uint32_t token = load(bytes, at, layout.token_bytes);
            if (token >= vocabulary_size)
                throw Error(
                    fmt::format("{}: the id {} at byte offset {} is not in the vocabulary "
                                "(0 to {})",
                                in.name(), token, in.offset() + static_cast<std::int64_t>(at),
                                vocabulary_size - 1),
                    "is it a file of token ids, and the tokenizer theirs? "
                    "--tokenizer ids:VOCABULARY:END_OF_TEXT");
            tokens.push_back(static_cast<std::int32_t>(token));
        }
        count += static_cast<std::int64_t>(tokens.size());
        splitter.add(tokens);
        in.consume(tokens.size() * layout.token_bytes);
    } while (in.more());

    if (layout.tokens && (count != *layout.tokens || !in.bytes().empty()))
        throw Error(fmt::format("{}: {} than the {} tokens that its header says", in.name(),
                                count < *layout.tokens ? "shorter" : "longer", *layout.tokens),
                    "copy or make the file again");
    if (!in.bytes().empty())
        throw Error(fmt::format("{}: {} bytes, not a whole number of tokens of {} bytes", in.name(),
                                in.offset() + static_cast<std::int64_t>(in.bytes().size()),
                                layout.token_bytes),
                    "the file was cut short, or isn't one of token ids");
    splitter.finish();
    if (writer.documents() == 0)
        throw Error(fmt::format("{}: no documents in its {} token(s), all of them end-of-text",
                                in.name(), count),
                    "give a file with other tokens");
}

}  // namespace evengrad
