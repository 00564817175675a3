// Files, gzip, standard input, progress: what all formats share.
#include "data/byte_stream.hpp"

#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "hdf5/scratch_folder.hpp"
#include "reading.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad::test {
namespace {

constexpr std::int64_t mib = std::int64_t{1} << 20;

class Streams : public ReaderTest {
  protected:
    std::string all_of(const std::filesystem::path& file, ByteStream::Progress progress = {}) {
        ByteStream in(file, std::move(progress));
        std::string bytes;
        while (in.more()) {
            EXPECT_EQ(in.offset(), static_cast<std::int64_t>(bytes.size()));
            bytes += in.bytes();
            in.consume(in.bytes().size());
        }
        EXPECT_FALSE(in.more());
        return bytes;
    }
};

/// Standard input is `descriptor` for a while; closes it.
class StandardInput {
  public:
    explicit StandardInput(int descriptor) : saved_(dup(STDIN_FILENO)) {
        dup2(descriptor, STDIN_FILENO);
        close(descriptor);
    }
    ~StandardInput() {
        dup2(saved_, STDIN_FILENO);
        close(saved_);
    }

  private:
    int saved_;
};

/// Bytes that don't compress.
std::string noise(std::size_t size) {
    std::string bytes;
    std::uint64_t state = 1;
    while (bytes.size() < size) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        bytes += static_cast<char>(state >> 56);
    }
    return bytes;
}

TEST_F(Streams, UnconsumedBytesStayInFrontOfThoseThatFollow) {
    const std::string bytes = noise(static_cast<std::size_t>(3 * mib));
    ByteStream in(write("a", bytes));
    std::size_t at = 0;
    while (in.more()) {
        ASSERT_TRUE(in.bytes() == std::string_view(bytes).substr(at, in.bytes().size()));
        const std::size_t count = in.bytes().size() * 2 / 3;
        in.consume(count);
        at += count;
        EXPECT_EQ(in.offset(), static_cast<std::int64_t>(at));
    }
    EXPECT_TRUE(in.bytes() == std::string_view(bytes).substr(at));
    EXPECT_THROW(in.consume(in.bytes().size() + 1), std::logic_error);
}

TEST_F(Streams, GzipComesDecompressed) {
    const std::string bytes = noise(static_cast<std::size_t>(2 * mib)) + std::string(3 << 20, 'a');
    EXPECT_TRUE(all_of(write("a.gz", gzip(bytes))) == bytes);
    EXPECT_TRUE(all_of(write("a.GZ", gzip(bytes) + gzip("") + gzip("end"))) == bytes + "end");
    EXPECT_EQ(all_of(write("empty.gz", gzip(""))), "");
    // The name decides.
    EXPECT_EQ(all_of(write("a.txt", gzip("b"))), gzip("b"));
}

TEST_F(Streams, DamagedGzipIsAnErrorThatNamesTheFile) {
    const std::string text(100, 'a'), whole = gzip(text), zeros(512, '\0');
    const auto problem = [&](const std::string& bytes) { return message_of("a.txt.gz", bytes); };
    EXPECT_EQ(problem(text), "a.txt.gz: is not gzip data");
    for (std::size_t size = 0; size < whole.size(); ++size)
        EXPECT_EQ(problem(whole.substr(0, size)),
                  "a.txt.gz: the compressed data ends too early: the file was cut short")
            << size;
    // A second member that is cut short, too.
    for (std::size_t size = 1; size < whole.size(); ++size)
        EXPECT_EQ(problem(whole + whole.substr(0, size)),
                  "a.txt.gz: the compressed data ends too early: the file was cut short")
            << size;
    for (const std::string& garbage : {std::string("garbage"), std::string("\x1F!"), zeros})
        EXPECT_EQ(problem(whole + garbage),
                  "a.txt.gz: something that is not gzip follows the compressed data");
    std::string damaged = whole;
    damaged[whole.size() - 8] ^= 1;  // the checksum
    EXPECT_EQ(problem(damaged), "a.txt.gz: the compressed data is damaged: incorrect data check");
    damaged = whole;
    damaged[whole.size() - 1] ^= 1;  // the length
    EXPECT_EQ(problem(damaged), "a.txt.gz: the compressed data is damaged: incorrect length check");
    damaged = whole;
    damaged[10] = '\xFF';  // the first block's type
    EXPECT_EQ(problem(damaged), "a.txt.gz: the compressed data is damaged: invalid block type");
}

