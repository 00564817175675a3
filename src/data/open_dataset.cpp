#include <charconv>
#include <cmath>

#include "data/memory_store.hpp"
#include "data/readers.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

struct NamedFile {
    std::string path;
    double share = 0.0;  ///< 0: none given
};

/// FILE or FILE:SHARE. A colon that no number follows belongs to the name.
NamedFile parse_file(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon + 1 == text.size()) return {text, 0.0};
    double share = 0.0;
    const char* const end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data() + colon + 1, end, share);
    if (stop != end || problem == std::errc::invalid_argument) return {text, 0.0};
    if (problem != std::errc() || !(share > 0.0 && share <= 1e9))
        throw UsageError(fmt::format("{}: a share must be above 0 and at most 1e9", text));
    return {text.substr(0, colon), share};
}

std::shared_ptr<const TokenStore> open_store(const std::string& path,
                                             const std::shared_ptr<const Tokenizer>& tokenizer) {
    MemorySink sink;
    read_documents(path, {}, *tokenizer, sink);
    return std::make_shared<const MemoryStore>(std::move(sink.documents), tokenizer);
}

}  // namespace

Dataset open_dataset(const std::vector<std::string>& files,
                     std::shared_ptr<const Tokenizer> tokenizer) {
    if (files.empty()) throw UsageError("--data names no file");
    if (!tokenizer) tokenizer = make_tokenizer({});
    std::vector<DataPart> parts;
    std::vector<double> shares;
    for (const std::string& text : files) {
        const NamedFile file = parse_file(text);
        parts.emplace_back(open_store(file.path, tokenizer));
        if (file.share > 0.0) shares.push_back(file.share);
    }
    if (!shares.empty() && shares.size() != parts.size())
        throw UsageError(fmt::format("{} of {} data files have a share (FILE:SHARE)", shares.size(),
                                     parts.size()),
                         "give a share to each of them or to none");
    return Dataset(std::move(parts), std::move(shares));
}

}  // namespace evengrad
