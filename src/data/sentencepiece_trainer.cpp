#include "data/sentencepiece_trainer.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <limits>
#include <regex>

#include <sentencepiece_trainer.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/philox.hpp"
#include "data/sentencepiece_library.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

// SentencePiece leaves out longer lines (by default), so they are cut.
constexpr std::size_t longest_line = 4096;
constexpr std::size_t line_overhead = 64;  // bytes of memory

class Lines final : public sentencepiece::SentenceIterator {
  public:
    explicit Lines(std::vector<std::string> lines) : lines_(std::move(lines)) {}
    bool done() const override { return next_ == lines_.size(); }
    void Next() override {
        lines_[next_] = {};  // the library has its own copy by now
        ++next_;
    }
    const std::string& value() const override { return lines_[next_]; }
    sentencepiece::util::Status status() const override { return {}; }

  private:
    std::vector<std::string> lines_;
    std::size_t next_ = 0;
};

/// "M" and the model, or "E" and the library's reason.
std::string train_here(const SentencePieceTraining& training, std::vector<std::string> lines) {
    quiet_sentencepiece();
    Lines sentences(std::move(lines));
    std::string model;
    const auto status = sentencepiece::SentencePieceTrainer::Train(
        {
            {"model_type", training.kind},
            {"vocab_size", std::to_string(training.vocabulary)},
            {"normalization_rule_name", "identity"},
            {"add_dummy_prefix", "false"},
            {"remove_extra_whitespaces", "false"},
            {"allow_whitespace_only_pieces", "true"},
            {"byte_fallback", "true"},
            {"user_defined_symbols", "\n"},
            {"unk_id", "0"},
            {"bos_id", "-1"},
            {"eos_id", "1"},
            {"pad_id", "-1"},
            {"num_threads", "1"},
            {"max_sentence_length", std::to_string(2 * longest_line)},
            {"minloglevel", "3"},
        },
        &sentences, &model);
    return status.ok() ? "M" + model : std::string("E") + status.error_message();
}

void write_all(int descriptor, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

std::string read_all(int descriptor) {
    std::string bytes, buffer(std::size_t{1} << 16, '\0');
    for (;;) {
        const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return bytes;
        bytes.append(buffer, 0, static_cast<std::size_t>(got));
    }
}

/// Has the calling child end when its parent does: nobody would read what it makes.
void end_with_parent(pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);  // it was gone before that
}

[[noreturn]] void child(const SentencePieceTraining& training, std::vector<std::string> lines,
                        int result, int words) {
    ::dup2(words, STDERR_FILENO);
    std::string answer;
    try {
        answer = train_here(training, std::move(lines));
    } catch (const std::bad_alloc&) {
        answer = "Ethere is not enough memory";
    } catch (const std::exception& error) {
        answer = std::string("E") + error.what();
    }
    write_all(result, answer);
    ::_exit(0);
}

std::string last_line(const std::string& text) {
    const std::size_t end = text.find_last_not_of(" \n");
    if (end == std::string::npos) return "no reason given";
    const std::size_t begin = text.rfind('\n', end);
    return text.substr(begin + 1, end - begin);  // npos + 1 is 0
}

/// What the library's reason means for the user.
[[noreturn]] void fail(const SentencePieceTraining& training, const std::string& reason) {
    const std::string option =
        fmt::format("--train-tokenizer {}:{}", training.kind, training.vocabulary);
    std::smatch found;
    if (std::regex_search(reason, found, std::regex("value <= (\\d+)"))) {
        const std::string most = found[1].str();
        std::int32_t tokens = 0;  // stays 0 for what is no such number
        std::from_chars(most.data(), most.data() + most.size(), tokens);
        throw Error(
            fmt::format("{}: the text gives {} tokens only", option, most),
            tokens >= smallest_training
                ? fmt::format("--train-tokenizer {}:{}, or more text", training.kind, most)
                : fmt::format("a trained vocabulary has at least {} tokens: give more text, or "
                              "--tokenizer byte, which needs no training",
                              smallest_training));
    }
    if (std::regex_search(reason, found, std::regex("required_chars\\. (\\d+) vs (\\d+)")))
        throw Error(fmt::format("{}: the text's characters and the 256 bytes need {} tokens alone",
                                option, found[2].str()),
                    "ask for a larger vocabulary");
    throw Error(fmt::format("{}: SentencePiece gave up: {}", option, reason),
                "more text, or a smaller vocabulary, may help; --tokenizer byte needs no training");
}

}  // namespace

