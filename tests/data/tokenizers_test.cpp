// Tokenizers other than "byte": ids and SentencePiece, trained here and read from hostile bytes.
#include <fstream>
#include <random>

#include <gtest/gtest.h>
#include <sentencepiece_trainer.h>

#include "data/sentencepiece_bytes.hpp"
#include "data/tokenizer_kinds.hpp"
#include "hdf5/scratch_folder.hpp"
#include <evengrad/error.hpp>
#include <evengrad/tokenizer.hpp>

namespace evengrad::test {
namespace {

using Tokens = std::vector<std::int32_t>;

template <class Action>
std::string error_of(Action action) {
    return message_of<Error>(action);
}

TEST(IdsTokenizer, ReadsAndWritesNumbers) {
    const auto tokenizer = open_tokenizer("ids:50257:50256");
    EXPECT_EQ(tokenizer->spec(), (TokenizerSpec{"ids", 50257, 50256, ""}));
    EXPECT_EQ(tokenizer->encode(" 12 7\t300\n50256"), (Tokens{12, 7, 300, 50256}));
    EXPECT_EQ(tokenizer->decode(Tokens{50256, 12, 7, 300, 50256}), "12 7 300 ");
    EXPECT_EQ(tokenizer->encode(tokenizer->decode(Tokens{0, 50255, 10})), (Tokens{0, 50255, 10}));
    EXPECT_TRUE(tokenizer->encode(" \n").empty());
    EXPECT_EQ(tokenizer->spec().describe(), "ids, 50257 tokens");
}

TEST(IdsTokenizer, RefusesWhatIsNoToken) {
    const auto tokenizer = open_tokenizer("ids:100:99");
    for (const char* text : {"word", "1 100", "-1", "1.5", "99999999999", "1,2"})
        EXPECT_NE(error_of([&] { tokenizer->encode(text); }).find("is not a token"),
                  std::string::npos)
            << text;
}

TEST(OpenTokenizer, SaysWhatIsWrongWithAnOption) {
    const auto said = [](const std::string& option) {
        return error_of([&] { open_tokenizer(option); });
    };
    EXPECT_NE(said("bytes").find("--tokenizer bytes: there is no such"), std::string::npos);
    EXPECT_NE(said("ids:5").find("ids:VOCABULARY:END_OF_TEXT"), std::string::npos);
    EXPECT_NE(said("ids:5:4x").find("ids:VOCABULARY:END_OF_TEXT"), std::string::npos);
    EXPECT_NE(said("ids:99999999999:4").find("ids:VOCABULARY:END_OF_TEXT"), std::string::npos);
    EXPECT_NE(said("ids:5:5").find("end of text 5 is not in the vocabulary"), std::string::npos);
    EXPECT_NE(said("ids:1:0").find("between 2 and"), std::string::npos);
    EXPECT_NE(said("ids:99999999:0").find("between 2 and"), std::string::npos);
    EXPECT_NE(said("sentencepiece:none.model").find("there is no such file"), std::string::npos);
    EXPECT_NE(said("sentencepiece:.").find("it is not a file"), std::string::npos);
}

// ------------------------------------------------------------------------------------- training

std::string moby_dick(std::size_t size) {
    std::ifstream stream(EVENGRAD_SOURCE_DIR "/data/moby-dick.txt", std::ios::binary);
    std::string text(size, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(size));
    return text;
}

std::shared_ptr<const Tokenizer> trained(const std::string& option, const std::string& text) {
    return make_tokenizer(
        sentencepiece_spec(train_sentencepiece(parse_training(option), sample_of(text))));
}

/// A random character, common ones and rare ones, those included that SentencePiece uses itself.
std::string random_character(std::mt19937& random) {
    static const std::string often[] = {" ",
                                        " ",
                                        "\n",
                                        "\t",
                                        "e",
                                        "a",
                                        "th",
                                        "\r",
                                        "\xE2\x96\x81",
                                        "\xE2\x96\x85",
                                        "</s>",
                                        "<s>",
                                        "<0x0A>",
                                        "<unk>",
                                        "\xE2\x81\x87",
                                        "\xEF\xBB\xBF",
                                        std::string(1, '\0')};
    if (random() % 3 != 0) return often[random() % std::size(often)];
    for (;;) {
        const auto c =
            static_cast<std::uint32_t>(random() % (random() % 4 == 0 ? 0x110000U : 0x250U));
        if (c >= 0xD800 && c < 0xE000) continue;
        std::string text;
        if (c < 0x80)
            text = {static_cast<char>(c)};
        else if (c < 0x800)
            text = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
        else if (c < 0x10000)
            text = {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
                    static_cast<char>(0x80 | (c & 0x3F))};
        else
            text = {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
                    static_cast<char>(0x80 | (c >> 6 & 0x3F)),
                    static_cast<char>(0x80 | (c & 0x3F))};
        return text;
    }
}

class Trained : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Kinds, Trained, testing::Values("bpe:1000", "unigram:1000"));

TEST_P(Trained, AnyTextComesBackAsItWas) {
    const auto tokenizer = trained(GetParam(), moby_dick(200'000));
    EXPECT_EQ(tokenizer->vocabulary_size(), 1000);
    EXPECT_EQ(tokenizer->text_of(tokenizer->end_of_text()), "");
    std::mt19937 random(1);
    for (int round = 0; round < 2000; ++round) {
        std::string text;
        for (std::size_t n = random() % 60; n-- > 0;) text += random_character(random);
        const Tokens tokens = tokenizer->encode(text);
        ASSERT_EQ(tokenizer->decode(tokens), text) << testing::PrintToString(text);
        for (const std::int32_t token : tokens) ASSERT_NE(token, tokenizer->end_of_text());
    }
    const std::string book = moby_dick(300'000);
    const Tokens tokens = tokenizer->encode(book);
    EXPECT_EQ(tokenizer->decode(tokens), book);
    EXPECT_LT(tokens.size(), book.size() / 2);
}

TEST_P(Trained, TheSameTextGivesTheSameModel) {
    const std::string text = moby_dick(100'000);
    EXPECT_EQ(trained(GetParam(), text)->spec(), trained(GetParam(), text)->spec());
}

TEST_P(Trained, ACutAfterANewlineOrBeforeASpaceChangesNoToken) {
    const auto tokenizer = trained(GetParam(), moby_dick(100'000));
    const std::string text = moby_dick(20'000);
    const Tokens whole = tokenizer->encode(text);
    Tokens parts;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
        tokenizer->encode(text.substr(begin, end - begin), parts);
        begin = end;
    }
    EXPECT_EQ(parts, whole);
}

TEST(Trained, TokensAreThoseOfTheLibrary) {
    const auto tokenizer = trained("bpe:1000", moby_dick(200'000));
    sentencepiece::SentencePieceProcessor library;
    ASSERT_TRUE(library.LoadFromSerializedProto(tokenizer->spec().model).ok());
    const std::string text = moby_dick(50'000);
    EXPECT_EQ(tokenizer->encode(text), library.EncodeAsIds(text));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)),
              library.DecodeIds(library.EncodeAsIds(text)));
}

TEST(Trained, TooMuchAndTooLittleAreSaidClearly) {
    const auto said = [](const std::string& option, const std::string& text) {
        return error_of([&] { trained(option, text); });
    };
    EXPECT_NE(said("bpe:20000", moby_dick(20'000)).find("bpe:20000: the text gives "),
              std::string::npos);
    // What is proposed instead can be asked for.
    const auto hint = [](const std::string& option, const std::string& text) {
        return hint_of([&] { trained(option, text); });
    };
    const std::string proposed = hint("bpe:20000", moby_dick(20'000));
    ASSERT_TRUE(proposed.starts_with("--train-tokenizer bpe:")) << proposed;
    const std::size_t option = proposed.find("bpe:");
    EXPECT_NO_THROW(
        trained(proposed.substr(option, proposed.find(',') - option), moby_dick(20'000)));
    const std::string little = hint("bpe:8000", "Call me Ishmael.\nSome years ago\n");
    EXPECT_NE(little.find("at least 512 tokens: give more text, or --tokenizer byte"),
              std::string::npos)
        << little;
    EXPECT_NE(said("unigram:20000", moby_dick(20'000)).find("unigram:20000: "), std::string::npos);
    std::string chinese;
    for (unsigned c = 0x4E00; c < 0x5400; ++c)
        chinese += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
                    static_cast<char>(0x80 | (c & 0x3F))};
    EXPECT_NE(said("bpe:600", chinese).find("tokens alone"), std::string::npos);
    EXPECT_NE(said("bpe:600", "").find("there is no text"), std::string::npos);
    // Here the library ends its process: no character is left to make pieces of.
    EXPECT_NE(said("unigram:600", "\t\t\t\t").find("SentencePiece gave up"), std::string::npos);
    for (const char* option : {"bpe", "bpe:", "bpe:x", "bpe:8000x", "word:8000", "bpe:100",
                               "bpe:99999999", "bpe:99999999999999999999"})
        EXPECT_NE(error_of([&] { parse_training(option); }).find("--train-tokenizer"),
                  std::string::npos)
            << option;
}

TEST(TextSample, KeepsAllOrAnEvenSampleWithinItsLimit) {
    std::string text;
    for (int i = 0; i < 20'000; ++i) text += fmt::format("line {}\n", i);
    EXPECT_EQ(sample_of(text).size(), 20'000U);
    const std::vector<std::string> sample = sample_of(text, 200'000);
    EXPECT_EQ(sample, sample_of(text, 200'000));
    EXPECT_GT(sample.size(), 2'000U);
    EXPECT_LT(sample.size(), 200'000U / 64U);
    // Even: about half of them are from the first half. (Standard deviation about 27.)
    const auto early = std::count_if(sample.begin(), sample.end(), [](const std::string& line) {
        return std::stoi(line.substr(5)) < 10'000;
    });
    EXPECT_NEAR(static_cast<double>(early), static_cast<double>(sample.size()) / 2, 150.0);
    for (const std::string& line : sample_of(std::string(100'000, 'x') + std::string(9'000, ' ')))
        EXPECT_LE(line.size(), 4'096U);
}

// --------------------------------------------------------------------------------- other models

TEST(SentencePiece, PiecesStandForTheirText) {
    std::string bytes;
    for (unsigned b = 0; b < 256; ++b) bytes += piece(fmt::format("<0x{:02X}>", b), 0.0F, 6);
    const auto tokenizer = make_tokenizer(sentencepiece_spec(
        model_bytes(bytes + piece("\xE2\x96\x81the\xE2\x96\x81", -1.0F) + piece("ab", -2.0F, 4),
                    field(35, std::uint64_t{1}))));
    EXPECT_EQ(tokenizer->vocabulary_size(), 3 + 256 + 2);
    EXPECT_EQ(tokenizer->end_of_text(), 2);
    EXPECT_EQ(tokenizer->text_of(0), "\xE2\x81\x87");
    EXPECT_EQ(tokenizer->text_of(1), "");
    EXPECT_EQ(tokenizer->text_of(2), "");
    EXPECT_EQ(tokenizer->text_of(3 + 0xC3), "\xC3");
    EXPECT_EQ(tokenizer->text_of(259), " the ");
    EXPECT_EQ(tokenizer->text_of(260), "ab");
    EXPECT_TRUE(tokenizer->may_cut_before(3 + 0xC3));
    EXPECT_FALSE(tokenizer->may_cut_before(3 + 0xA9));
}

TEST(SentencePiece, LongTextOfAModelWithAPrefixIsCutAtWords) {
    // As Llama's: a space before every text, bytes for what is unknown, text as it is.
    std::string pieces = piece("\xE2\x96\x81", -3.0F) +
                         piece(
                             "\xE2\x96\x81"
                             "a",
                             -1.0F) +
                         piece("a", -2.0F);
    for (unsigned b = 0; b < 256; ++b) pieces += piece(fmt::format("<0x{:02X}>", b), 0.0F, 6);
    const auto tokenizer = make_tokenizer(sentencepiece_spec(
        model_bytes(pieces, field(35, std::uint64_t{1}), field(4, std::uint64_t{0}))));
    std::string text = "a";
    while (text.size() < 200'000) text += " a aa";
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), " " + text);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\nb  a")), " a\nb  a");
    const std::string no_spaces(200'000, 'a');
    EXPECT_LE(tokenizer->decode(tokenizer->encode(no_spaces)).size(), no_spaces.size() + 4);
}

TEST(SentencePiece, AModelOfTheLibrarysDefaultsIsRead) {
    // Its normalization (nmt_nfkc) is a large table.
    const ScratchFolder folder;
    write_bytes(folder / "text.txt", moby_dick(30'000));
    ASSERT_TRUE(sentencepiece::SentencePieceTrainer::Train(
                    fmt::format("--input={} --model_prefix={} --vocab_size=500 --minloglevel=3",
                                (folder / "text.txt").string(), (folder / "default").string()))
                    .ok());
    const auto tokenizer = open_tokenizer("sentencepiece:" + (folder / "default.model").string());
    EXPECT_EQ(tokenizer->vocabulary_size(), 500);
    EXPECT_EQ(tokenizer->end_of_text(), 2);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("some  years \xEF\xBC\xA1go")),
              " some years Ago");
}

TEST(SentencePiece, AModelWithoutAnEndSaysHowToMakeOne) {
    const std::string model = piece("<unk>", 0.0F, 2) + piece("a");
    try {
        sentencepiece_spec(model);
        FAIL();
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("no piece to end a document"), std::string::npos);
        EXPECT_NE(error.hint().find("--eos_id"), std::string::npos);
    }
    // Without an end, the begin does.
    EXPECT_EQ(sentencepiece_spec(model + piece("<s>", 0.0F, 3)).end_of_text, 2);
}

TEST(SentencePiece, ASpecificationMustFitItsModel) {
    TokenizerSpec spec = sentencepiece_spec(model_bytes(piece("a")));
    EXPECT_NO_THROW(make_tokenizer(spec));
    EXPECT_EQ(spec.describe().find("sentencepiece "), 0U);
    TokenizerSpec other = spec;
    other.vocabulary_size = 5;
    EXPECT_THROW(make_tokenizer(other), Error);
    other = spec;
    other.end_of_text = 1;
    EXPECT_THROW(make_tokenizer(other), Error);
}

/// A normalization's bytes: units of the double array, then texts.
std::string characters_map(std::vector<std::uint32_t> units, const std::string& texts) {
    std::string bytes(4 + 4 * units.size(), '\0');
    const auto size = static_cast<std::uint32_t>(4 * units.size());
    std::memcpy(bytes.data(), &size, 4);
    std::memcpy(bytes.data() + 4, units.data(), 4 * units.size());
    return bytes + texts;
}
std::uint32_t unit(std::uint32_t offset, std::uint32_t label, bool leaf = false) {
    return offset << 10 | label | (leaf ? 0x100U : 0U);
}

TEST(SentencePiece, HostileModelsAreRefused) {
    const auto said = [](const std::string& model) {
        return error_of([&] { make_tokenizer(sentencepiece_spec(model)); });
    };
    const auto refused = [&](const std::string& model, const std::string& why) {
        const std::string message = said(model);
        EXPECT_NE(message.find(why), std::string::npos) << why << ": " << message;
    };
    refused("", "it has 0 bytes");
    refused(std::string((std::size_t{32} << 20) + 1, '\n'), "bytes; 1 to 33554432 are read");
    refused("{\"text\": 1}", "");
    refused(model_bytes("").substr(0, 10), "cut off");
    refused(std::string(11, '\xFF'), "a number is too long");
    refused(field(1, std::uint64_t{7}), "another type");
    refused(field(1, field(1, std::uint64_t{7})), "another type");
    refused(varint(9 << 3 | 3U), "unknown kind");
    refused(varint(0) + varint(0), "without a number");
    refused(model_bytes(piece("")), "piece 3 is empty");
    refused(model_bytes(piece("\xFF")), "not UTF-8");
    refused(model_bytes(piece(std::string("a\0b", 3))), "piece 3 is empty, too long or not UTF-8");
    refused(model_bytes(piece(std::string(3000, 'a'))), "too long");
    refused(model_bytes(piece("a", std::nanf(""))), "the score nan");
    refused(model_bytes(piece("a", 1e30F)), "the score");
    refused(model_bytes(piece("a", 0.0F, 9)), "unknown type 9");
    refused(model_bytes(piece("<0xGG>", 0.0F, 6), field(35, std::uint64_t{1})), "is no byte");
    refused(model_bytes(piece("a"), field(35, std::uint64_t{1})), "some bytes are missing");
    refused(model_bytes(piece("a"), field(3, std::uint64_t{77})), "model type 77");
    refused(model_bytes(piece("a") + piece("u", 0.0F, 2)), "one piece for unknown text");
    refused(piece("a") + piece("</s>", 0.0F, 3), "one piece for unknown text");
    refused(model_bytes(piece("a") + piece("a")), "already defined");
    refused(model_bytes(piece("a")) + field(4, std::string(2 << 20, 'x')), "self-test");
    std::string nested;
    for (std::size_t n = 1; n <= 70; ++n) nested += piece(std::string(n, 'a'), 0.0F, 4);
    refused(model_bytes(nested), "begin with one another");
    std::string many;
    for (int i = 0; i < 7'000'000; ++i) many += "\x48\x01";
    refused(many, "too many fields");

    const auto with_map = [](const std::string& map) {
        return model_bytes(piece("a"), "", field(2, map));
    };
    // A good one: the byte 'A' leads from 1 to 1 ^ 'A' = 64, and from there to the leaf at 256.
    std::vector<std::uint32_t> units(512, 0x80000000U);
    units[0] = unit(1, 0);
    units[64] = unit(64 ^ 256, 'A', true);
    units[256] = 0x80000000U | 0;
    const auto good =
        make_tokenizer(sentencepiece_spec(with_map(characters_map(units, std::string("a\0", 2)))));
    EXPECT_EQ(good->decode(good->encode("A")), good->decode(good->encode("a")));
    refused(with_map("x"), "cut off");
    refused(with_map(std::string("\xFF\xFF\xFF\x7F-----", 9)), "wrong size");
    refused(with_map(std::string("\x08\0\0\0--------", 12)), "wrong size");
    refused(with_map(characters_map(units, "a")), "texts don't end");
    auto bad = units;
    bad[256] = 0x80000000U | 2;
    refused(with_map(characters_map(bad, std::string("a\0", 2))), "outside its texts");
    bad = units;
    bad[64] = unit(100'000, 'A', true);
    refused(with_map(characters_map(bad, std::string("a\0", 2))), "points outside");
    bad = units;
    bad[0] = unit(100'000, 0);
    refused(with_map(characters_map(bad, std::string("a\0", 2))), "points outside");
    bad = units;
    bad[64] = unit(64 ^ 1, 'A', true);  // leads to where it came from
    refused(with_map(characters_map(bad, std::string("a\0", 2))), "has a loop");
    refused(with_map(characters_map({0}, std::string("a\0", 2))), "points outside");
}

TEST(SentencePiece, ADamagedModelIsRefusedOrReadButNeverACrash) {
    const std::string good =
        train_sentencepiece(parse_training("bpe:600"), sample_of(moby_dick(30'000)));
    std::mt19937 random(7);
    int read = 0;
    for (int round = 0; round < 300; ++round) {
        std::string bad = good;
        for (std::size_t n = 1 + random() % 4; n-- > 0;)
            bad[random() % bad.size()] = static_cast<char>(random());
        if (random() % 4 == 0) bad.resize(random() % bad.size());
        try {
            const auto tokenizer = make_tokenizer(sentencepiece_spec(bad));
            tokenizer->decode(tokenizer->encode("Call me Ishmael.\n\xE2\x96\x81 Some years"));
            ++read;
        } catch (const Error&) {
        }
    }
    EXPECT_GT(read, 10);
}

}  // namespace
}  // namespace evengrad::test
