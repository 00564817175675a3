// JSONL files. What is accepted must be what another JSON reader, one that builds values, finds in
// it: as many documents as lines, and in each the same text or ids with the same weights.
#include <sstream>

#include <nlohmann/json.hpp>

#include "data/readers.hpp"
#include "fuzz.hpp"

namespace evengrad::fuzz {
namespace {

using nlohmann::json;

/// Builds a document out of weighted parts.
struct Expected {
    SinkDocument document;
    const Tokenizer& tokenizer;

    void token(std::int32_t token, float weight) {
        document.tokens.push_back(token);
        document.weights.push_back(weight);
    }
    void text(const std::string& text, float weight) {
        for (const std::int32_t id : tokenizer.encode(text)) token(id, weight);
    }
};

/// What data/README.md says of a line that is good.
SinkDocument document_of(const json& line, MessageLoss loss, const Tokenizer& tokenizer,
                         std::int64_t number) {
    const double common = line.value("weight", 1.0);
    const auto weight = [&](std::size_t segment, double usual) {
        if (line.contains("weights"))
            return round_weight(line["weights"].at(segment).get<double>() + 0.0);
        return round_weight(usual * common + 0.0);
    };
    const std::int32_t end = tokenizer.end_of_text();
    Expected expected{{{}, {}, number}, tokenizer};
    expected.token(end, 0.0f);
    float last = 0.0f;
    if (line.contains("text")) {
        last = weight(0, 1.0);
        expected.text(line["text"], last);
    } else if (line.contains("prompt")) {
        expected.text(line["prompt"], weight(0, 0.0));
        last = weight(1, 1.0);
        expected.text(line["completion"], last);
    } else if (line.contains("messages")) {
        const json& messages = line["messages"];
        for (std::size_t i = 0; i < messages.size(); ++i) {
            const std::string role = messages[i]["role"];
            const bool learned = role == "assistant" || loss == MessageLoss::all;
            last = weight(i, messages[i].value("weight", learned ? 1.0 : 0.0));
            expected.text("<|" + role + "|>\n", 0.0f);
            expected.text(messages[i]["content"], last);
            if (role != "assistant")
                expected.text("\n", last);
            else if (i + 1 < messages.size())
                expected.token(end, last);
        }
    } else {
        const json& ids = line["input_ids"];
        last = ids.empty() ? round_weight(common + 0.0) : 0.0f;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            const bool masked = line.contains("labels") && line["labels"].at(i) == -100;
            last = masked ? 0.0f : weight(i, 1.0);
            const std::int32_t id = ids[i];
            const bool at_an_end = i == 0 || i + 1 == ids.size();
            if (id != end || !at_an_end) expected.token(id, last);
        }
    }
    expected.token(end, last);
    return expected.document;
}

void check(Choices choices) {
    static const std::shared_ptr<const Tokenizer> tokenizers[] = {
        make_tokenizer({}), make_tokenizer({"ids", 300, 7, ""})};
    static const CaseFile file(".jsonl");
    constexpr std::size_t read_sizes[] = {0, 1, 2, 3, 5, 16};
    const unsigned how = choices.byte();
    const Tokenizer& tokenizer = *tokenizers[how & 1U];
    ReadOptions options;
    options.message_loss = (how & 2U) != 0 ? MessageLoss::all : MessageLoss::assistant;
    set_read_size(read_sizes[(how >> 2) % 6]);
    CheckingSink sink(tokenizer);
    if (refused([&] { read_documents(file.write(choices.rest()), options, tokenizer, sink); }))
        return;

    sink.check_finished();
    std::string bytes(choices.rest());
    if (bytes.starts_with(byte_order_mark)) bytes.erase(0, byte_order_mark.size());
    std::istringstream lines(bytes);
    std::int64_t number = 0;
    std::size_t documents = 0;
    for (std::string line; std::getline(lines, line);) {
        ++number;
        if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
        FUZZ_CHECK(documents < sink.documents.size());
        const json value = json::parse(line);
        FUZZ_CHECK(sink.documents[documents++] ==
                   document_of(value, options.message_loss, tokenizer, number));
    }
    FUZZ_CHECK(documents == sink.documents.size());
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({data, size});
    return 0;
}