TEST_F(Streams, GzipBombCostsNoMemory) {
    // 256 MiB of one line in about 256 KiB.
    const std::string part = gzip(std::string(64 << 20, 'a'));
    const std::string bomb = part + part + part + part;
    EXPECT_LT(bomb.size(), 1U << 19);

    class Counter final : public DocumentSink {
      public:
        std::int64_t tokens = 0;
        void begin_file(const std::string&) override {}
        void begin_document(std::int64_t) override {}
        void add(std::span<const std::int32_t> more, float) override {
            tokens += static_cast<std::int64_t>(more.size());
        }
        void end_document() override {}
    } counter;
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    read_documents(write("bomb.txt.gz", bomb), {}, *bytes_, counter);
    getrusage(RUSAGE_SELF, &after);
    EXPECT_EQ(counter.tokens, 256 * mib + 2);
    EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 8 * 1024);  // KiB

    EXPECT_EQ(message_of("bomb.jsonl.gz", bomb), "bomb.jsonl.gz line 1: longer than 64 MiB");
}

TEST_F(Streams, StandardInputThroughAPipe) {
    std::string text;
    for (int i = 0; text.size() < 300'000; ++i) text += fmt::format("line {} \xE2\x80\x94\n", i);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    std::thread writer([&] {
        for (std::size_t at = 0; at < text.size(); at += 1001) {  // characters cut anywhere
            const std::string part = text.substr(at, 1001);
            EXPECT_EQ(::write(ends[1], part.data(), part.size()),
                      static_cast<ssize_t>(part.size()));
        }
        close(ends[1]);
    });
    const StandardInput input(ends[0]);
    std::vector<std::int64_t> reads, totals;
    const RecordingSink sink =
        read("-", *bytes_,
             {.format = InputFormat::text, .progress = [&](std::int64_t done, std::int64_t total) {
                  reads.push_back(done);
                  totals.push_back(total);
              }});
    writer.join();
    EXPECT_EQ(sink.name, "-");
    EXPECT_TRUE(text_of(sink.documents.at(0)) == text);
    EXPECT_EQ(reads, std::vector{static_cast<std::int64_t>(text.size())});
    EXPECT_EQ(totals, std::vector<std::int64_t>{-1});
}

TEST_F(Streams, StandardInputNamesItselfAndWantsAFormat) {
    const auto from = [&](const std::string& bytes, const ReadOptions& options) {
        const StandardInput input(open(write("input", bytes).c_str(), O_RDONLY));
        return error_of("-", *bytes_, options);
    };
    const auto from_hint = [&](const std::string& bytes) { return from(bytes, {}).hint(); };
    EXPECT_STREQ(from("{}\n", {.format = InputFormat::jsonl}).what(),
                 "standard input line 1: the object has no keys");
    EXPECT_STREQ(from("", {.format = InputFormat::text}).what(),
                 "standard input: the file is empty");
    EXPECT_STREQ(from("a", {}).what(), "standard input has no extension that tells its format");
    // Of all verbs prepare alone reads it, and checks --format itself.
    EXPECT_NE(from_hint("a").find("evengrad prepare reads it"), std::string::npos);
    const Error error = from(gzip("a"), {.format = InputFormat::text});
    EXPECT_STREQ(error.what(),
                 "standard input line 1: not valid UTF-8 at byte offset 1 of the file");
    EXPECT_NE(error.hint().find("zcat"), std::string::npos);
    const StandardInput folder(open(path("").c_str(), O_RDONLY | O_DIRECTORY));
    EXPECT_EQ(message_of("-", ReadOptions{.format = InputFormat::text}),
              "standard input: reading failed: Is a directory");
}

