// One reader a file format. Each puts at least one document into a sink, or throws Error naming
// file, line and byte.
#pragma once

#include "data/byte_stream.hpp"
#include "data/document_sink.hpp"
#include "data/readers.hpp"
#include <evengrad/tokenizer.hpp>

namespace evengrad {

void read_text(ByteStream& in, DocumentRule rule, const Tokenizer& tokenizer, DocumentSink& sink);
void read_jsonl(ByteStream& in, MessageLoss loss, const Tokenizer& tokenizer, DocumentSink& sink);
/// llm.c's and nanoGPT's token files.
void read_tokens(ByteStream& in, const Tokenizer& tokenizer, DocumentSink& sink);

/// Consumes a byte order mark at the beginning.
void skip_byte_order_mark(ByteStream& in);

}  // namespace evengrad
