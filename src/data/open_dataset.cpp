#include <charconv>
#include <cmath>

#include "data/memory_store.hpp"
#include "data/readers.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

std::string lower_extension(const std::filesystem::path& path) {
    std::string extension = path.extension().string();
    for (char& letter : extension)
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    return extension;
}

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
        throw UsageError(fmt::format("--data {}: a share must be above 0 and at most 1e9", text));
    return {text.substr(0, colon), share};
}

std::vector<NamedFile> parse_files(const std::string& data) {
    std::vector<NamedFile> files;
    for (std::size_t begin = 0; begin <= data.size();) {
        const std::size_t end = std::min(data.find(',', begin), data.size());
        if (end > begin) files.push_back(parse_file(data.substr(begin, end - begin)));
        begin = end + 1;
    }
    return files;
}

std::shared_ptr<const TokenStore> open_store(const std::string& path,
                                             const std::shared_ptr<const Tokenizer>& tokenizer) {
    const std::string extension = lower_extension(path);
    Documents documents;
    if (extension == ".txt")
        documents = read_text(path, *tokenizer);
    else if (extension == ".jsonl")
        documents = read_jsonl(path, *tokenizer);
    else
        throw Error(fmt::format("{}: unknown kind of data file{}", path,
                                extension.empty() ? " (no extension)" : ""),
                    "known are .txt (one text) and .jsonl (one JSON object a line)");
    return std::make_shared<const MemoryStore>(std::move(documents), tokenizer);
}

}  // namespace

Dataset open_dataset(const std::string& data, const std::shared_ptr<const Tokenizer>& tokenizer) {
    std::vector<DataPart> parts;
    std::vector<double> shares;
    for (const NamedFile& file : parse_files(data)) {
        parts.emplace_back(open_store(file.path, tokenizer));
        if (file.share > 0.0) shares.push_back(file.share);
    }
    if (parts.empty()) throw UsageError(fmt::format("--data {}: names no file", data));
    if (!shares.empty() && shares.size() != parts.size())
        throw UsageError(fmt::format("--data {}: {} of {} files have a share", data, shares.size(),
                                     parts.size()),
                         "give a share to each, FILE:SHARE,FILE:SHARE, or to none");
    return Dataset(std::move(parts), std::move(shares));
}

}  // namespace evengrad
