#include "train/generate.hpp"

#include <limits>

#include "base/digest.hpp"
#include "train/stop_text.hpp"

namespace evengrad {

std::vector<std::string> GenerateConfig::validate() const {
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    std::vector<std::string> problems = sampling.validate();
    if (max_new_tokens < 1 || max_new_tokens > most)
        problems.push_back(
            fmt::format("--max-new-tokens must be between 1 and {}, not {}", most, max_new_tokens));
    for (const std::string& text : stop)
        if (text.empty()) problems.emplace_back("--stop: an empty text would end everything");
    return problems;
}

std::string_view name_of(StoppedBy reason) {
    switch (reason) {
        case StoppedBy::end_of_text:
            return "end_of_text";
        case StoppedBy::stop:
            return "stop";
        case StoppedBy::max_new_tokens:
            break;
    }
    return "max_new_tokens";
}

Generator::Generator(const GptConfig& model, const ParameterTable& table, const float* weights,
                     const Tokenizer& tokenizer, GenerateConfig config)
    : tokenizer_(tokenizer),
      config_(std::move(config)),
      window_(model.seq_length),
      decoder_(model, table, weights) {
    if (model.vocab_size != tokenizer.vocabulary_size())
        throw Error(
            fmt::format("the model has a vocabulary of {}, its tokenizer ({}) of {}",
                        model.vocab_size, tokenizer.spec().describe(), tokenizer.vocabulary_size()),
            "use another checkpoint");
}

std::vector<std::int32_t> Generator::encode(std::string_view prompt) const {
    std::vector<std::int32_t> tokens{tokenizer_.end_of_text()};
    tokenizer_.encode(prompt, tokens);
    return tokens;
}

GeneratedText Generator::operator()(std::string_view prompt, std::uint32_t repetition,
                                    const std::function<void(std::string_view)>& emit) {
    GeneratedText result;
    StopText stop(config_.stop);
    const auto pass_on = [&](const std::string& text) {
        result.text += text;
        if (emit && !text.empty()) emit(text);
    };
    Draw draw{crc32c(std::as_bytes(std::span(prompt))), repetition, 0};
    std::vector<std::int32_t> tokens = encode(prompt);
    decoder_.restart();
    while (result.tokens < config_.max_new_tokens) {
        const std::int32_t next = sample(config_.sampling, decoder_.feed(tokens), draw);
        ++draw.position;
        ++result.tokens;
        if (next == tokenizer_.end_of_text()) {
            result.stopped_by = StoppedBy::end_of_text;
            break;
        }
        pass_on(stop.add(tokenizer_.text_of(next)));
        if (stop.stopped()) {
            result.stopped_by = StoppedBy::stop;
            break;
        }
        tokens.assign(1, next);
    }
    pass_on(stop.rest());
    return result;
}

}  // namespace evengrad
