#include <algorithm>
#include <cmath>

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

/// 10xxxxxx: not the first byte of a UTF-8 character.
bool is_continuation(std::int32_t token) {
    return token >= 0x80 && token < 0xC0;
}

/// `text` for a one-line message on a terminal: control characters (C0, DEL, C1) as escapes.
std::string escape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
        if (byte == '\n')
            out += "\\n";
        else if (byte == '\r')
            out += "\\r";
        else if (byte == '\t')
            out += "\\t";
        else if (byte == '\\' || byte == '\'')
            (out += '\\') += text[i];
        else if (byte < 0x20 || byte == 0x7F)
            out += fmt::format("\\x{:02x}", byte);
        else if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {  // U+0080 to U+009F
            out += fmt::format("\\u{:04x}", next);
            ++i;
        } else
            out += text[i];
    }
    return out;
}

/// Documents first .. last-1 as a dataset of their own.
Dataset slice(const Dataset& data, std::int64_t first, std::int64_t last) {
    const std::int64_t from = data.offsets[static_cast<std::size_t>(first)];
    const std::int64_t to = data.offsets[static_cast<std::size_t>(last)];
    Dataset part;
    part.source = data.source;
    part.tokens.assign(data.tokens.begin() + from, data.tokens.begin() + to);
    part.loss.assign(data.loss.begin() + from, data.loss.begin() + to);
    part.lines.assign(data.lines.begin() + first, data.lines.begin() + last);
    part.offsets.assign(data.offsets.begin() + first, data.offsets.begin() + last + 1);
    for (std::int64_t& offset : part.offsets) offset -= from;
    return part;
}

/// Content token (0-based, end_of_text not counted) where the second part begins.
std::int64_t choose_cut(const Dataset& data, double fraction) {
    const auto content = static_cast<std::int64_t>(data.tokens.size()) - 2;
    const auto continues = [&](std::int64_t cut) {
        return is_continuation(data.tokens[static_cast<std::size_t>(cut + 1)]);
    };
    std::int64_t cut = 0;
    if (content >= 2) {
        const double kept = std::round(static_cast<double>(content) * (1.0 - fraction));
        const std::int64_t target =
            std::clamp(static_cast<std::int64_t>(kept), std::int64_t{1}, content - 1);
        cut = target;
        while (cut > 0 && continues(cut)) --cut;
        if (cut == 0)  // the target fell into the first character: cut behind it
            for (cut = 1; cut < content && continues(cut);) ++cut;
    }
    if (cut == 0 || cut >= content)
        throw Error(fmt::format("{}: one document of {} byte(s) cannot be cut in two", data.source,
                                std::max<std::int64_t>(content, 0)),
                    "give held-out data in a file of its own (--valid-data)");
    return cut;
}

std::pair<Dataset, Dataset> split_document(Dataset data, double fraction) {
    const std::int64_t cut = choose_cut(data, fraction) + 1;
    Dataset tail;
    tail.source = data.source;
    tail.tokens.push_back(ByteTokenizer::end_of_text);
    tail.loss.push_back(0);
    tail.tokens.insert(tail.tokens.end(), data.tokens.begin() + cut, data.tokens.end());
    tail.loss.insert(tail.loss.end(), data.loss.begin() + cut, data.loss.end());
    tail.offsets.push_back(static_cast<std::int64_t>(tail.tokens.size()));
    // Newlines of a text file are lines of the source; those inside a JSON string are not.
    std::int64_t line = data.lines.front();
    if (lower_extension(data.source) == ".txt")
        line += std::count(data.tokens.begin(), data.tokens.begin() + cut, '\n');
    tail.lines.push_back(line);

    // The text does not end at the cut: nothing should learn that it does.
    data.tokens.resize(static_cast<std::size_t>(cut));
    data.loss.resize(static_cast<std::size_t>(cut));
    data.tokens.push_back(ByteTokenizer::end_of_text);
    data.loss.push_back(0);
    data.offsets.back() = static_cast<std::int64_t>(data.tokens.size());
    return {std::move(data), std::move(tail)};
}

}  // namespace

std::string Dataset::describe(std::int64_t document) const {
    EVENGRAD_CHECK(document >= 0 && document < documents(), "document {} of {}", document,
                   documents());
    constexpr std::size_t limit = 40;
    const auto index = static_cast<std::size_t>(document);
    const auto first = static_cast<std::size_t>(offsets[index]);
    const auto last = static_cast<std::size_t>(offsets[index + 1]);
    std::string text;
    for (std::size_t i = first; i < last && text.size() <= limit; ++i)
        if (tokens[i] != ByteTokenizer::end_of_text) text += static_cast<char>(tokens[i]);
    const bool cut = text.size() > limit;
    if (cut) {
        std::size_t end = limit;
        while (end > 0 && is_continuation(static_cast<unsigned char>(text[end]))) --end;
        text.resize(end);
    }
    const std::string where = fmt::format("{} line {}", source, lines[index]);
    if (text.empty()) return where + ": empty";
    return fmt::format("{}: begins '{}{}'", where, escape(text), cut ? "..." : "");
}

Dataset read_dataset(const std::filesystem::path& path, const ByteTokenizer& tokenizer) {
    const std::string extension = lower_extension(path);
    if (extension == ".txt") return read_text(path, tokenizer);
    if (extension == ".jsonl") return read_jsonl(path, tokenizer);
    throw Error(fmt::format("{}: unknown kind of data file{}", path.string(),
                            extension.empty() ? " (no extension)" : ""),
                "known are .txt (one text) and .jsonl (one JSON object a line)");
}

std::pair<Dataset, Dataset> split_tail(Dataset data, double fraction) {
    if (!(fraction > 0.0 && fraction < 1.0))
        throw Error(
            fmt::format("the held-out fraction {} is not between 0 and 1 (exclusive)", fraction),
            "0.1 holds out the last tenth");
    EVENGRAD_CHECK(data.documents() > 0, "splitting a dataset without documents");

    std::pair<Dataset, Dataset> parts;
    if (data.documents() == 1) {
        parts = split_document(std::move(data), fraction);
    } else {
        const double kept = static_cast<double>(data.tokens.size()) * (1.0 - fraction);
        const auto distance = [&](std::int64_t offset) {
            return std::abs(static_cast<double>(offset) - kept);
        };
        const auto boundary = std::min_element(
            data.offsets.begin() + 1, data.offsets.end() - 1,
            [&](std::int64_t a, std::int64_t b) { return distance(a) < distance(b); });
        const std::int64_t cut = boundary - data.offsets.begin();
        parts = {slice(data, 0, cut), slice(data, cut, data.documents())};
    }
    for (const Dataset* part : {&parts.first, &parts.second})
        if (std::find(part->loss.begin(), part->loss.end(), 1) == part->loss.end())
            throw Error(
                fmt::format("{}: a held-out fraction of {} leaves the {} part without a "
                            "token that carries loss",
                            part->source, fraction, part == &parts.first ? "training" : "held-out"),
                "change the fraction, or give held-out data in a file of its own "
                "(--valid-data)");
    return parts;
}

}  // namespace evengrad
