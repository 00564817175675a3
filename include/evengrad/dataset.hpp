// Training text as tokens: the byte tokenizer, the readers of .txt and .jsonl, the held-out split.
//
// Everything here is @local; in a run only rank 0 reads data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evengrad {

/// Token b is the byte b; one more token marks where documents begin and end.
class ByteTokenizer {
  public:
    static constexpr std::int32_t end_of_text = 256;
    static constexpr std::int32_t vocabulary_size = 257;

    /// One token a byte; adds no end_of_text.
    std::vector<std::int32_t> encode(std::string_view text) const;
    /// The same, appended to `tokens`.
    void encode(std::string_view text, std::vector<std::int32_t>& tokens) const;

    /// The bytes of `tokens`; end_of_text is dropped. The result need not be valid UTF-8: a model
    /// may put any bytes in a row. @throws Error for a token outside the vocabulary.
    std::string decode(std::span<const std::int32_t> tokens) const;
};

/// Documents as tokens with loss flags, end to end. Document d is tokens[offsets[d] ..
/// offsets[d+1]) and begins and ends with end_of_text, so it has at least two tokens.
struct Dataset {
    std::vector<std::int32_t> tokens;      ///< [tokens]
    std::vector<std::uint8_t> loss;        ///< [tokens] 1: predicting this token carries loss. The
                                           ///< first token of a document never does.
    std::vector<std::int64_t> offsets{0};  ///< [documents + 1], from 0 to tokens.size()
    std::vector<std::int64_t> lines;  ///< [documents] line of the source, from 1, where it begins
    std::string source;               ///< the file, as it was named

    std::int64_t documents() const noexcept { return static_cast<std::int64_t>(lines.size()); }

    /// For messages: "FILE line 12: begins 'Call me Ish...'", at most 40 bytes of the text (whole
    /// characters), control characters escaped.
    std::string describe(std::int64_t document) const;
};

/// Reads by extension:
///   .txt    one document, loss on every byte and on its end. Valid UTF-8; a byte order mark at the
///           start is dropped.
///   .jsonl  one JSON object a line, each a document, blank lines skipped:
///           {"text": "..."}                         loss as above
///           {"prompt": "...", "completion": "..."}  loss on the completion and its end only
/// JSONL is streamed; a line may have 64 MiB.
/// @throws Error naming file, line and byte for another extension, other keys or types, broken
/// UTF-8 or JSON, a file that is missing, empty, unreadable, not a regular file.
Dataset read_dataset(const std::filesystem::path& path, const ByteTokenizer& tokenizer);

/// Cuts the last `fraction` of the tokens off: {the first part, the held-out part}.
/// Several documents: cut between the two where the parts come closest to the fraction, at least
/// one document in each. A single document: between two UTF-8 characters; both parts are closed
/// with end_of_text, without loss on the end that the cut made.
/// @throws Error unless 0 < fraction < 1, or when a part would have nothing to learn from.
std::pair<Dataset, Dataset> split_tail(Dataset data, double fraction);

}  // namespace evengrad
