#include "train/generate.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>

#include <fmt/core.h>

#include "base/log.hpp"
#include "base/output_file.hpp"
#include "base/text.hpp"
#include "commands/options.hpp"
#include "commands/outputs.hpp"
#include "commands/prompts.hpp"
#include "commands/verbs.hpp"
#include "report/moving_line.hpp"
#include "train/state.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

struct GenerateOptions {
    GenerateConfig config;
    std::string checkpoint, prompt, prompts, output;
    bool help = false;

    /// @throws UsageError with all problems.
    explicit GenerateOptions(const Arguments& arguments);
};

GenerateOptions::GenerateOptions(const Arguments& arguments) {
    std::string log_level = "info";
    OptionTable table("evengrad generate: text from a checkpoint");
    table.add("help", help, true, "this text");
    table.add("checkpoint", checkpoint, "checkpoint file or run folder");
    table.add("prompt", prompt, "text to go on from");
    table.add(
        "prompts", prompts,
        "many instead: FILE.txt, a prompt a line, or FILE.jsonl with {\"prompt\": ...} lines");
    table.add("output", output,
              "file for the results of --prompts, as JSON lines; otherwise they are printed");
    table.add("max-new-tokens", config.max_new_tokens, "tokens to generate at most");
    table.add_list("stop", config.stop, "end the text before the first of these");
    table.add("temperature", config.sampling.temperature,
              "1: as trained, lower: likelier text, 0: likeliest");
    table.add("top-k", config.sampling.top_k,
              "choose among this many likeliest tokens; 0: among all");
    table.add("top-p", config.sampling.top_p,
              "choose among the fewest likeliest tokens with this probability together; 1: all");
    table.add("seed", config.sampling.seed, "same seed and prompt, same text; below 2^56");
    add_log_level(table, log_level);
    table.add_rivals("prompt", "prompts");
    table.means_nothing_without({"output"}, {"prompts"});
    table.means_nothing_with({"top-k", "top-p", "seed"}, "temperature", {"0"});
    std::vector<std::string> problems;
    table.parse(arguments, problems);
    table.finish(problems);
    if (help) {
        fmt::print("{}", table.help());
        return;
    }
    use_log_level(log_level, problems);
    check_outputs(table, {"output"}, problems);
    if (checkpoint.empty()) problems.push_back("--checkpoint is missing: what to generate from");
    try {
        check_utf8(prompt);
    } catch (const Error& error) {
        problems.push_back(fmt::format("--prompt: {}", error.what()));
    }
    const auto more = config.validate();
    problems.insert(problems.end(), more.begin(), more.end());
    fail_on(problems, "generate");
}

/// Writes to standard output, now. @throws Error when it can't.
void print_now(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (const std::string lost = lost_output(); !lost.empty()) throw Error(lost, lost_output_hint);
}

/// Prints a text as its bytes come; a terminal puts the characters together. On a terminal without
/// control characters, which a model from elsewhere may have been trained to say.
class Printer {
  public:
    void operator()(std::string_view text) {
        if (!terminal_) {
            print_now(text);
            return;
        }
        held_ += text;
        // Half a character, which the next byte may make a control character.
        const std::size_t whole = held_.size() - (held_.ends_with('\xC2') ? 1 : 0);
        print_now(printable(std::string_view(held_).substr(0, whole)));
        held_.erase(0, whole);
    }

  private:
    bool terminal_ = output_is_terminal();
    std::string held_;
};

/// Says once if prompts don't fit the model's window. @throws Error naming the prompt that has no
/// tokens.
void check_prompts(const Generator& generator, const std::vector<Prompt>& prompts) {
    std::size_t cut = 0;
    for (const Prompt& prompt : prompts) try {
            cut += static_cast<std::int64_t>(generator.encode(prompt.text).size()) >
                   generator.window();
        } catch (const Error& error) {
            throw Error(fmt::format("{}: {}", prompt.where, error.what()), error.hint());
        }
    if (cut > 0)
        log_warning(fmt::format(
            "{} longer than the model's {} tokens: it sees the last of them only",
            prompts.size() == 1 ? "the prompt is"
                                : fmt::format("{} of {} prompts are", cut, prompts.size()),
            generator.window()));
}

/// "answered 3/40 prompts  612 tokens/s  left 0:11"
std::string progress_line(std::size_t done, std::size_t prompts, std::int64_t tokens,
                          double seconds) {
    const auto share = static_cast<double>(done) / static_cast<double>(prompts);
    return fmt::format("answered {}/{} prompts  {:.0f} tokens/s  left {}", done, prompts,
                       static_cast<double>(tokens) / std::max(seconds, 1e-9),
                       format_duration(seconds * (1.0 / share - 1.0)));
}

void answer_all(Generator& generator, const std::vector<Prompt>& prompts,
                std::optional<OutputFile>& output) {
    std::optional<MovingLine> progress;
    if (output && output_is_terminal() && logs(LogLevel::info)) progress.emplace(stdout);
    const double begin = monotonic_seconds();
    std::int64_t tokens = 0;
    std::size_t done = 0;
    for (const Prompt& prompt : prompts) {
        const GeneratedText result = generator(prompt.text, prompt.repetition, {});
        const std::string line = result_line(prompt, result);
        if (output)
            output->write(line);
        else
            print_now(line);
        tokens += result.tokens;
        ++done;
        if (progress)
            progress->draw(
                progress_line(done, prompts.size(), tokens, monotonic_seconds() - begin));
    }
    if (progress) progress->clear();
    if (output) output->publish();
}

}  // namespace

int generate_command(const Arguments& arguments) {
    GenerateOptions options(arguments);
    if (options.help) return 0;
    prepare_machine();
    // What can be refused is refused before the weights are read.
    const bool many = !options.prompts.empty();
    std::vector<Prompt> prompts;
    if (many)
        prompts = read_prompts(options.prompts);
    else
        prompts.push_back({options.prompt, 0, "--prompt"});
    std::optional<OutputFile> output;
    if (!options.output.empty()) output.emplace(options.output);

    const CheckpointInfo info = open_checkpoint(options.checkpoint, log_warning);
    if (info.model.is_mlp())
        throw UsageError(fmt::format("{}: a multilayer perceptron has no text to go on with",
                                     options.checkpoint),
                         "give the checkpoint of a gpt");
    const auto tokenizer = make_tokenizer(info.state.tokenizer);
    const ParameterTable table(info.model);
    AlignedBuffer<float> weights(table.flat_size());
    read_checkpoint_weights(info, table, weights.span());
    Generator generator(info.model.gpt(), table, weights.data(), *tokenizer, options.config);
    check_prompts(generator, prompts);
    if (many) {
        answer_all(generator, prompts, output);
        return 0;
    }
    Printer print;
    print(options.prompt);
    const bool numbers = tokenizer->spec().kind == "ids";  // which are to stay apart
    if (numbers && !options.prompt.empty() && options.prompt.back() != ' ') print(" ");
    generator(options.prompt, 0, std::ref(print));
    print("\n");
    return 0;
}

}  // namespace evengrad
