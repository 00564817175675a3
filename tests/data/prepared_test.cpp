// The prepared file: what is written comes back, and h5py reads it plainly.
#include "data/prepared_files.hpp"
#include "data/sentencepiece_bytes.hpp"
#include "data/tokenizer_kinds.hpp"

namespace evengrad::test {
namespace {

using Prepared = PreparedFiles;

TEST_F(Prepared, ComesBackAsItWas) {
    const Content content = write_documents(file_, make_tokenizer({}), 300, 20'000);
    ASSERT_GT(content.tokens.size(), 4U * 65'536U);
    const PreparedStore store(file_.string());
    expect_equal(store, content);
    EXPECT_EQ(store.name(), file_.string());
    EXPECT_EQ(store.tokenizer()->spec(), TokenizerSpec());
    EXPECT_EQ(store.totals().documents, 300);
    EXPECT_EQ(store.totals().tokens, static_cast<std::int64_t>(content.tokens.size()));
    EXPECT_EQ(store.totals().loss_tokens,
              std::count_if(content.weights.begin(), content.weights.end(),
                            [](float weight) { return weight > 0.0F; }));
    double sum = 0.0;
    for (const float weight : content.weights) sum += static_cast<double>(weight);
    EXPECT_NEAR(store.totals().weight / sum, 1.0, 1e-9);
    EXPECT_EQ(store.sources(), (std::vector<std::string>{"a.jsonl", "-"}));
}

TEST_F(Prepared, AnyRangeCanBeReadInAnyOrder) {
    const Content content = write_documents(file_, make_tokenizer({}), 200, 20'000);
    const PreparedStore store(file_.string());
    std::mt19937 random(3);
    for (int round = 0; round < 300; ++round) {
        const std::size_t begin = random() % content.tokens.size();
        const std::size_t most = std::min<std::size_t>(content.tokens.size() - begin, 150'000);
        const std::size_t size = random() % (most + 1);
        std::vector<std::int32_t> tokens(round % 3 == 1 ? 0 : size);
        std::vector<float> weights(round % 3 == 2 ? 0 : size);
        store.read(static_cast<std::int64_t>(begin), tokens, weights);
        ASSERT_TRUE(std::equal(tokens.begin(), tokens.end(), &content.tokens[begin]));
        ASSERT_TRUE(std::equal(weights.begin(), weights.end(), &content.weights[begin]));
    }
    std::vector<std::int32_t> tokens(2);
    EXPECT_THROW(store.read(store.tokens() - 1, tokens, {}), std::logic_error);
}

TEST_F(Prepared, LargeVocabulariesAndModelsComeBack) {
    const auto ids = open_tokenizer("ids:100000:99999");
    expect_equal(PreparedStore((write_documents(file_, ids, 50, 5'000), file_.string())),
                 write_documents(folder_ / "again.h5", ids, 50, 5'000));
    // 65,536 tokens are the most that u16 holds.
    for (const char* option : {"ids:65536:65535", "ids:65537:65536"}) {
        const Content content = write_documents(file_, open_tokenizer(option), 30, 5'000);
        expect_equal(PreparedStore(file_.string()), content);
    }
    const auto model = make_tokenizer(sentencepiece_spec(model_bytes(piece("a") + piece("b"))));
    const Content content = write_documents(file_, model, 20, 500);
    const PreparedStore store(file_.string());
    expect_equal(store, content);
    EXPECT_EQ(store.tokenizer()->spec(), model->spec());
}

TEST_F(Prepared, TheSameDocumentsGiveTheSameBytes) {
    ASSERT_EQ(::setenv("SOURCE_DATE_EPOCH", "1700000000", 1), 0);
    write_documents(file_, make_tokenizer({}), 40, 5'000);
    write_documents(folder_ / "again.h5", make_tokenizer({}), 40, 5'000);
    ::unsetenv("SOURCE_DATE_EPOCH");
    EXPECT_TRUE(bytes_of(file_) == bytes_of(folder_ / "again.h5"));
}

TEST_F(Prepared, AnUnfinishedOneLeavesNothingAndTheEarlierOneStays) {
    const Content content = write_documents(file_, make_tokenizer({}), 5, 50);
    {
        PreparedWriter writer(file_, make_tokenizer({}));
        writer.begin_file("b");
        writer.begin_document(1);
        writer.add(std::vector<std::int32_t>(300'000, 65), 1.0F);
    }
    expect_equal(PreparedStore(file_.string()), content);
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1);
    EXPECT_TRUE(contains(
        message_of<Error>([&] { PreparedWriter(folder_ / "none" / "x.h5", make_tokenizer({})); }),
        {"none/x.h5", "No such file"}));
}

TEST_F(Prepared, H5pyReadsItPlainly) {
    const Content content = write_documents(file_, make_tokenizer({}), 100, 20'000);
    python(fmt::format(R"(
f = h5py.File('{}')
assert f.attrs['schema'] == 'evengrad-data' and f.attrs['schema_version'] == '1.1'
t, w, o = f['tokens'], f['weights'], f['documents/offset'][()]
assert t.dtype == np.uint16 and w.dtype == np.float32 and t.shape == w.shape == ({},)
assert t.chunks is None and t.compression is None and w.chunks is None
assert o.dtype == np.int64 and o[0] == 0 and o[-1] == len(t) and len(o) == 101
assert t[o[:-1]].tolist() == [256] * 100 and t[o[1:] - 1].tolist() == [256] * 100
assert int(t[()].astype('i8').sum()) == {} and int((w[()] > 0).sum()) == f['totals/loss_tokens'][()]
assert f['documents/line'][:3].tolist() == [1, 4, 7]
assert [n.decode() for n in f['sources/name'][()]] == ['a.jsonl', '-']
assert f['sources/first_document'][()].tolist() == [0, 50]
assert f['digest'][()].decode() == '{}'
import json
assert json.loads(f['tokenizer/data'][()]) == \
    {{'kind': 'byte', 'vocabulary_size': 257, 'end_of_text': 256}}
# CRC-32C, bit by bit, of the last (short) piece
def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
last = (len(t) - 1) // 65536 * 65536
assert f['checksums'].attrs['piece_tokens'] == 65536
assert crc32c(t[last:].tobytes()) == f['checksums/tokens'][-1]
assert crc32c(w[last:].tobytes()) == f['checksums/weights'][-1]
assert len(f['checksums/tokens']) == len(f['checksums/weights']) == last // 65536 + 1
)",
                       file_.string(), content.tokens.size(),
                       [&] {
                           std::int64_t sum = 0;
                           for (const std::int32_t token : content.tokens) sum += token;
                           return sum;
                       }(),
                       content.digest));
}

}  // namespace
}  // namespace evengrad::test
