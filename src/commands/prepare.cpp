// evengrad prepare: text, JSONL or token files become one prepared file.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/output_file.hpp"
#include "base/replace.hpp"
#include "base/text.hpp"
#include "commands/options.hpp"
#include "commands/verbs.hpp"
#include "data/prepared_writer.hpp"
#include "data/readers.hpp"
#include "data/sentencepiece_trainer.hpp"
#include "data/tokenizer_kinds.hpp"
#include "report/prepare_report.hpp"
#include "train/state.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

namespace fs = std::filesystem;

struct PrepareOptions {
    std::vector<std::string> inputs;
    fs::path output;
    ReadOptions reading;
    std::string tokenizer = "byte", training;
    std::int64_t show_masks = 0;
    bool overwrite = false;

    /// Where a trained model goes: beside DATA.h5, DATA.model.
    fs::path model_file() const { return fs::path(output).replace_extension(".model"); }
};

/// Passes documents on, and counts them for the progress line.
class CountingSink final : public DocumentSink {
  public:
    explicit CountingSink(DocumentSink& sink) : sink_(sink) {}
    void begin_file(const std::string& name) override { sink_.begin_file(name); }
    void begin_document(std::int64_t line) override { sink_.begin_document(line); }
    void add(std::span<const std::int32_t> tokens, float weight) override {
        sink_.add(tokens, weight);
    }
    void end_document() override {
        sink_.end_document();
        ++documents;
    }
    std::int64_t documents = 0;

  private:
    DocumentSink& sink_;
};

/// What would otherwise be found only after hours of reading.
void check_inputs(const std::vector<std::string>& inputs) {
    for (const std::string& input : inputs)
        if (input != "-") ByteStream{input};
}

/// Size of all inputs; 0 when one of them has none (standard input).
std::int64_t total_size(const std::vector<std::string>& inputs) {
    std::int64_t total = 0;
    for (const std::string& input : inputs) {
        std::error_code error;
        const auto size = fs::file_size(input, error);
        if (error) return 0;
        total += static_cast<std::int64_t>(size);
    }
    return total;
}

/// Reads all inputs into `sink`; returns the bytes read.
std::int64_t read_inputs(const PrepareOptions& options, const Tokenizer& tokenizer,
                         DocumentSink& sink) {
    CountingSink counting(sink);
    ReadingProgress progress(stdout, output_is_terminal());
    ReadingState state;
    state.total_bytes = total_size(options.inputs);
    const double begin = monotonic_seconds();
    for (const std::string& input : options.inputs) {
        state.file = input;
        const std::int64_t before = state.bytes;
        ReadOptions reading = options.reading;
        reading.progress = [&](std::int64_t read, std::int64_t) {
            state.bytes = before + read;
            state.documents = counting.documents;
            state.seconds = monotonic_seconds() - begin;
            progress.update(state);
        };
        read_documents(input, reading, tokenizer, counting);
    }
    progress.finish();
    return state.bytes;
}

/// The tokenizer that was asked for, trained on the inputs if need be.
std::shared_ptr<const Tokenizer> tokenizer_for(const PrepareOptions& options) {
    if (options.training.empty()) return open_tokenizer(options.tokenizer);
    const SentencePieceTraining training = parse_training(options.training);
    const double begin = monotonic_seconds();
    TextSample sample;
    read_inputs(options, *make_tokenizer({}), sample);
    const std::int64_t lines = sample.lines();
    std::vector<std::string> kept = sample.take();
    fmt::print("training   {} on {} of {} lines\n", options.training, kept.size(), lines);
    std::fflush(stdout);
    const std::string model = train_sentencepiece(training, std::move(kept));
    const auto tokenizer = make_tokenizer(sentencepiece_spec(model));
    OutputFile file(options.model_file());
    file.write(model);
    file.publish();
    fmt::print("trained    {} in {}: {}\n", tokenizer->spec().describe(),
               format_duration(monotonic_seconds() - begin), options.model_file().string());
    std::fflush(stdout);
    return tokenizer;
}

/// Everything that can be said before anything is read.
void check(const PrepareOptions& options, std::vector<std::string>& problems) {
    if (options.inputs.empty()) problems.push_back("--input is missing: what to prepare");
    if (options.output.empty())
        problems.push_back("--output is missing: the prepared file to write");
    else if (options.output.extension() != ".h5")
        problems.push_back(fmt::format("--output {} must end in .h5", options.output.string()));
    if (options.show_masks < 0)
        problems.push_back(
            fmt::format("--show-masks must be at least 0, not {}", options.show_masks));
    const auto standard_input = std::count(options.inputs.begin(), options.inputs.end(), "-");
    if (standard_input > 1) problems.push_back("--input: - can be there once");
    if (standard_input > 0 && options.reading.format == InputFormat::automatic)
        problems.push_back("--input -: standard input has no name that tells its --format");
    if (standard_input > 0 && !options.training.empty())
        problems.push_back(
            "--train-tokenizer reads the input twice, which - can't be: train on a "
            "file first, then give --tokenizer sentencepiece:FILE");
    if (!options.training.empty()) {
        try {
            parse_training(options.training);
        } catch (const Error& error) {
            problems.push_back(error.what());
        }
    }
}

/// Options about a format that none of the inputs has.
void check_use(const OptionTable& table, const PrepareOptions& options,
               std::vector<std::string>& problems) {
    const auto any = [&](InputFormat format) {
        return std::any_of(options.inputs.begin(), options.inputs.end(),
                           [&](const std::string& input) {
                               return format_of(input, options.reading.format) == format;
                           });
    };
    if (table.given("documents") && !any(InputFormat::text))
        problems.push_back("--documents means nothing: no --input is text");
    if (table.given("message-loss") && !any(InputFormat::jsonl))
        problems.push_back("--message-loss means nothing: no --input is JSONL");
}