SentencePieceTraining parse_training(const std::string& option) {
    SentencePieceTraining training;
    const std::size_t colon = option.find(':');
    training.kind = option.substr(0, colon);
    const std::string number = colon == std::string::npos ? "" : option.substr(colon + 1);
    const char* const end = number.data() + number.size();
    const auto [stop, error] = std::from_chars(number.data(), end, training.vocabulary);
    if ((training.kind != "bpe" && training.kind != "unigram") || error != std::errc() ||
        stop != end)
        throw Error(
            fmt::format("--train-tokenizer must be bpe:TOKENS or unigram:TOKENS, not '{}'", option),
            "for example bpe:8000");
    if (training.vocabulary < smallest_training || training.vocabulary > largest_training)
        throw Error(fmt::format("--train-tokenizer {}: a vocabulary must be between {} and {}",
                                option, smallest_training, largest_training),
                    "for example bpe:8000");
    return training;
}

TextSample::TextSample(std::size_t byte_limit)
    : byte_limit_(byte_limit), first_dropped_(std::numeric_limits<std::uint64_t>::max()) {}

void TextSample::begin_file(const std::string&) {}
void TextSample::begin_document(std::int64_t) {}

void TextSample::add(std::span<const std::int32_t> tokens, float) {
    for (const std::int32_t token : tokens) {
        if (token > 255) continue;  // end_of_text
        const auto byte = static_cast<unsigned char>(token);
        ++bytes_;
        // A long line is cut before a space, at worst before a character.
        const bool full = line_.size() >= longest_line / 2 && byte == ' ';
        const bool very_full = line_.size() >= longest_line && (byte & 0xC0U) != 0x80U;
        if (byte == '\n' || full || very_full) end_line();
        if (byte != '\n') line_ += static_cast<char>(byte);
    }
}

void TextSample::end_document() {
    end_line();
}

void TextSample::end_line() {
    if (line_.empty()) return;
    const auto number = static_cast<std::uint64_t>(lines_++);
    const auto random = Philox(0, RandomPurpose::sampling)(
        static_cast<std::uint32_t>(number), static_cast<std::uint32_t>(number >> 32));
    const std::uint64_t key = std::uint64_t{random[0]} << 32 | random[1];
    if (key < first_dropped_) {
        kept_bytes_ += line_.size() + line_overhead;
        kept_.push({key, std::move(line_)});
        while (kept_bytes_ > byte_limit_ && kept_.size() > 1) {
            first_dropped_ = kept_.top().key;
            kept_bytes_ -= kept_.top().text.size() + line_overhead;
            kept_.pop();
        }
    }
    line_.clear();
}

std::vector<std::string> TextSample::take() {
    std::vector<std::string> lines;
    for (; !kept_.empty(); kept_.pop()) lines.push_back(kept_.top().text);
    kept_bytes_ = 0;
    return lines;
}

std::string train_sentencepiece(const SentencePieceTraining& training,
                                std::vector<std::string> lines) {
    if (lines.empty()) fail(training, "there is no text");
    int result[2] = {-1, -1};
    const int words = ::memfd_create("evengrad", MFD_CLOEXEC);
    if (words < 0 || ::pipe(result) != 0)
        throw Error(fmt::format("cannot train a tokenizer: {}", std::strerror(errno)),
                    "--tokenizer byte needs no training");
    std::fflush(nullptr);  // else the child, when it exits, writes what is buffered here
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0)
        throw Error(fmt::format("cannot train a tokenizer: {}", std::strerror(errno)),
                    "--tokenizer byte needs no training");
    if (pid == 0) {
        end_with_parent(parent);
        ::close(result[0]);
        child(training, std::move(lines), result[1], words);
    }
    ::close(result[1]);
    lines = {};
    const std::string answer = read_all(result[0]);
    ::close(result[0]);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    ::lseek(words, 0, SEEK_SET);
    const std::string said = read_all(words);
    ::close(words);
    if (WIFSIGNALED(status))
        fail(training, fmt::format("its process was ended by signal {}", WTERMSIG(status)));
    if (answer.empty()) fail(training, last_line(said));
    if (answer.front() == 'E') fail(training, answer.substr(1));
    return answer.substr(1);
}

}  // namespace evengrad
