// Texts of a random model: what they depend on, where they end, how they come.
#include "train/generate.hpp"

#include <set>

#include "model/gpt_fixture.hpp"
#include <evengrad/error.hpp>

namespace evengrad::test {
namespace {

/// A model of bytes that says almost anything.
struct Model {
    Model() : weights(lively_weights<float>(table)) {
        // A flat enough distribution.
        for (Index i = 0; i < weights.size(); ++i) weights[i] *= 0.5f;
    }
    static GptConfig shape() {
        GptConfig shape = small_config();
        shape.vocab_size = 257;
        shape.seq_length = 24;
        return shape;
    }
    GptConfig config = shape();
    ParameterTable table{config};
    AlignedBuffer<float> weights;
    std::shared_ptr<const Tokenizer> tokenizer = make_tokenizer({});

    Generator generator(const GenerateConfig& options) const {
        return Generator(config, table, weights.data(), *tokenizer, options);
    }
    GeneratedText text(const GenerateConfig& options, const std::string& prompt,
                       std::uint32_t repetition = 0) const {
        return generator(options)(prompt, repetition, {});
    }
};

GenerateConfig options_of(std::uint64_t seed, std::int64_t max_new_tokens = 100) {
    GenerateConfig options;
    options.sampling.seed = seed;
    options.max_new_tokens = max_new_tokens;
    return options;
}

/// A seed whose text doesn't end by itself.
std::uint64_t endless_seed(const Model& model, std::int64_t tokens) {
    std::uint64_t seed = 1;
    while (model.text(options_of(seed, tokens), "abc").stopped_by != StoppedBy::max_new_tokens)
        ++seed;
    return seed;
}

TEST(Generator, TextDependsOnPromptSeedAndRepetitionAlone) {
    const Model model;
    Generator generator = model.generator(options_of(3));
    const std::vector<std::string> prompts = {"one", "", "two", std::string(100, 'x'), "one"};
    std::set<std::string> texts;
    for (const std::string& prompt : prompts) {
        // Whatever the generator did before.
        const std::string text = generator(prompt, 0, {}).text;
        EXPECT_EQ(text, model.text(options_of(3), prompt).text) << prompt;
        texts.insert(text);
        texts.insert(generator(prompt, 1, {}).text);
        texts.insert(model.text(options_of(4), prompt).text);
    }
    EXPECT_EQ(texts.size(), 12u) << "four prompts, three texts each";
}

TEST(Generator, ALongerTextBeginsLikeAShorterOne) {
    const Model model;
    const std::uint64_t seed = endless_seed(model, 200);  // eight times the window
    const GeneratedText all = model.text(options_of(seed, 200), "abc");
    EXPECT_EQ(all.tokens, 200);
    EXPECT_EQ(all.text.size(), 200u);
    const GeneratedText begin = model.text(options_of(seed, 30), "abc");
    EXPECT_EQ(begin.text, all.text.substr(0, 30));
    EXPECT_EQ(begin.tokens, 30);
}

TEST(Generator, EndsAtEndOfText) {
    const Model model;
    for (std::uint64_t seed = 1;; ++seed) {
        const GeneratedText text = model.text(options_of(seed, 400), "abc");
        if (text.stopped_by != StoppedBy::end_of_text) continue;
        EXPECT_EQ(text.text.size() + 1, static_cast<std::size_t>(text.tokens));
        ASSERT_LT(text.tokens, 400);
        // One token less, and it ends for another reason.
        EXPECT_EQ(model.text(options_of(seed, text.tokens - 1), "abc").stopped_by,
                  StoppedBy::max_new_tokens);
        return;
    }
}

TEST(Generator, StopStringsCutTheSameText) {
    const Model model;
    const std::uint64_t seed = endless_seed(model, 200);
    const std::string whole = model.text(options_of(seed, 200), "abc").text;
    for (const std::size_t at : {0u, 1u, 50u, 100u, 197u}) {
        GenerateConfig options = options_of(seed, 200);
        options.stop = {whole.substr(at, 3), "a text that does not come"};
        const GeneratedText text = model.text(options, "abc");
        const std::size_t first = whole.find(options.stop[0]);
        EXPECT_EQ(text.text, whole.substr(0, first));
        EXPECT_EQ(text.stopped_by, StoppedBy::stop);
        EXPECT_EQ(static_cast<std::size_t>(text.tokens), first + 3);
    }
    // The beginning of a stop string, and then the end of it all: text after all.
    GenerateConfig options = options_of(seed, 200);
    options.stop = {whole.substr(190) + "and more"};
    EXPECT_EQ(model.text(options, "abc").text, whole);
    EXPECT_EQ(model.text(options, "abc").stopped_by, StoppedBy::max_new_tokens);
}

TEST(Generator, GivesTheTextAsItComes) {
    const Model model;
    const std::uint64_t seed = endless_seed(model, 60);
    GenerateConfig options = options_of(seed, 60);
    std::vector<std::string> pieces;
    const auto keep = [&](std::string_view piece) { pieces.emplace_back(piece); };
    const std::string whole = model.generator(options)("abc", 0, keep).text;
    EXPECT_EQ(pieces.size(), 60u);
    const std::string stop = whole.substr(40, 5) + "~";
    options.stop = {stop};
    pieces.clear();
    EXPECT_EQ(model.generator(options)("abc", 0, keep).text, whole);
    EXPECT_LT(pieces.size(), 60u) << "something was held back";
    std::string joined;
    for (const std::string& piece : pieces) {
        EXPECT_FALSE(piece.empty());
        joined += piece;
    }
    EXPECT_EQ(joined, whole);
}

TEST(Generator, NonsenseIsReportedTogether) {
    GenerateConfig options;
    EXPECT_TRUE(options.validate().empty());
    options.sampling.top_p = 0.0;
    options.max_new_tokens = 0;
    options.stop = {"a", ""};
    EXPECT_EQ(options.validate().size(), 3u);
    options = {};
    options.max_new_tokens = std::int64_t{1} << 31;
    EXPECT_EQ(options.validate().size(), 1u);
}

TEST(Generator, RefusesATokenizerOfAnotherSize) {
    Model model;
    model.config.vocab_size = 256;
    model.table = ParameterTable(model.config);
    EXPECT_THROW(model.generator({}), Error);
}

}  // namespace
}  // namespace evengrad::test
