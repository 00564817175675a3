// Documents for prepared files, and a folder for them.
#pragma once

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "data/prepared_store.hpp"
#include "data/prepared_writer.hpp"
#include "hdf5/python.hpp"
#include "hdf5/scratch_folder.hpp"
#include <evengrad/error.hpp>

namespace evengrad::test {

namespace fs = std::filesystem;

/// What went into a file.
struct Content {
    std::vector<std::int32_t> tokens;
    std::vector<float> weights;
    std::vector<std::int64_t> offsets{0};
    std::vector<std::string> places;
    std::string digest;
};

/// Documents of random tokens and of very uneven length in two files, the second without lines.
inline Content write_documents(const fs::path& path,
                               const std::shared_ptr<const Tokenizer>& tokenizer, int documents,
                               std::size_t longest, unsigned seed = 1) {
    const bool was_there = fs::exists(path);
    PreparedWriter writer(path, tokenizer);
    Content content;
    TokenDigest digest;
    std::mt19937 random(seed);
    const auto add = [&](const std::vector<std::int32_t>& tokens, float weight) {
        writer.add(tokens, weight);
        content.tokens.insert(content.tokens.end(), tokens.begin(), tokens.end());
        content.weights.resize(content.tokens.size(), weight);
    };
    for (int d = 0; d < documents; ++d) {
        const bool second = d >= documents / 2;
        if (d == 0) writer.begin_file("a.jsonl");
        if (d == documents / 2) writer.begin_file("-");
        writer.begin_document(second ? 0 : 3 * d + 1);
        content.places.push_back(
            second ? fmt::format("standard input document {}", d - documents / 2 + 1)
                   : fmt::format("a.jsonl line {}", 3 * d + 1));
        add({tokenizer->end_of_text()}, 0.0F);
        for (unsigned parts = static_cast<unsigned>(random() % 4); parts-- > 0;) {
            const double length = std::pow(static_cast<double>(longest),
                                           static_cast<double>(random() % 1000) / 1000.0);
            std::vector<std::int32_t> tokens(static_cast<std::size_t>(length));
            for (std::int32_t& token : tokens)
                token = static_cast<std::int32_t>(
                    random() % static_cast<unsigned>(tokenizer->vocabulary_size()));
            const double weights[] = {0.0, 1.0, 0.3, 7.25, largest_weight};
            add(tokens, round_weight(weights[random() % 5]));
        }
        add({tokenizer->end_of_text()}, 1.0F);
        writer.end_document();
        content.offsets.push_back(static_cast<std::int64_t>(content.tokens.size()));
        const auto begin = static_cast<std::size_t>(content.offsets[static_cast<std::size_t>(d)]);
        digest.add(std::span(content.tokens).subspan(begin),
                   std::span(content.weights).subspan(begin));
        digest.end_document();
    }
    content.digest = digest.hex();
    EXPECT_EQ(writer.digest(), content.digest);
    EXPECT_EQ(fs::exists(path), was_there) << "not before it is whole";
    writer.publish();
    return content;
}

inline void expect_equal(const PreparedStore& store, const Content& content) {
    EXPECT_EQ(store.digest(), content.digest);
    EXPECT_TRUE(std::ranges::equal(store.offsets(), content.offsets));
    std::vector<std::int32_t> tokens(content.tokens.size());
    std::vector<float> weights(content.tokens.size());
    store.read(0, tokens, weights);
    EXPECT_TRUE(tokens == content.tokens);
    EXPECT_TRUE(weights == content.weights);
    for (std::int64_t d = 0; d < store.documents(); ++d)
        ASSERT_EQ(store.place(d), content.places[static_cast<std::size_t>(d)]);
}

class PreparedFiles : public testing::Test {
  protected:
    /// Runs Python with h5py; the script must succeed.
    void python(const std::string& script) const {
        ASSERT_TRUE(run_python(folder_, script)) << script;
    }

    ScratchFolder folder_;
    fs::path file_ = folder_ / "data.h5";
};

}  // namespace evengrad::test
