#include <algorithm>

#include "base/narrow.hpp"
#include <evengrad/error.hpp>
#include <evengrad/plan.hpp>

namespace evengrad {

namespace {

/// Pieces of a run of tokens. Its last token is predicted but not read, so the next piece begins
/// with it.
std::int64_t pieces(std::int64_t tokens, std::int64_t seq_length) {
    return (std::max<std::int64_t>(tokens, 1) - 1 + seq_length - 1) / seq_length;
}

/// The last index whose value is at most `value`, in a rising list that begins at most there.
std::int64_t find(const std::vector<std::int64_t>& rising, std::int64_t value) {
    return std::upper_bound(rising.begin(), rising.end(), value) - rising.begin() - 1;
}

}  // namespace

Sequences::Sequences(const Dataset& data, SequenceMode mode, std::int64_t seq_length)
    : data_(&data), mode_(mode), seq_length_(seq_length), first_{0} {
    EVENGRAD_CHECK(seq_length > 0, "sequences of {} tokens", seq_length);
    for (const DataPart& part : data.parts()) {
        std::int64_t count = 0;
        if (mode == SequenceMode::stream) {
            count = pieces(part.tokens(), seq_length);
        } else {
            std::vector<std::int64_t>& first = first_of_document_.emplace_back();
            first.reserve(at(part.documents()) + 1);
            for (std::int64_t d = 0; d < part.documents(); ++d) {
                first.push_back(count);
                const auto [begin, end] = part.document(d);
                count += pieces(end - begin, seq_length);
            }
            first.push_back(count);
        }
        first_.push_back(first_.back() + count);
    }
}

std::int64_t Sequences::first_of(std::int64_t part) const {
    return first_[at(part)];
}

Sequence Sequences::operator[](std::int64_t id) const {
    EVENGRAD_CHECK(id >= 0 && id < size(), "sequence {} of {}", id, size());
    Sequence s;
    s.part = find(first_, id);
    const DataPart& part = data_->part(s.part);
    std::int64_t piece = id - first_[at(s.part)];
    std::int64_t begin = part.begin(), end = part.end();
    if (mode_ == SequenceMode::documents) {
        const std::vector<std::int64_t>& first = first_of_document_[at(s.part)];
        s.document = find(first, piece);
        piece -= first[at(s.document)];
        std::tie(begin, end) = part.document(s.document);
    }
    s.begin = begin + piece * seq_length_;
    s.length = narrow<std::int32_t>(std::min(seq_length_, end - 1 - s.begin));
    if (mode_ == SequenceMode::stream) s.document = part.document_of(s.begin);
    return s;
}

}  // namespace evengrad
