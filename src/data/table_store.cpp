#include "data/table_store.hpp"

#include <algorithm>
#include <cmath>

#include "base/narrow.hpp"
#include "data/document_sink.hpp"
#include "data/tokenizer_kinds.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

bool are_finite(std::span<const float> numbers) {
    return std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); });
}

}  // namespace

TableStore::TableStore(Table table, std::shared_ptr<const Tokenizer> tokenizer)
    : table_(std::move(table)), tokenizer_(std::move(tokenizer)) {
    const Table& t = table_;
    const auto refuse = [&](const std::string& what) {
        throw Error(fmt::format("{}: {}", t.source, what));
    };
    const bool has_values = !t.value_names.empty();
    const std::size_t width = t.feature_names.size();
    const std::size_t targets =
        has_values ? t.values.size() / t.value_names.size() : t.classes.size();
    if (targets == 0) refuse("no rows");
    if (width == 0) refuse("no features");
    if (t.features.size() != targets * width)
        refuse(fmt::format("{} numbers are not {} rows of {} features", t.features.size(), targets,
                           width));
    if (t.values.size() != (has_values ? targets * t.value_names.size() : 0) ||
        t.classes.size() != (has_values ? 0 : targets))
        refuse(fmt::format("{} classes and {} values of {} columns for {} rows", t.classes.size(),
                           t.values.size(), t.value_names.size(), targets));
    if (!t.weights.empty() && t.weights.size() != targets)
        refuse(fmt::format("{} weights of {} rows", t.weights.size(), targets));
    if (!t.lines.empty() && t.lines.size() != targets)
        refuse(fmt::format("{} lines of {} rows", t.lines.size(), targets));
    if (!are_finite(t.features) || !are_finite(t.values)) refuse("a number is not finite");
    for (const float weight : t.weights)
        if (!(weight >= 0.0F && weight <= static_cast<float>(largest_weight)) ||
            round_weight(static_cast<double>(weight)) != weight)
            refuse(fmt::format("a row's weight of {}", weight));
    std::int32_t least = 0, most = 0;
    for (const std::int32_t row_class : t.classes) {
        least = std::min(least, row_class);
        most = std::max(most, row_class);
    }
    if (least < 0 || most >= most_classes)
        refuse(fmt::format("classes from {} to {}, they may go from 0 to {}", least, most,
                           most_classes - 1));
    if (!tokenizer_)
        tokenizer_ =
            make_tokenizer(has_values ? values_spec() : classes_spec(std::max(most, 1) + 1));
    if (tokenizer_->spec().kind != (has_values ? "values" : "classes"))
        refuse(fmt::format("rows with {}, their tokenizer is of {}",
                           has_values ? "values" : "classes", tokenizer_->spec().kind));
    if (most >= tokenizer_->vocabulary_size())
        refuse(fmt::format("class {} is none of the {}", most, tokenizer_->spec().describe()));

    offsets_.resize(targets + 1);
    for (std::size_t row = 0; row <= targets; ++row)
        offsets_[row] = 2 * static_cast<std::int64_t>(row);
    Digest digest;
    digest.add(has_values ? "values" : "classes");
    for (const std::size_t size : {targets, width, t.value_names.size()})
        digest.add(static_cast<std::uint64_t>(size));
    digest.add(std::span(t.features));
    digest.add(std::span(t.values));
    digest.add(std::span(t.classes));
    // Weights that are all 1 are the same data as none.
    if (std::any_of(t.weights.begin(), t.weights.end(), [](float w) { return w != 1.0F; }))
        digest.add(std::span(t.weights));
    digest_ = digest.hex();
}

void TableStore::read(std::int64_t begin, std::span<std::int32_t> read_tokens,
                      std::span<float> weights) const {
    const auto size = static_cast<std::int64_t>(std::max(read_tokens.size(), weights.size()));
    EVENGRAD_CHECK(begin >= 0 && size <= tokens() - begin, "tokens {}+{} of {}", begin, size,
                   tokens());
    for (std::size_t i = 0; i < at(size); ++i) {
        const std::size_t token = at(begin) + i, row = token / 2;
        const bool is_target = token % 2 == 1;
        if (!read_tokens.empty())
            read_tokens[i] = is_target && !table_.classes.empty() ? table_.classes[row] : 0;
        if (!weights.empty())
            weights[i] = !is_target ? 0.0F : table_.weights.empty() ? 1.0F : table_.weights[row];
    }
}

RowShape TableStore::row_shape() const {
    return {static_cast<std::int64_t>(table_.feature_names.size()),
            static_cast<std::int64_t>(table_.value_names.size())};
}

void TableStore::read_row(std::int64_t row, std::span<float> features,
                          std::span<float> values) const {
    const RowShape shape = row_shape();
    EVENGRAD_CHECK(row >= 0 && row < documents(), "row {} of {}", row, documents());
    EVENGRAD_CHECK(std::cmp_equal(features.size(), shape.features) &&
                       std::cmp_equal(values.size(), shape.values),
                   "{} features and {} values of {} and {}", features.size(), values.size(),
                   shape.features, shape.values);
    std::copy_n(table_.features.begin() + row * shape.features, shape.features, features.begin());
    std::copy_n(table_.values.begin() + row * shape.values, shape.values, values.begin());
}

std::string TableStore::place(std::int64_t row) const {
    const std::int64_t line = table_.lines.empty() ? 0 : table_.lines[at(row)];
    return line > 0 ? fmt::format("{} line {}", name(), line)
                    : fmt::format("{} row {}", name(), row + 1);
}

std::size_t TableStore::memory() const {
    const Table& t = table_;
    return (t.features.size() + t.values.size() + t.weights.size() + t.classes.size()) * 4 +
           (t.lines.size() + offsets_.size()) * 8;
}

}  // namespace evengrad
