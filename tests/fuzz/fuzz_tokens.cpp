// Token shards (.bin) of llm.c and nanoGPT, against a simple reading of the whole file.
#include <cstring>

#include "data/readers.hpp"
#include "fuzz.hpp"

namespace evengrad::fuzz {
namespace {

constexpr std::int32_t end_of_text = 7;

std::uint32_t number_at(std::string_view bytes, std::size_t at, std::size_t size) {
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data() + at, size);
    return value;
}

/// All ids of a file; nothing for one that isn't to be read.
std::optional<std::vector<std::int32_t>> ids_of(std::string_view file, std::uint32_t vocabulary) {
    std::size_t width = 2;
    std::optional<std::size_t> count;
    if (file.size() >= 4) {
        const std::uint32_t magic = number_at(file, 0, 4);
        if (magic == 20240522) return {};
        if (magic == 20240520 || magic == 20240801) {
            if (file.size() < 1024) return {};
            if (number_at(file, 4, 4) != (magic == 20240520 ? 1u : 7u)) return {};
            width = magic == 20240520 ? 2 : 4;
            count = number_at(file, 8, 4);
            file.remove_prefix(1024);
        }
    }
    if (file.size() % width != 0) return {};
    if (count && (*count > 0x7FFFFFFF || *count * width != file.size())) return {};
    std::vector<std::int32_t> ids;
    for (std::size_t at = 0; at < file.size(); at += width) {
        if (number_at(file, at, width) >= vocabulary) return {};
        ids.push_back(static_cast<std::int32_t>(number_at(file, at, width)));
    }
    return ids;
}

std::vector<SinkDocument> documents_of(const std::vector<std::int32_t>& ids) {
    std::vector<SinkDocument> documents;
    bool open = false;
    for (const std::int32_t id : ids) {
        if (!open && id == end_of_text) continue;
        if (!open) documents.push_back({{end_of_text}, {0.0f}, 0});
        documents.back().tokens.push_back(id);
        documents.back().weights.push_back(1.0f);
        open = id != end_of_text;
    }
    if (!open) return documents;
    documents.back().tokens.push_back(end_of_text);
    documents.back().weights.push_back(0.0f);
    return documents;
}

void check(Choices choices) {
    static const std::shared_ptr<const Tokenizer> tokenizers[] = {
        make_tokenizer({"ids", 300, end_of_text, ""}),
        make_tokenizer({"ids", 70000, end_of_text, ""})};
    static const CaseFile file(".bin");
    constexpr std::size_t read_sizes[] = {0, 1, 2, 3, 5, 16};
    const Tokenizer& tokenizer = *tokenizers[choices.below(2)];
    set_read_size(read_sizes[choices.below(6)]);
    // Most of a header means nothing; a short case shouldn't have to spell it.
    const bool with_header = choices.below(2) == 1;
    std::string bytes(choices.rest());
    if (with_header && bytes.size() >= 12) bytes.insert(12, 1024 - 12, '\0');
    CheckingSink sink(tokenizer);
    const bool was_refused =
        refused([&] { read_documents(file.write(bytes), {}, tokenizer, sink); });

    const auto ids = ids_of(bytes, static_cast<std::uint32_t>(tokenizer.vocabulary_size()));
    const auto expected = ids ? documents_of(*ids) : std::vector<SinkDocument>{};
    FUZZ_CHECK(was_refused == expected.empty());
    if (was_refused) return;
    sink.check_finished();
    FUZZ_CHECK(sink.documents == expected);
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({data, size});
    return 0;
}
