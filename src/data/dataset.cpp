#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/ranges.h>

#include "base/narrow.hpp"
#include "data/excerpt.hpp"
#include "data/memory_store.hpp"
#include "data/table_store.hpp"
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

/// Tokens at a time when many are looked at.
constexpr std::int64_t piece = 1 << 16;

/// The index of the document that a token is in.
std::int64_t find_document(const TokenStore& store, std::int64_t token) {
    const auto offsets = store.offsets();
    return std::upper_bound(offsets.begin(), offsets.end(), token) - offsets.begin() - 1;
}

}  // namespace

DataPart::DataPart(std::shared_ptr<const TokenStore> store)
    : store_(std::move(store)),
      begin_(0),
      end_(store_->tokens()),
      first_document_(0),
      last_document_(store_->documents()) {}

DataPart DataPart::slice(std::int64_t begin, std::int64_t end) const {
    EVENGRAD_CHECK(begin_ <= begin && begin < end && end <= end_, "tokens {} to {} of {} to {}",
                   begin, end, begin_, end_);
    DataPart part = *this;
    part.begin_ = begin;
    part.end_ = end;
    part.first_document_ = find_document(*store_, begin);
    part.last_document_ = find_document(*store_, end - 1) + 1;
    return part;
}

const std::string& DataPart::name() const {
    return store_->name();
}

std::pair<std::int64_t, std::int64_t> DataPart::document(std::int64_t d) const {
    const auto at = static_cast<std::size_t>(first_document_ + d);
    return {std::max(begin_, store_->offsets()[at]), std::min(end_, store_->offsets()[at + 1])};
}

std::int64_t DataPart::document_of(std::int64_t token) const {
    return find_document(*store_, token) - first_document_;
}

void DataPart::read(std::int64_t first, std::span<std::int32_t> tokens,
                    std::span<float> weights) const {
    const auto size = static_cast<std::int64_t>(std::max(tokens.size(), weights.size()));
    EVENGRAD_CHECK(first >= begin_ && size <= end_ - first, "tokens {}+{} of {} to {}", first, size,
                   begin_, end_);
    store_->read(first, tokens, weights);
}

RowShape DataPart::row_shape() const {
    return store_->row_shape();
}

void DataPart::read_row(std::int64_t d, std::span<float> features, std::span<float> values) const {
    EVENGRAD_CHECK(d >= 0 && d < documents(), "row {} of {}", d, documents());
    store_->read_row(first_document_ + d, features, values);
    if (scaling_) scaling_->apply(features);
}

bool DataPart::has_loss() const {
    std::vector<float> weights;
    // The first token is read, never predicted.
    for (std::int64_t from = begin_ + 1; from < end_; from += piece) {
        weights.resize(static_cast<std::size_t>(std::min(piece, end_ - from)));
        read(from, {}, weights);
        if (std::any_of(weights.begin(), weights.end(), [](float w) { return w > 0.0f; }))
            return true;
    }
    return false;
}

std::string DataPart::place(std::int64_t d) const {
    EVENGRAD_CHECK(d >= 0 && d < documents(), "document {} of {}", d, documents());
    return store_->place(first_document_ + d);
}

std::string DataPart::describe(std::int64_t d) const {
    const std::string where = place(d);
    const auto [first, last] = document(d);
    const Tokenizer& tokenizer = *store_->tokenizer();
    if (const RowShape shape = row_shape(); shape.values > 0) {
        constexpr std::int64_t shown = 8;
        std::vector<float> features(at(shape.features)), values(at(shape.values));
        store_->read_row(first_document_ + d, features, values);
        const auto head = std::span(values).first(at(std::min(shape.values, shown)));
        return fmt::format("{}: {} {}{}", where, shape.values == 1 ? "value" : "values",
                           fmt::join(head, ", "), shape.values > shown ? ", ..." : "");
    } else if (shape.features > 0) {
        std::int32_t row_class = 0;
        read(first + 1, {&row_class, 1}, {});
        return fmt::format("{}: class '{}'", where, excerpt(tokenizer.text_of(row_class)));
    }
    constexpr std::int64_t most_tokens = 120;  // 40 bytes, of which a token may have none
    std::vector<std::int32_t> tokens(at(std::min(last - first, most_tokens)));
    read(first, tokens, {});
    const std::string text = tokenizer.decode(tokens);
    if (text.empty()) return where + ": empty";
    return fmt::format("{}: begins '{}'", where, excerpt(text));
}

std::pair<DataPart, DataPart> DataPart::split_tail(double fraction) const {
    const double kept =
        static_cast<double>(begin_) + static_cast<double>(tokens()) * (1.0 - fraction);
    std::int64_t cut = begin_;
    if (documents() > 1) {
        const auto distance = [&](std::int64_t d) {
            return std::abs(static_cast<double>(document(d).first) - kept);
        };
        std::int64_t best = 1;
        for (std::int64_t d = 2; d < documents(); ++d)
            if (distance(d) < distance(best)) best = d;
        cut = document(best).first;
    } else if (tokens() >= 4) {
        // At least one token is read and one predicted on either side.
        const std::int64_t first = begin_ + 2, last = end_ - 2;
        cut = std::clamp(static_cast<std::int64_t>(std::llround(kept)), first, last);
        const auto may_cut = [&](std::int64_t place) {
            std::int32_t token = 0;
            read(place, {&token, 1}, {});
            return store_->tokenizer()->may_cut_before(token);
        };
        std::int64_t before = cut;
        while (before >= first && !may_cut(before)) --before;
        while (before < first && cut <= last && !may_cut(cut)) ++cut;
        cut = before >= first ? before : cut <= last ? cut : begin_;
    }
    if (cut == begin_)
        throw Error(
            fmt::format("{}: one document of {} tokens cannot be cut in two", name(), tokens()),
            "give held-out data in a file of its own (--valid-data)");
    return {slice(begin_, cut), slice(cut, end_)};
}

