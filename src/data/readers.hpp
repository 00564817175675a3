// One reader a file format; read_dataset picks. Each gives at least one document or throws Error.
#pragma once

#include <filesystem>
#include <string_view>

#include <evengrad/dataset.hpp>

namespace evengrad {

inline constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

Dataset read_text(const std::filesystem::path& path, const ByteTokenizer& tokenizer);
Dataset read_jsonl(const std::filesystem::path& path, const ByteTokenizer& tokenizer);

/// Adds end_of_text, prompt (without loss), completion and end_of_text (both with loss).
void append_document(Dataset& data, std::string_view prompt, std::string_view completion,
                     std::int64_t line, const ByteTokenizer& tokenizer);

}  // namespace evengrad