TEST_F(Streams, ProgressCountsTheFilesOwnBytes) {
    const std::string bytes = noise(static_cast<std::size_t>(5 * mib / 2));
    for (const bool compressed : {false, true}) {
        const auto file = write(compressed ? "a.gz" : "a", compressed ? gzip(bytes) : bytes);
        const auto size = static_cast<std::int64_t>(std::filesystem::file_size(file));
        std::vector<std::int64_t> reads;
        all_of(file, [&](std::int64_t done, std::int64_t total) {
            EXPECT_EQ(total, size);
            reads.push_back(done);
        });
        ASSERT_EQ(reads.size(), 3U);
        for (std::size_t i = 1; i + 1 < reads.size(); ++i) EXPECT_GE(reads[i], reads[i - 1] + mib);
        EXPECT_EQ(reads.back(), size);
    }
}

TEST_F(Streams, FormatsAreToldByExtensionOrGiven) {
    for (const char* name : {"data.csv", "data", "data.json", "data.gz", "data.txt.bz2", ".txt"}) {
        const Error error = error_of(write(name, "a"), *bytes_);
        EXPECT_NE(std::string(error.what()).find("unknown kind of data file"), std::string::npos);
        for (const char* known : {".txt", ".jsonl", ".bin", ".gz", "--format"})
            EXPECT_NE(error.hint().find(known), std::string::npos);
        // What is trained on may be prepared, and there is no --format.
        const std::string hint = hint_of([&] { open_dataset({write(name, "a").string()}); });
        for (const char* known : {".h5", ".txt", ".jsonl", ".bin", ".gz", "--model mlp"})
            EXPECT_NE(hint.find(known), std::string::npos) << hint;
        EXPECT_EQ(hint.find("--format"), std::string::npos) << hint;
        EXPECT_EQ(texts_of(read(write(name, std::string(name).ends_with("gz") ? gzip("a") : "a"),
                                *bytes_, {.format = InputFormat::text})
                               .documents),
                  std::vector<std::string>{"a"});
    }
    EXPECT_EQ(message_of("none.csv", "a"), "none.csv: unknown kind of data file");
    EXPECT_EQ(message_of("none", "a"), "none: unknown kind of data file (no extension)");
    EXPECT_EQ(texts_of(read("pairs.JsonL", R"({"text":"a"})")), std::vector<std::string>{"a"});
    EXPECT_EQ(texts_of(read("pairs.jsonl.gz", gzip(R"({"text":"a"})"))),
              std::vector<std::string>{"a"});
}

TEST_F(Streams, MissingFolderPipeAndForbiddenFileAreErrors) {
    for (const std::string extension : {".txt", ".jsonl", ".txt.gz"}) {
        EXPECT_EQ(message_of(path("none" + extension)),
                  "none" + extension + ": there is no such file");
        std::filesystem::create_directory(path("folder" + extension));
        EXPECT_EQ(message_of(path("folder" + extension)),
                  "folder" + extension + ": is a folder, not a file");
        ASSERT_EQ(mkfifo(path("pipe" + extension).c_str(), 0600), 0);
        EXPECT_EQ(message_of(path("pipe" + extension)),
                  "pipe" + extension + ": is not a regular file");
    }
    const auto file = write("secret.txt", "a");
    std::filesystem::permissions(file, std::filesystem::perms::none);
    // Permissions don't bind root: read as another user for a moment.
    const bool root = geteuid() == 0;
    if (root) {
        ASSERT_EQ(seteuid(65534), 0);
    }
    const std::string message = message_of(file);
    if (root) {
        ASSERT_EQ(seteuid(0), 0);
    }
    EXPECT_EQ(message, "secret.txt: cannot be opened: Permission denied");
}

TEST_F(Streams, FailureToReadIsAnErrorNotAnEndOfFile) {
    // A regular file that opens, and whose first read fails: address 0 of this process.
    for (const std::string name : {"broken.txt", "broken.jsonl", "broken.txt.gz"}) {
        std::filesystem::create_symlink("/proc/self/mem", path(name));
        EXPECT_EQ(message_of(path(name)), name + ": reading failed: Input/output error");
    }
}

}  // namespace
}  // namespace evengrad::test
