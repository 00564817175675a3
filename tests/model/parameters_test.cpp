#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <evengrad/error.hpp>
#include <evengrad/model.hpp>

namespace evengrad::test {
namespace {

GptConfig config() {
    GptConfig c;
    c.num_layers = 3;
    c.hidden_size = 100;
    c.num_attention_heads = 4;
    c.vocab_size = 1500;
    c.seq_length = 33;
    return c;
}

TEST(ParameterTable, TensorsAreAlignedAndCutIntoBlocksWithoutPadding) {
    const ParameterTable table(config());
    Index expected = 0, block = 0;
    std::set<std::string> names;
    for (Index t = 0; t < table.size(); ++t) {
        const Tensor& tensor = table[t];
        EXPECT_TRUE(names.insert(tensor.name).second) << tensor.name;
        EXPECT_EQ(tensor.offset % 16, 0) << tensor.name;
        EXPECT_EQ(tensor.offset, expected) << tensor.name;
        expected = (tensor.offset + tensor.count + 15) / 16 * 16;
        EXPECT_EQ(tensor.first_block, block);
        Index covered = 0;
        for (Index b = 0; b < tensor.block_count; ++b) {
            const Block& part = table.blocks()[static_cast<std::size_t>(block++)];
            EXPECT_EQ(part.tensor, t);
            EXPECT_EQ(part.begin, tensor.offset + covered);
            const bool last = b + 1 == tensor.block_count;
            EXPECT_TRUE(last || part.count == ParameterTable::block_size) << tensor.name;
            covered += part.count;
        }
        EXPECT_EQ(covered, tensor.count);
    }
    EXPECT_EQ(table.flat_size(), expected);
    EXPECT_EQ(block, static_cast<Index>(table.blocks().size()));
    EXPECT_GT(table[table.find("wte.weight")].block_count, 1);
}

TEST(ParameterTable, OnlyMatricesDecay) {
    const ParameterTable table(config());
    for (const Tensor& tensor : table.tensors())
        EXPECT_EQ(tensor.decay, tensor.shape.size() == 2) << tensor.name;
    EXPECT_THROW(table.find("nothing"), Error);
}

TEST(Initialize, IsAFunctionOfTheElement) {
    const ParameterTable table(config());
    const Tensor& tensor = table[table.find("wte.weight")];
    std::vector<float> whole(static_cast<std::size_t>(tensor.count)), pieces(whole.size());
    initialize(tensor, 42, tensor.offset, whole.data(), tensor.count);
    Index begin = 0;
    for (Index size = 1; begin < tensor.count; size = size * 3 + 1) {
        const Index count = std::min(size, tensor.count - begin);
        initialize(tensor, 42, tensor.offset + begin, pieces.data() + begin, count);
        begin += count;
    }
    EXPECT_EQ(whole, pieces);
    initialize(tensor, 43, tensor.offset, pieces.data(), tensor.count);
    EXPECT_NE(whole, pieces);
}

TEST(Initialize, HasTheStandardDeviationsOfGpt2) {
    const ParameterTable table(config());
    const auto deviation = [&](const char* name) {
        const Tensor& tensor = table[table.find(name)];
        std::vector<float> values(static_cast<std::size_t>(tensor.count));
        initialize(tensor, 1, tensor.offset, values.data(), tensor.count);
        double sum = 0.0, squares = 0.0;
        for (const float v : values) {
            sum += static_cast<double>(v);
            squares += static_cast<double>(v) * static_cast<double>(v);
        }
        const auto n = static_cast<double>(values.size());
        EXPECT_NEAR(sum / n, 0.0, 4.0 * 0.02 / std::sqrt(n)) << name;
        return std::sqrt(squares / n);
    };
    EXPECT_NEAR(deviation("blocks.1.attn.qkv.weight"), 0.02, 4e-4);
    EXPECT_NEAR(deviation("blocks.1.mlp.proj.weight"), 0.02 / std::sqrt(6.0), 2e-4);
    EXPECT_NEAR(deviation("blocks.1.attn.proj.weight"), 0.02 / std::sqrt(6.0), 3e-4);
    const Tensor& gain = table[table.find("ln_f.weight")];
    float value = 0.0f;
    initialize(gain, 1, gain.offset, &value, 1);
    EXPECT_EQ(value, 1.0f);
}

TEST(GptConfig, ReportsAllProblemsTogether) {
    GptConfig bad;
    bad.num_layers = 0;
    bad.hidden_size = 30;
    bad.num_attention_heads = 4;
    bad.dropout = 1.0;
    bad.init_method_std = std::nan("");
    EXPECT_EQ(bad.validate().size(), 4u);
    EXPECT_TRUE(config().validate().empty());
}

}  // namespace
}  // namespace evengrad::test
