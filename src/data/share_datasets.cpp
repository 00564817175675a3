#include "data/share_datasets.hpp"

#include <algorithm>

#include "base/narrow.hpp"
#include "data/memory_store.hpp"
#include "data/table_store.hpp"

namespace evengrad {

namespace {

using Store = std::shared_ptr<const TokenStore>;

/// Rank 0's side and the others' are the same calls: what goes in on rank 0 comes out everywhere.
class Sharing {
  public:
    explicit Sharing(const Communicator& ranks) : ranks_(ranks), gives_(ranks.rank() == 0) {}

    bool gives() const { return gives_; }

    std::int64_t number(std::int64_t value) const {
        ranks_.broadcast(std::span(&value, 1), 0);
        return value;
    }
    std::string text(std::string value) const {
        ranks_.broadcast(value, 0);
        return value;
    }
    std::vector<std::string> texts(const std::vector<std::string>& values) const {
        std::vector<std::int64_t> sizes;
        std::string joined;
        for (const std::string& value : values) {
            sizes.push_back(std::ssize(value));
            joined += value;
        }
        ranks_.broadcast_resized(sizes, 0);
        ranks_.broadcast(joined, 0);
        std::vector<std::string> result;
        std::size_t begin = 0;
        for (const std::int64_t size : sizes) {
            result.push_back(joined.substr(begin, at(size)));
            begin += at(size);
        }
        return result;
    }
    /// `size` (rank 0's) numbers that `read(begin, piece)` gives there; empty on rank 0, which has
    /// them.
    template <class T, class Read>
    std::vector<T> numbers(std::int64_t size, const Read& read) const {
        constexpr std::int64_t most = (std::int64_t{4} << 20) / sizeof(T);
        size = number(size);
        std::vector<T> all(gives_ ? 0 : at(size));
        std::vector<T> own(gives_ ? at(std::min(size, most)) : 0);
        for (std::int64_t begin = 0; begin < size; begin += most) {
            const std::size_t count = at(std::min(most, size - begin));
            const auto piece =
                gives_ ? std::span(own).first(count) : std::span(all).subspan(at(begin), count);
            if (gives_) read(begin, piece);
            ranks_.broadcast(piece, 0);
        }
        return all;
    }
    template <class T>
    std::vector<T> numbers(std::span<const T> values) const {
        return numbers<T>(std::ssize(values), [&](std::int64_t begin, std::span<T> piece) {
            std::copy_n(values.begin() + begin, piece.size(), piece.begin());
        });
    }

  private:
    const Communicator& ranks_;
    bool gives_;
};

std::shared_ptr<const Tokenizer> share_tokenizer(const Sharing& sharing, const TokenStore* store) {
    TokenizerSpec spec = store ? store->tokenizer()->spec() : TokenizerSpec();
    spec.kind = sharing.text(spec.kind);
    spec.vocabulary_size = narrow<std::int32_t>(sharing.number(spec.vocabulary_size));
    spec.end_of_text = narrow<std::int32_t>(sharing.number(spec.end_of_text));
    spec.model = sharing.text(spec.model);
    return store ? store->tokenizer() : make_tokenizer(spec);
}

Store share_table(const Sharing& sharing, const TableStore* store,
                  std::shared_ptr<const Tokenizer> tokenizer) {
    static const Table none;
    const Table& own = store ? store->table() : none;
    Table table;
    table.source = sharing.text(own.source);
    table.feature_names = sharing.texts(own.feature_names);
    table.value_names = sharing.texts(own.value_names);
    table.features = sharing.numbers(std::span(own.features));
    table.classes = sharing.numbers(std::span(own.classes));
    table.values = sharing.numbers(std::span(own.values));
    table.weights = sharing.numbers(std::span(own.weights));
    table.lines = sharing.numbers(std::span(own.lines));
    if (sharing.gives()) return nullptr;
    return std::make_shared<const TableStore>(std::move(table), std::move(tokenizer));
}

Store share_documents(const Sharing& sharing, const TokenStore* store,
                      std::shared_ptr<const Tokenizer> tokenizer) {
    const std::int64_t tokens = store ? store->tokens() : 0;
    Documents documents;
    documents.source = sharing.text(store ? store->name() : "");
    documents.tokens = sharing.numbers<std::int32_t>(
        tokens,
        [&](std::int64_t begin, std::span<std::int32_t> piece) { store->read(begin, piece, {}); });
    documents.weights = sharing.numbers<float>(
        tokens, [&](std::int64_t begin, std::span<float> piece) { store->read(begin, {}, piece); });
    documents.offsets = sharing.numbers(store ? store->offsets() : std::span<const std::int64_t>());
    if (sharing.gives()) return nullptr;
    documents.lines.resize(documents.offsets.size() - 1);
    return std::make_shared<const MemoryStore>(std::move(documents), std::move(tokenizer));
}

/// One file: on rank 0 the store that is there.
Store share_store(const Sharing& sharing, const Store& own) {
    const auto* const table = dynamic_cast<const TableStore*>(own.get());
    const bool is_table = sharing.number(table != nullptr) != 0;
    auto tokenizer = share_tokenizer(sharing, own.get());
    Store store = is_table ? share_table(sharing, table, std::move(tokenizer))
                           : share_documents(sharing, own.get(), std::move(tokenizer));
    return own ? own : store;
}

/// The files that the datasets are parts of, each once.
std::vector<Store> stores_of(const std::vector<Dataset>& datasets) {
    std::vector<Store> stores;
    for (const Dataset& data : datasets)
        for (const DataPart& part : data.parts())
            if (std::find(stores.begin(), stores.end(), part.shared_store()) == stores.end())
                stores.push_back(part.shared_store());
    return stores;
}

}  // namespace

std::vector<Dataset> share_datasets(const Communicator& ranks, std::vector<Dataset> datasets) {
    const Sharing sharing(ranks);
    if (!sharing.gives()) datasets.clear();
    std::vector<Store> stores = stores_of(datasets);
    stores.resize(at(sharing.number(std::ssize(stores))));
    for (Store& store : stores) store = share_store(sharing, store);
    datasets.resize(at(sharing.number(std::ssize(datasets))));
    for (Dataset& data : datasets) {
        EVENGRAD_CHECK(!data.scaling(), "{} is scaled", data.source());
        std::vector<std::int64_t> parts;  // store, begin and end of each
        for (const DataPart& part : data.parts()) {
            const auto store = std::find(stores.begin(), stores.end(), part.shared_store());
            parts.insert(parts.end(), {store - stores.begin(), part.begin(), part.end()});
        }
        ranks.broadcast_resized(parts, 0);
        std::vector<double> shares = data.shares();
        ranks.broadcast_resized(shares, 0);
        if (sharing.gives()) continue;
        std::vector<DataPart> own;
        for (std::size_t i = 0; i < parts.size(); i += 3)
            own.push_back(DataPart(stores[at(parts[i])]).slice(parts[i + 1], parts[i + 2]));
        data = Dataset(std::move(own), std::move(shares));
    }
    return datasets;
}

}  // namespace evengrad
