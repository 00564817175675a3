// Token after token from the key/value cache: the same logits as from the whole sequence at once.
#include "model/gpt_decoder.hpp"

#include "model/gpt_fixture.hpp"

namespace evengrad::test {
namespace {

/// Logits of the last of `tokens`, without a cache.
template <class T>
std::vector<T> whole(const GptConfig& config, const ParameterTable& table, const T* weights,
                     std::span<const std::int32_t> tokens) {
    std::vector<float> asked(tokens.size(), 0.0f);
    asked.back() = 1.0f;
    const auto length = static_cast<std::int32_t>(tokens.size());
    const std::int32_t key = 0;
    const std::int64_t id = 0;
    const MicroBatch batch{{&length, 1}, {&key, 1}, {&id, 1}, tokens, tokens, asked};
    Gpt<T> gpt(config, table);
    gpt.reserve(MicroBatchSize::of(batch), false);
    std::vector<T> logits(static_cast<std::size_t>(config.vocab_size));
    gpt.logits(weights, batch, logits.data());
    return logits;
}

/// |a - b| / |b|; infinite where an element is not finite.
template <class A, class B>
double relative_error(const A& a, const B& b) {
    double difference = 0.0, norm = 0.0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
        if (!std::isfinite(x) || !std::isfinite(y)) return INFINITY;
        difference += (x - y) * (x - y);
        norm += y * y;
    }
    return std::sqrt(difference / norm);
}

/// Longer than a block of queries in attention (64).
GptConfig long_config() {
    GptConfig config = small_config();
    config.seq_length = 150;
    return config;
}

std::vector<std::int32_t> random_tokens(std::int32_t count, Index vocab_size) {
    return random_batch({count}, vocab_size).tokens;
}

/// The worst error of all positions, when the tokens come in pieces of these sizes, in turn.
template <class T>
double worst_error(const GptConfig& config, const std::vector<std::size_t>& pieces) {
    const ParameterTable table(config);
    const AlignedBuffer<T> weights = lively_weights<T>(table);
    const auto tokens =
        random_tokens(static_cast<std::int32_t>(config.seq_length), config.vocab_size);
    const std::span<const std::int32_t> all(tokens);
    GptDecoder<T> decoder(config, table, weights.data());
    double worst = 0.0;
    std::size_t begin = 0;
    for (std::size_t p = 0; begin < all.size(); ++p) {
        const std::size_t count = std::min(pieces[p % pieces.size()], all.size() - begin);
        const auto logits = decoder.feed(all.subspan(begin, count));
        begin += count;
        worst = std::max(worst, relative_error(logits, whole<T>(config, table, weights.data(),
                                                                all.first(begin))));
    }
    return worst;
}

// In double rounding is out of the way: what is left would be another function.
TEST(GptDecoder, EveryPositionInDoubleIsThatOfTheWholeSequence) {
    for (const std::vector<std::size_t>& pieces :
         {std::vector<std::size_t>{1}, {2, 1}, {5, 1, 1, 3}, {70, 1, 2}, {150}, {149, 1}})
        EXPECT_LT(worst_error<double>(long_config(), pieces), 1e-12) << pieces.front();
    EXPECT_LT(worst_error<double>(small_config(), {1}), 1e-12);
}

// In float the products of one row and of many are added up in other orders: a few roundings
// (6e-8) each, over 2 layers.
TEST(GptDecoder, EveryPositionInFloatDiffersByRounding) {
    for (const std::vector<std::size_t>& pieces :
         {std::vector<std::size_t>{1}, {3, 1}, {70, 1, 2}, {150}})
        EXPECT_LT(worst_error<float>(long_config(), pieces), 5e-6) << pieces.front();
}

// The window begins anew with its last half, the newest token included, when it is full.
TEST(GptDecoder, AFullWindowBeginsAnewWithItsLastHalf) {
    for (const Index seq_length : {1, 2, 3, 8, 9}) {
        GptConfig config = small_config();
        config.seq_length = seq_length;
        const ParameterTable table(config);
        const AlignedBuffer<double> weights = lively_weights<double>(table);
        const auto tokens = random_tokens(40, config.vocab_size);
        const std::span<const std::int32_t> all(tokens);
        GptDecoder<double> decoder(config, table, weights.data());
        std::size_t first = 0;  // of the window
        for (std::size_t end = 1; end <= all.size(); ++end) {
            const auto capacity = static_cast<std::size_t>(seq_length);
            if (end - first > capacity) first = end - (capacity + 1) / 2;
            EXPECT_LT(relative_error(decoder.feed(all.subspan(end - 1, 1)),
                                     whole<double>(config, table, weights.data(),
                                                   all.subspan(first, end - first))),
                      1e-12)
                << seq_length << " " << end;
        }
    }
}

TEST(GptDecoder, OfALongBeginningTheLastSeqLengthTokensAreSeen) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    const AlignedBuffer<double> weights = lively_weights<double>(table);
    const auto tokens = random_tokens(25, config.vocab_size);
    const std::span<const std::int32_t> all(tokens);
    GptDecoder<double> decoder(config, table, weights.data());
    const auto expected = whole<double>(config, table, weights.data(), all.last(9));
    EXPECT_LT(relative_error(decoder.feed(all), expected), 1e-12);
    // And as much from a decoder that has read another text before.
    decoder.feed(all.first(3));
    decoder.restart();
    EXPECT_LT(relative_error(decoder.feed(all), expected), 1e-12);
}

TEST(GptDecoder, SameTokensSameBits) {
    const GptConfig config = long_config();
    const ParameterTable table(config);
    const AlignedBuffer<float> weights = lively_weights<float>(table);
    const auto tokens = random_tokens(400, config.vocab_size);
    const auto run = [&](GptDecoder<float>& decoder) {
        decoder.restart();
        std::vector<float> all;
        decoder.feed(std::span(tokens).first(20));
        for (std::size_t i = 20; i < tokens.size(); ++i) {
            const auto logits = decoder.feed(std::span(tokens).subspan(i, 1));
            all.insert(all.end(), logits.begin(), logits.end());
        }
        return all;
    };
    GptDecoder<float> one(config, table, weights.data()), other(config, table, weights.data());
    const auto expected = run(one);
    EXPECT_EQ(run(one), expected);
    EXPECT_EQ(run(other), expected);
}

TEST(GptDecoder, MoreThanTheCacheHoldsIsRefused) {
    const GptConfig config = small_config();
    const ParameterTable table(config);
    const AlignedBuffer<float> weights = lively_weights<float>(table);
    const auto tokens = random_tokens(10, config.vocab_size);
    std::vector<float> logits(static_cast<std::size_t>(config.vocab_size));
    Gpt<float> gpt(config, table);
    gpt.reserve({10, 10, 1}, false);
    KeyValueCache<float> cache(config);
    EXPECT_THROW(gpt.extend(weights.data(), cache, tokens, logits.data()), std::logic_error);
    EXPECT_THROW(gpt.extend(weights.data(), cache, {}, logits.data()), std::logic_error);
}

}  // namespace
}  // namespace evengrad::test
