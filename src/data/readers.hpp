// Raw data files, of whatever format, as documents.
#pragma once

#include <filesystem>
#include <string_view>

#include "data/byte_stream.hpp"
#include "data/document_sink.hpp"
#include <evengrad/tokenizer.hpp>

namespace evengrad {

enum class InputFormat {
    automatic,  ///< by extension: .txt text, .jsonl jsonl, .bin tokens, each also with .gz behind
    text,
    jsonl,
    tokens
};
/// What is a document in a text file.
enum class DocumentRule {
    file,
    line,       ///< each line that isn't blank, without its newline
    blank_line  ///< each paragraph: lines between blank ones, without the last newline
};
/// Which of a conversation's messages carry loss, unless the file gives weights.
enum class MessageLoss { assistant, all };

struct ReadOptions {
    InputFormat format = InputFormat::automatic;
    DocumentRule documents = DocumentRule::file;        ///< matters for text only
    MessageLoss message_loss = MessageLoss::assistant;  ///< matters for JSONL only
    ByteStream::Progress progress = {};
};

/// What to do about an unknown kind of file: prepare's inputs, which have a --format.
inline constexpr const char* unknown_input_hint =
    "known are .txt (text), .jsonl (one JSON object a line) and .bin (token ids), each also with "
    ".gz behind; --format says what a file of another name is; tables are for train --model mlp, "
    "as they are";

/// What a file is: `given`, unless that leaves it to the file's name. @throws UsageError, with
/// `unknown_hint`, when it can't be told; Error when there is no such file, or a folder.
InputFormat format_of(const std::filesystem::path& path, InputFormat given,
                      const std::string& unknown_hint = unknown_input_hint);

/// Reads one file ("-": standard input, whose format must be given) into `sink`, in bounded memory:
/// a JSONL line may have 64 MiB, nothing else is held. data/README.md describes the formats.
/// @throws UsageError for a format that can't be told or doesn't go with the tokenizer; Error
/// naming file, line and byte for what is wrong with the file, which has at least one document. The
/// sink then has documents, perhaps an unfinished one, that are not to be used.
void read_documents(const std::filesystem::path& path, const ReadOptions& options,
                    const Tokenizer& tokenizer, DocumentSink& sink);

inline constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

}  // namespace evengrad
