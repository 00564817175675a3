#include <charconv>
#include <cmath>

#include "data/memory_store.hpp"
#include "data/prepared_store.hpp"
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
        throw UsageError(fmt::format("{}: a share must be above 0 and at most 1e9", text),
                         "a.h5:3 b.h5:1 takes three sequences of a.h5 for one of b.h5");
    return {text.substr(0, colon), share};
}

bool is_prepared(const std::string& path) {
    return path.ends_with(".h5");
}

std::shared_ptr<const TokenStore> read_into_memory(
    const std::string& path, const std::shared_ptr<const Tokenizer>& tokenizer) {
    MemorySink sink;
    read_documents(path, {}, *tokenizer, sink);
    return std::make_shared<const MemoryStore>(std::move(sink.documents), tokenizer);
}

}  // namespace

bool names_prepared_file(const std::string& file) {
    return is_prepared(parse_file(file).path);
}

Dataset open_dataset(const std::vector<std::string>& files,
                     std::shared_ptr<const Tokenizer> tokenizer) {
    if (files.empty()) throw UsageError("--data names no file");
    std::vector<std::shared_ptr<const TokenStore>> stores(files.size());
    std::vector<double> shares;
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < files.size(); ++i) {
        const NamedFile file = parse_file(files[i]);
        paths.push_back(file.path);
        if (file.share > 0.0) shares.push_back(file.share);
        if (!is_prepared(file.path)) continue;
        stores[i] = std::make_shared<const PreparedStore>(file.path);
        if (!tokenizer) tokenizer = stores[i]->tokenizer();
    }
    if (!shares.empty() && shares.size() != files.size())
        throw UsageError(fmt::format("{} of {} data files have a share (FILE:SHARE)", shares.size(),
                                     files.size()),
                         "give a share to each of them or to none");
    if (!tokenizer) tokenizer = make_tokenizer({});
    std::vector<DataPart> parts;
    for (std::size_t i = 0; i < files.size(); ++i)
        parts.emplace_back(stores[i] ? stores[i] : read_into_memory(paths[i], tokenizer));
    // A file of other tokens than were asked for, or than the others have, is refused here.
    if (parts.front().store().tokenizer()->spec() != tokenizer->spec())
        throw Error(
            fmt::format("{} was prepared with another tokenizer ({}) than is asked for ({})",
                        parts.front().name(), parts.front().store().tokenizer()->spec().describe(),
                        tokenizer->spec().describe()),
            "leave --tokenizer out, or prepare the file again with this one; raw files are read "
            "with "
            "any");
    return Dataset(std::move(parts), std::move(shares));
}

}  // namespace evengrad