Dataset::Dataset(Documents documents, std::shared_ptr<const Tokenizer> tokenizer)
    : parts_{DataPart(
          std::make_shared<const MemoryStore>(std::move(documents), std::move(tokenizer)))} {}

Dataset::Dataset(Table table, std::shared_ptr<const Tokenizer> classes)
    : parts_{DataPart(std::make_shared<const TableStore>(std::move(table), std::move(classes)))} {}

Dataset::Dataset(std::vector<DataPart> parts, std::vector<double> shares)
    : parts_(std::move(parts)), shares_(std::move(shares)) {
    EVENGRAD_CHECK(!parts_.empty(), "a dataset of nothing");
    EVENGRAD_CHECK(shares_.empty() || shares_.size() == parts_.size(), "{} shares of {} parts",
                   shares_.size(), parts_.size());
    const TokenizerSpec& first = parts_.front().store().tokenizer()->spec();
    for (const DataPart& part : parts_) {
        const TokenizerSpec& own = part.store().tokenizer()->spec();
        if (own != first)
            throw Error(fmt::format("{} has other tokens ({}) than {} ({})", part.name(),
                                    own.describe(), parts_.front().name(), first.describe()),
                        "prepare all files with one tokenizer");
        const RowShape shape = part.row_shape(), shape_of_first = parts_.front().row_shape();
        if (shape != shape_of_first)
            throw Error(
                fmt::format("{} has {} features and {} values, {} has {} and {}", part.name(),
                            shape.features, shape.values, parts_.front().name(),
                            shape_of_first.features, shape_of_first.values),
                "all files must have the same columns");
    }
}

std::int64_t Dataset::tokens() const {
    return std::accumulate(
        parts_.begin(), parts_.end(), std::int64_t{0},
        [](std::int64_t sum, const DataPart& part) { return sum + part.tokens(); });
}

std::int64_t Dataset::documents() const {
    return std::accumulate(
        parts_.begin(), parts_.end(), std::int64_t{0},
        [](std::int64_t sum, const DataPart& part) { return sum + part.documents(); });
}

const FeatureScaling* Dataset::scaling() const {
    return parts_.empty() ? nullptr : parts_.front().scaling_.get();
}

RowShape Dataset::row_shape() const {
    return parts_.empty() ? RowShape{} : parts_.front().row_shape();
}

Dataset Dataset::scaled(std::shared_ptr<const FeatureScaling> scaling) const {
    const std::int64_t features = row_shape().features;
    if (scaling->kind != FeatureScalingKind::none &&
        (std::cmp_not_equal(scaling->shift.size(), features) ||
         std::cmp_not_equal(scaling->scale.size(), features)))
        throw Error(fmt::format("{}: its rows have {} features, the input normalization is of {}",
                                source(), features, scaling->shift.size()),
                    "evaluate with data that have the columns of those trained on");
    Dataset result = *this;
    for (DataPart& part : result.parts_) {
        EVENGRAD_CHECK(!part.scaling_, "{} scaled twice", part.name());
        part.scaling_ = scaling;
    }
    return result;
}

bool Dataset::has_loss() const {
    return std::any_of(parts_.begin(), parts_.end(),
                       [](const DataPart& part) { return part.has_loss(); });
}

const std::shared_ptr<const Tokenizer>& Dataset::tokenizer() const {
    EVENGRAD_CHECK(!parts_.empty(), "the tokenizer of no data");
    return parts_.front().store().tokenizer();
}

std::string Dataset::source() const {
    std::vector<std::string> names;
    for (const DataPart& part : parts_) names.push_back(part.name());
    return fmt::format("{}", fmt::join(names, ", "));
}

std::string Dataset::digest() const {
    Digest all;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        all.add(parts_[i].store().digest());
        all.add(parts_[i].begin());
        all.add(parts_[i].end());
        all.add(shares_.empty() ? 0.0 : shares_[i]);
    }
    return all.hex();
}

std::pair<Dataset, Dataset> Dataset::split_tail(double fraction) const {
    if (!(fraction > 0.0 && fraction < 1.0))
        throw Error(
            fmt::format("the held-out fraction {} is not between 0 and 1 (exclusive)", fraction),
            "0.1 holds out the last tenth");
    std::vector<DataPart> heads, tails;
    for (const DataPart& part : parts_) {
        auto [head, tail] = part.split_tail(fraction);
        heads.push_back(std::move(head));
        tails.push_back(std::move(tail));
    }
    std::pair<Dataset, Dataset> result{Dataset(std::move(heads), shares_),
                                       Dataset(std::move(tails))};
    for (const Dataset* data : {&result.first, &result.second})
        if (!data->has_loss())
            throw Error(
                fmt::format("{}: a held-out fraction of {} leaves the {} part without a token that "
                            "carries loss",
                            source(), fraction, data == &result.first ? "training" : "held-out"),
                "change the fraction, or give held-out data in a file of its own (--valid-data)");
    return result;
}

}  // namespace evengrad
