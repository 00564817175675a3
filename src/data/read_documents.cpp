#include "data/formats.hpp"
#include "data/readers.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

InputFormat format_of(const std::filesystem::path& path, InputFormat given,
                      const std::string& unknown_hint) {
    if (given != InputFormat::automatic) return given;
    const std::string name = path.string();
    if (name == "-")
        throw UsageError("standard input has no extension that tells its format",
                         "evengrad prepare reads it (--input - --format text, jsonl or tokens) "
                         "into a file that can be trained on");
    std::string extension = extension_of(path);
    if (extension == ".gz")
        extension = extension_of(std::filesystem::path(path).replace_extension());
    if (extension == ".txt") return InputFormat::text;
    if (extension == ".jsonl") return InputFormat::jsonl;
    if (extension == ".bin") return InputFormat::tokens;
    const ByteStream readable(path);  // what isn't even a file is refused as that
    throw UsageError(fmt::format("{}: unknown kind of data file{}", name,
                                 extension.empty() ? " (no extension)" : ""),
                     unknown_hint);
}

void read_documents(const std::filesystem::path& path, const ReadOptions& options,
                    const Tokenizer& tokenizer, DocumentSink& sink) {
    const InputFormat format = format_of(path, options.format);
    if (format == InputFormat::tokens && tokenizer.spec().kind == "byte")
        throw UsageError(
            fmt::format("{}: token ids of another tokenizer, not bytes", path.string()),
            "say which vocabulary they are of: --tokenizer ids:VOCABULARY:END_OF_TEXT; "
            "GPT-2's is ids:50257:50256 (evaluate takes the checkpoint's)");
    ByteStream in(path, options.progress);
    sink.begin_file(path.string());
    if (format == InputFormat::text)
        read_text(in, options.documents, tokenizer, sink);
    else if (format == InputFormat::jsonl)
        read_jsonl(in, options.message_loss, tokenizer, sink);
    else
        read_tokens(in, tokenizer, sink);
}

void skip_byte_order_mark(ByteStream& in) {
    while (in.bytes().size() < byte_order_mark.size() && in.more()) continue;
    if (in.bytes().starts_with(byte_order_mark)) in.consume(byte_order_mark.size());
}

}  // namespace evengrad