void refuse_to_overwrite(const fs::path& file) {
    if (fs::exists(fs::symlink_status(file)))
        throw Error(fmt::format("{} is there already", file.string()),
                    "--overwrite replaces it, or give another --output");
}

/// Before hours of reading and training.
void check_folder(const fs::path& output) {
    const fs::path target = behind_links(output);
    const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
    const auto fail = [&](int reason, const std::string& hint) {
        throw Error(fmt::format("--output {}: files can't be made in {}: {}", output.string(),
                                folder.string(), std::strerror(reason)),
                    hint);
    };
    std::error_code error;
    if (const auto status = fs::status(folder, error); !fs::exists(status))
        fail(error ? error.value() : ENOENT,
             fmt::format("mkdir -p {} makes it, or give another --output", folder.string()));
    else if (!fs::is_directory(status))
        fail(ENOTDIR, "give a file in a folder");
    if (::access(folder.c_str(), W_OK | X_OK) != 0)
        fail(errno, "change its permissions, or give another --output");
}

void show_masks(const PreparedStore& store, std::int64_t count) {
    const bool color = output_is_terminal();
    for (std::int64_t d = 0; d < std::min(count, store.documents()); ++d)
        fmt::print("\n--- {}, {} tokens{}\n{}\n", printable(store.place(d)),
                   store.offsets()[static_cast<std::size_t>(d) + 1] -
                       store.offsets()[static_cast<std::size_t>(d)],
                   d > 0   ? ""
                   : color ? "; those with loss are colored"
                           : "; those with loss are in [brackets]",
                   masked_text(store, d, color));
}

double peak_memory() {
    rusage self{}, children{};
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    return 1024.0 * static_cast<double>(self.ru_maxrss + children.ru_maxrss);
}

}  // namespace

int prepare_command(const Arguments& arguments) {
    bool help = false;
    PrepareOptions options;
    std::string output, format = "auto", documents = "file", message_loss = "assistant",
                        log_level = "info";
    OptionTable table("evengrad prepare --input FILE... --output DATA.h5: tokens for train --data");
    table.add("help", help, true, "this text");
    table.add_list("input", options.inputs,
                   "files to read, several or repeated: .txt, .jsonl, .bin (token ids), also with "
                   ".gz behind; - is standard input");
    table.add("output", output, "the prepared file to write (.h5)");
    table.add("format", format, "what the inputs are, whatever their names: text, jsonl, tokens");
    table.add("documents", documents,
              "what a document is in text: a file, a line, or a blank-line (lines between blank "
              "ones)");
    table.add("message-loss", message_loss, "messages that carry loss: assistant, or all");
    table.add("tokenizer", options.tokenizer,
              "byte, sentencepiece:FILE, or ids:VOCABULARY:END_OF_TEXT for tokens of other "
              "programs");
    table.add(
        "train-tokenizer", options.training,
        fmt::format("bpe:TOKENS or unigram:TOKENS ({} to {}): trains a SentencePiece model on "
                    "the inputs (files: they are read twice), and writes it beside the "
                    "output (DATA.model)",
                    smallest_training, largest_training));
    table.add("show-masks", options.show_masks,
              "prints so many documents with the tokens that carry loss marked");
    table.add("overwrite", options.overwrite, true, "replaces an output that is there");
    add_log_level(table, log_level);
    table.add_rivals("tokenizer", "train-tokenizer");
    std::vector<std::string> problems;
    table.parse(arguments, problems);
    table.finish(problems);
    if (help) {
        fmt::print("{}", table.help());
        return 0;
    }
    use_log_level(log_level, problems);
    options.output = output;
    choose<InputFormat>("format", format, options.reading.format,
                        {{"auto", InputFormat::automatic},
                         {"text", InputFormat::text},
                         {"jsonl", InputFormat::jsonl},
                         {"tokens", InputFormat::tokens}},
                        problems);
    choose<DocumentRule>("documents", documents, options.reading.documents,
                         {{"file", DocumentRule::file},
                          {"line", DocumentRule::line},
                          {"blank-line", DocumentRule::blank_line}},
                         problems);
    choose<MessageLoss>("message-loss", message_loss, options.reading.message_loss,
                        {{"assistant", MessageLoss::assistant}, {"all", MessageLoss::all}},
                        problems);
    check(options, problems);
    fail_on(problems, "prepare");
    check_use(table, options, problems);
    fail_on(problems, "prepare");
    check_inputs(options.inputs);
    check_folder(options.output);
    if (!options.overwrite) {
        refuse_to_overwrite(options.output);
        if (!options.training.empty()) refuse_to_overwrite(options.model_file());
    }

    const double begin = monotonic_seconds();
    const auto tokenizer = tokenizer_for(options);
    const double tokenizing = monotonic_seconds();
    PreparedWriter writer(options.output, tokenizer);
    const auto bytes = static_cast<double>(read_inputs(options, *tokenizer, writer));
    writer.publish();
    const double end = monotonic_seconds();
    const PreparedStore store(options.output.string());
    fmt::print("{}time       {}, {}/s, at most {} of memory\n", printable(prepared_summary(store)),
               format_duration(end - begin), format_bytes(bytes / (end - tokenizing)),
               format_bytes(peak_memory()));
    show_masks(store, options.show_masks);
    return 0;
}

}  // namespace evengrad
