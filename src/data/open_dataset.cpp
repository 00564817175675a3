#include "data/memory_store.hpp"
#include "data/named_file.hpp"
#include "data/prepared_store.hpp"
#include "data/readers.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

bool is_prepared(const std::string& path) {
    return path.ends_with(".h5");
}

/// For a file that is neither prepared nor read raw. Nobody here has a --format.
constexpr const char* unknown_data_hint =
    "known are .h5 (what evengrad prepare writes), .txt (text), .jsonl (one JSON object a line) "
    "and .bin (token ids), the last three also with .gz behind; tables are for train --model mlp";

std::shared_ptr<const TokenStore> read_into_memory(
    const std::string& path, const std::shared_ptr<const Tokenizer>& tokenizer) {
    MemorySink sink;
    const InputFormat format = format_of(path, InputFormat::automatic, unknown_data_hint);
    read_documents(path, {.format = format}, *tokenizer, sink);
    return std::make_shared<const MemoryStore>(std::move(sink.documents), tokenizer);
}

}  // namespace

bool names_prepared_file(const std::string& file) {
    return is_prepared(parse_file(file).path);
}

Dataset open_dataset(const std::vector<std::string>& files,
                     std::shared_ptr<const Tokenizer> tokenizer) {
    NamedFiles named = parse_files(files);
    std::vector<std::shared_ptr<const TokenStore>> stores(files.size());
    for (std::size_t i = 0; i < files.size(); ++i) {
        if (!is_prepared(named.paths[i])) continue;
        stores[i] = std::make_shared<const PreparedStore>(named.paths[i]);
        if (!tokenizer) tokenizer = stores[i]->tokenizer();
    }
    if (!tokenizer) tokenizer = make_tokenizer({});
    std::vector<DataPart> parts;
    for (std::size_t i = 0; i < files.size(); ++i)
        parts.emplace_back(stores[i] ? stores[i] : read_into_memory(named.paths[i], tokenizer));
    // A file of other tokens than were asked for, or than the others have, is refused here.
    if (parts.front().store().tokenizer()->spec() != tokenizer->spec())
        throw Error(
            fmt::format("{} was prepared with another tokenizer ({}) than is asked for ({})",
                        parts.front().name(), parts.front().store().tokenizer()->spec().describe(),
                        tokenizer->spec().describe()),
            // Asked for by an option, by the training data or by a checkpoint.
            "prepare the file again with the tokenizer asked for, or give raw files, which are "
            "read with any; where --tokenizer asked for it, leaving that out takes the file's");
    return Dataset(std::move(parts), std::move(named.shares));
}

}  // namespace evengrad
