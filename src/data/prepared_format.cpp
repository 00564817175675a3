#include "data/prepared_format.hpp"

#include "base/digest.hpp"

namespace evengrad::prepared {

std::string Description::digest() const {
    Digest all;
    all.add(offsets);
    all.add(lines);
    all.add(first_documents);
    for (const std::string& source : sources) all.add(source);
    all.add(tokenizer.kind);
    all.add(tokenizer.vocabulary_size);
    all.add(tokenizer.end_of_text);
    all.add(tokenizer.model);
    all.add(totals.documents);
    all.add(totals.tokens);
    all.add(totals.loss_tokens);
    all.add(totals.weight);
    all.add(totals.text_bytes);
    all.add(digest_of_data);
    return all.hex();
}

}  // namespace evengrad::prepared
