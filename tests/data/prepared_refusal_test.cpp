// Prepared files that must not be used: damaged, cut off or hostile.
#include <sys/resource.h>

#include "data/prepared_files.hpp"
#include "data/sentencepiece_bytes.hpp"

namespace evengrad::test {
namespace {

class HostilePrepared : public PreparedFiles {
  protected:
    HostilePrepared() { content_ = write_documents(file_, make_tokenizer({}), 120, 8'000); }

    /// The message when everything in `file` is read.
    static std::string refusal(const fs::path& file) {
        return message_of<Error>([&] {
            const PreparedStore store(file.string());
            std::vector<std::int32_t> tokens(static_cast<std::size_t>(store.tokens()));
            std::vector<float> weights(tokens.size());
            store.read(0, tokens, weights);
        });
    }
    /// The message for a copy that lines of Python have changed.
    std::string edited(const std::string& change) {
        const fs::path copy = folder_ / "edited.h5";
        fs::copy_file(file_, copy, fs::copy_options::overwrite_existing);
        python(fmt::format("{}f = h5py.File('{}', 'r+')\n{}\nf.close()\n", helpers, copy.string(),
                           change));
        return refusal(copy);
    }

    /// put: another dataset in place of one. crc: checksums that fit what is there now; nor has the
    /// file a digest of the rest, which files of version 1.0 don't have.
    static constexpr const char* helpers = R"(
def put(f, path, values, **how):
    del f[path]
    f.create_dataset(path, data=values, **how)
table = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    table.append(n)
def crc(f):
    for name in 'tokens', 'weights':
        data, sums = f[name][()], []
        for begin in range(0, len(data), 65536):
            c = 0xFFFFFFFF
            for byte in data[begin:begin + 65536].tobytes():
                c = c >> 8 ^ table[(c ^ byte) & 255]
            sums.append(c ^ 0xFFFFFFFF)
        put(f, 'checksums/' + name, np.array(sums, 'u4'))
    f.attrs['schema_version'] = '1.0'
    del f['checksums/description']
)";
    Content content_;
};

TEST_F(HostilePrepared, TheUnchangedFileIsGood) {
    const fs::path copy = folder_ / "copy.h5";
    fs::copy_file(file_, copy);
    python(fmt::format("{}f = h5py.File('{}', 'r+')\ncrc(f)\nf.close()", helpers, copy.string()));
    expect_equal(PreparedStore(copy.string()), content_);
}

// One changed bit each, in what still makes sense.
TEST_F(HostilePrepared, NothingOfItMayChangeUnnoticed) {
    const std::string changes[] = {
        "f['documents/line'][7] ^= 1",
        "f['documents/offset'][7] ^= 1",
        "f['sources/first_document'][1] ^= 1",
        "f['totals/loss_tokens'][()] ^= 1",
        "f['totals/text_bytes'][()] ^= 1",
        "f['totals/weight'][()] -= 0.25",
        "put(f, 'sources/name', np.array(['a.jsonm', '-'], h5py.string_dtype()))",
        "put(f, 'digest', 'e' + f['digest'][()].decode()[1:], dtype=h5py.string_dtype())",
        "put(f, 'checksums/description', 'e' * 32, dtype=h5py.string_dtype())"};
    const char* what = "documents, sources, tokenizer or totals aren't what was written";
    for (const std::string& change : changes)
        EXPECT_TRUE(contains(edited(change), {"/checksums", what})) << change;
    content_ = write_documents(
        file_, make_tokenizer(sentencepiece_spec(model_bytes(piece("a") + piece("xyz")))), 10, 100);
    EXPECT_TRUE(contains(edited("m = f['tokenizer/model']\n"
                                "m[bytes(m[()]).index(b'xyz')] ^= 1"),
                         {"/checksums", what}));
}

TEST_F(HostilePrepared, WrongTypesAndShapesAreRefused) {
    EXPECT_TRUE(contains(edited("put(f, 'tokens', f['tokens'][()].astype('i4'))"),
                         {"/tokens", "is int32, expected uint16"}));
    EXPECT_TRUE(contains(edited("put(f, 'tokens', f['tokens'][()].astype('>u2'))"),
                         {"/tokens", "isn't stored in one piece of this machine's numbers"}));
    EXPECT_TRUE(contains(edited("put(f, 'tokens', f['tokens'][()], chunks=(1000,))"),
                         {"/tokens", "isn't stored in one piece"}));
    EXPECT_TRUE(contains(edited("put(f, 'tokens', f['tokens'][1:])"), {"/tokens", "shape"}));
    EXPECT_TRUE(
        contains(edited("put(f, 'tokens', f['tokens'][()].reshape(1, -1))"), {"/tokens", "shape"}));
    EXPECT_TRUE(
        contains(edited("put(f, 'tokens', 'text')"), {"/tokens", "is variable-length string"}));
    EXPECT_TRUE(contains(edited("del f['tokens']\nf.create_group('tokens')"), {"/tokens"}));
    EXPECT_TRUE(contains(edited("put(f, 'weights', f['weights'][()].astype('f8'))"),
                         {"/weights", "is float64, expected float32"}));
    EXPECT_TRUE(contains(edited("put(f, 'weights', f['weights'][1:])"), {"/weights", "shape"}));
    EXPECT_TRUE(
        contains(edited("put(f, 'documents/offset', f['documents/offset'][()].astype('f8'))"),
                 {"documents/offset", "float64"}));
    EXPECT_TRUE(contains(edited("put(f, 'documents/line', f['documents/line'][1:])"),
                         {"documents", "121 offsets and 119 lines"}));
    EXPECT_TRUE(
        contains(edited("put(f, 'checksums/tokens', f['checksums/tokens'][1:])"), {"checksums"}));
    EXPECT_TRUE(contains(edited("f['checksums'].attrs['piece_tokens'] = 1"), {"checksums"}));
    for (const char* name :
         {"tokens", "weights", "documents/offset", "documents/line", "digest", "checksums/weights",
          "sources/name", "tokenizer/data", "totals/weight"})
        EXPECT_TRUE(contains(edited(fmt::format("del f['{}']", name)), {"edited.h5", name}));
}

TEST_F(HostilePrepared, OffsetsThatMakeNoSenseAreRefused) {
    const auto with_offset = [&](const std::string& change) {
        return edited("crc(f)\no = f['documents/offset'][()]\n" + change +
                      "\nf['documents/offset'][...] = o");
    };
    EXPECT_TRUE(contains(with_offset("o[0] = 1"), {"documents", "the first offset is 1, not 0"}));
    EXPECT_TRUE(contains(with_offset("o[5] = o[4] - 1"), {"documents", "document 4 reaches from"}));
    EXPECT_TRUE(contains(with_offset("o[5] = o[4] + 1"), {"documents", "document 4 reaches from"}));
    EXPECT_TRUE(contains(with_offset("o[5] = -2**63"), {"documents", "document 4 reaches from"}));
    EXPECT_TRUE(
        contains(with_offset("o[5] = 2**63 - 1"), {"documents", "document 5 reaches from"}));
    EXPECT_TRUE(contains(with_offset("o[-1] = 2**62"), {"/tokens", "shape"}));
    EXPECT_TRUE(contains(with_offset("o[-1] += 1"), {"/tokens", "shape"}));
    EXPECT_TRUE(
        contains(with_offset("o[5] += 1 if o[5] - o[4] == 2 else -1"), {"a document doesn't"}));
    EXPECT_TRUE(contains(edited("f['documents/line'][3] = -1"), {"document 3 is in line -1"}));
    EXPECT_TRUE(contains(edited("f['sources/first_document'][1] = 120"), {"sources"}));
    EXPECT_TRUE(contains(edited("f['sources/first_document'][0] = 1"), {"sources"}));
    EXPECT_TRUE(contains(edited("f['sources/first_document'][1] = 0"), {"sources"}));
    EXPECT_TRUE(contains(edited("f['totals/tokens'][()] = 7"), {"totals"}));
    EXPECT_TRUE(contains(edited("f['totals/weight'][()] = np.nan"), {"totals"}));
    EXPECT_TRUE(
        contains(edited("put(f, 'digest', 'x' * 32, dtype=h5py.string_dtype())"), {"digest"}));
}

TEST_F(HostilePrepared, TokensAndWeightsAreChecked) {
    // With checksums that fit, as a forger would write them.
    EXPECT_TRUE(contains(edited("f['tokens'][70000] = 257\ncrc(f)"),
                         {"edited.h5", "tokens 70000 to 70000 (piece 1)",
                          "token 257 is not in the vocabulary (0 to 256)"}));
    for (const char* weight : {"np.nan", "np.inf", "-1", "65537", "2.0**-25", "1e-30"})
        EXPECT_TRUE(contains(edited(fmt::format("f['weights'][70001] = {}\ncrc(f)", weight)),
                             {"tokens 70001 to 70001 (piece 1)", "a weight of"}))
            << weight;
    EXPECT_TRUE(contains(edited("f['tokens'][0] = 65\ncrc(f)"),
                         {"tokens 0 to 0", "a document doesn't begin with end of text"}));
    EXPECT_TRUE(contains(edited("f['weights'][0] = 1\ncrc(f)"),
                         {"tokens 0 to 0", "a document doesn't begin with end of text"}));
    EXPECT_TRUE(contains(edited("f['tokens'][f['documents/offset'][7] - 1] = 65\ncrc(f)"),
                         {"a document doesn't end with end of text"}));
}

TEST_F(HostilePrepared, AFlippedBitIsFoundInItsPiece) {
    EXPECT_TRUE(contains(
        edited("f['tokens'][131071] ^= 1"),
        {"edited.h5", "tokens 65536 to 131071 (piece 1)", "the tokens don't have their checksum"}));
    EXPECT_TRUE(contains(edited("f['weights'][0] = 2"), {"piece 0", "the weights don't have"}));
    const PreparedStore store((folder_ / "edited.h5").string());
    std::vector<std::int32_t> tokens(10);
    EXPECT_NO_THROW(store.read(65'536, tokens, {})) << "other pieces are good";
}

TEST_F(HostilePrepared, WhoPreparesADamagedFileAgainIsToldItsTokenizer) {
    const auto hint = [&](const TokenizerSpec& spec) {
        write_documents(folder_ / "damaged.h5", make_tokenizer(spec), 2, 30);
        python(fmt::format("h5py.File('{}', 'r+')['tokens'][1] ^= 1",
                           (folder_ / "damaged.h5").string()));
        return hint_of([&] {
            std::vector<std::int32_t> tokens(2);
            PreparedStore((folder_ / "damaged.h5").string()).read(0, tokens, {});
        });
    };
    EXPECT_TRUE(contains(hint({}), {"--input a.jsonl - --tokenizer byte --output "}));
    EXPECT_TRUE(contains(hint({"ids", 300, 299, ""}), {"--tokenizer ids:300:299 "}));
    EXPECT_EQ((TokenizerSpec{"sentencepiece", 600, 1, "..."}).option(), "sentencepiece:FILE.model");
}

TEST_F(HostilePrepared, CutAndChangedFilesAreErrors) {
    const std::string good = bytes_of(file_);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{100}, good.size() / 2, good.size() - 1}) {
        write_bytes(folder_ / "cut.h5", good.substr(0, size));
        EXPECT_TRUE(contains(refusal(folder_ / "cut.h5"), {"cut.h5"})) << size;
    }
    EXPECT_TRUE(contains(refusal(folder_ / "none.h5"), {"none.h5", "No such file"}));
    // While it is in use: cut, then written over.
    write_bytes(folder_ / "used.h5", good);
    const PreparedStore store((folder_ / "used.h5").string());
    std::vector<std::int32_t> tokens(10);
    store.read(0, tokens, {});
    fs::resize_file(folder_ / "used.h5", 3000);
    EXPECT_TRUE(contains(message_of<Error>([&] { store.read(100'000, tokens, {}); }),
                         {"used.h5", "was cut off while it was in use"}));
    write_bytes(folder_ / "used.h5", std::string(good.size(), '\xFF'));
    EXPECT_TRUE(contains(message_of<Error>([&] { store.read(100, tokens, {}); }),
                         {"used.h5", "is not in the vocabulary"}));
    EXPECT_TRUE(contains(message_of<Error>([&] { store.read(100'000, tokens, {}); }),
                         {"used.h5", "don't have their checksum"}));
}

std::size_t peak_memory() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

TEST_F(HostilePrepared, HostileSizesAreRefusedBeforeAnythingIsAllocated) {
    const std::size_t before = peak_memory();
    const auto huge = [](const char* path, const char* type, const char* how = "") {
        return fmt::format("del f['{0}']\nf.create_dataset('{0}', (1 << 40,), '{1}'{2})", path,
                           type, how);
    };
    // Never written: they take no room in the file.
    EXPECT_TRUE(contains(edited(huge("documents/offset", "i8")), {"documents/offset"}));
    EXPECT_TRUE(contains(edited(huge("documents/offset", "i8", ", chunks=(1 << 16,)")),
                         {"documents/offset"}));
    EXPECT_TRUE(contains(edited(huge("documents/line", "i8")), {"documents/line"}));
    EXPECT_TRUE(contains(edited(huge("sources/first_document", "i8")), {"first_document"}));
    EXPECT_TRUE(contains(edited(huge("checksums/tokens", "u4")), {"checksums/tokens"}));
    EXPECT_TRUE(
        contains(edited("del f['sources/name']\nf.create_dataset('sources/name', (1 << 30,), "
                        "h5py.string_dtype(), chunks=(1 << 10,))"),
                 {"sources/name"}));
    EXPECT_TRUE(contains(edited("put(f, 'sources/name', ['x' * (9 << 20)] * 2, "
                                "dtype=h5py.string_dtype())"),
                         {"sources/name"}));
    EXPECT_TRUE(contains(edited("f['tokenizer'].create_dataset('model', (1 << 40,), 'u1')"),
                         {"tokenizer/model"}));
    EXPECT_TRUE(contains(edited("put(f, 'tokenizer/data', '[' * (1 << 22), "
                                "dtype=h5py.string_dtype())"),
                         {"tokenizer/data"}));
    EXPECT_LT(peak_memory() - before, std::size_t{200} << 20);
}

TEST_F(HostilePrepared, TokenizersThatMakeNoSenseAreRefused) {
    const auto with = [&](const std::string& json) {
        return edited(
            fmt::format("put(f, 'tokenizer/data', '{}', dtype=h5py.string_dtype())", json));
    };
    EXPECT_TRUE(contains(with("nonsense"), {"/tokenizer"}));
    EXPECT_TRUE(contains(with("[]"), {"/tokenizer"}));
    EXPECT_LT(with(fmt::format("\"{}", std::string(60'000, 'x'))).size(), 500U)
        << "it is quoted whole";
    EXPECT_TRUE(contains(with(R"({"kind": "ids", "vocabulary_size": 16777216, "end_of_text": 1})"),
                         {"/tokenizer", "must be between 2 and 1048576, not 16777216"}));
    EXPECT_TRUE(contains(with(R"({"kind": "word", "vocabulary_size": 5, "end_of_text": 1})"),
                         {"/tokenizer", "unknown tokenizer 'word'"}));
    EXPECT_TRUE(contains(with(R"({"kind": "byte", "vocabulary_size": 300, "end_of_text": 256})"),
                         {"/tokenizer"}));
    EXPECT_TRUE(contains(with(R"({"kind": "ids", "vocabulary_size": -5, "end_of_text": 1})"),
                         {"/tokenizer", "-5"}));
    EXPECT_TRUE(contains(with(R"({"kind": "ids", "vocabulary_size": 1e99, "end_of_text": 1})"),
                         {"/tokenizer"}));
    EXPECT_TRUE(
        contains(with(R"({"kind": "sentencepiece", "vocabulary_size": 257, "end_of_text": 256})"),
                 {"/tokenizer", "not a SentencePiece model"}));
}

TEST_F(HostilePrepared, OtherFilesAreNotReadThroughIt) {
    write_bytes(folder_ / "secret", std::string(1'000'000, 's'));
    const std::string secret = (folder_ / "secret").string();
    EXPECT_TRUE(contains(edited(fmt::format("del f['tokens']\nf['tokens'] = "
                                            "h5py.ExternalLink('{}', '/tokens')",
                                            file_.string())),
                         {"/tokens", "external link"}));
    EXPECT_TRUE(contains(edited("f['t'] = f['tokens']\ndel f['tokens']\n"
                                "f['tokens'] = h5py.SoftLink('/t')"),
                         {"/tokens", "soft link"}));
    EXPECT_TRUE(contains(
        edited(fmt::format("n = f['tokens'].shape\ndel f['tokens']\n"
                           "f.create_dataset('tokens', n, 'u2', external=[('{}', 0, 2 * n[0])])",
                           secret)),
        {"/tokens", "external storage"}));
    EXPECT_TRUE(contains(edited(fmt::format("n = f['tokens'].shape\ndel f['tokens']\n"
                                            "v = h5py.VirtualLayout(n, 'u2')\n"
                                            "v[:] = h5py.VirtualSource('{}', 'tokens', n)\n"
                                            "f.create_virtual_dataset('tokens', v)",
                                            file_.string())),
                         {"/tokens", "virtual dataset"}));
    EXPECT_TRUE(contains(edited("f.attrs['schema'] = 'evengrad-checkpoint'"),
                         {"is no evengrad-data file"}));
    EXPECT_TRUE(contains(edited("f.attrs['schema_version'] = '2.0'"), {"2.0"}));
    EXPECT_TRUE(contains(edited("del f.attrs['complete']"), {"was not finished"}));
}

}  // namespace
}  // namespace evengrad::test
