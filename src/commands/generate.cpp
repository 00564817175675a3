#include "train/generate.hpp"

#include <cstdio>

#include <fmt/core.h>

#include "commands/options.hpp"
#include "commands/verbs.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/dataset.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

int generate_command(const Arguments& arguments) {
    bool help = false;
    std::string checkpoint, prompt;
    GenerateConfig config;
    OptionTable table("evengrad generate: text from a checkpoint");
    table.add("help", help, true, "this text");
    table.add("checkpoint", checkpoint, "checkpoint file or run folder");
    table.add("prompt", prompt, "text to go on from");
    table.add("max-new-tokens", config.max_new_tokens, "bytes to generate at most");
    table.add("temperature", config.temperature,
              "1: as trained, lower: likelier text, 0: likeliest");
    table.add("top-k", config.top_k, "choose among this many likeliest tokens; 0: among all");
    table.add("seed", config.seed, "same seed, same text");
    std::vector<std::string> problems;
    table.parse(arguments, problems);
    table.finish(problems);
    if (help) {
        fmt::print("{}", table.help());
        return 0;
    }
    if (checkpoint.empty()) problems.push_back("--checkpoint is missing: what to generate from");
    const auto more = config.validate();
    problems.insert(problems.end(), more.begin(), more.end());
    fail_on(problems, "generate");

    prepare_machine();
    const CheckpointInfo info = read_checkpoint_info(find_checkpoint(checkpoint));
    const ByteTokenizer tokenizer;
    if (info.model.vocab_size != ByteTokenizer::vocabulary_size)
        throw Error(fmt::format("{}: a vocabulary of {}, the byte tokenizer has {}",
                                info.path.string(), info.model.vocab_size,
                                ByteTokenizer::vocabulary_size));
    const ParameterTable parameters(info.model);
    const auto weights = read_checkpoint_weights(info, parameters);
    std::vector<std::int32_t> tokens{ByteTokenizer::end_of_text};
    tokenizer.encode(prompt, tokens);
    fmt::print("{}", prompt);
    // Bytes as they come: a terminal puts the characters together.
    generate(info.model, parameters, weights, config, tokens, [&](std::int32_t token) {
        std::fputs(tokenizer.decode({&token, 1}).c_str(), stdout);
        std::fflush(stdout);
    });
    fmt::print("\n");
    return 0;
}

}  // namespace evengrad
