#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "hdf5/scratch_folder.hpp"
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

TEST(GptConfig, ReportsAllProblemsTogether) {
    GptConfig bad;
    bad.num_layers = 0;
    bad.hidden_size = 30;
    bad.num_attention_heads = 4;
    bad.dropout = 1.0;
    bad.init.std = std::nan("");
    EXPECT_EQ(bad.validate().size(), 4u);
    EXPECT_TRUE(config().validate().empty());
}

MlpConfig mlp_config() {
    MlpConfig c;
    c.layer_widths = {8, 30, 20, 5};
    return c;
}

TEST(MlpConfig, ReportsAllProblemsTogetherNamingTheOption) {
    EXPECT_TRUE(mlp_config().validate().empty());
    const auto only = [](const MlpConfig& config, std::initializer_list<const char*> parts) {
        const std::vector<std::string> problems = config.validate();
        EXPECT_EQ(problems.size(), 1u);
        EXPECT_TRUE(!problems.empty() && contains(problems.front(), parts))
            << fmt::format("{}", fmt::join(problems, "; "));
    };
    MlpConfig bad = mlp_config();
    for (const std::vector<Index>& widths :
         {std::vector<Index>{}, {5}, std::vector<Index>(1025, 3)}) {
        bad.layer_widths = widths;
        only(bad, {"--layer-widths must be 2 to 1024 numbers",
                   fmt::format("not {}", widths.size()).c_str()});
    }
    for (const Index width : {Index{0}, Index{-3}, Index{1} << 21}) {
        bad.layer_widths = {4, width, 3};
        only(bad, {"--layer-widths must be between 1 and 1048576",
                   fmt::format("not {}", width).c_str()});
    }
    bad.layer_widths = {4, 1};
    only(bad, {"--loss cross-entropy", "at least 2"});
    bad.loss = MlpLoss::mse;
    EXPECT_TRUE(bad.validate().empty());
    for (const double slope : {std::nan(""), HUGE_VAL, 101.0, -101.0}) {
        bad.negative_slope = slope;
        only(bad, {"--negative-slope must be between -100 and 100"});
        GptConfig gpt = config();
        gpt.negative_slope = slope;
        EXPECT_EQ(gpt.validate().size(), 1u);
    }
    bad.init.std = std::nan("");
    bad.layer_widths = {0};
    EXPECT_EQ(bad.validate().size(), 4u);
}

TEST(MlpConfig, CountsOperations) {
    // 2 a multiply-add forward; backward the weights' gradient, and the input's but for the first.
    EXPECT_EQ(mlp_config().training_flops(), 4.0 * 8 * 30 + 6.0 * 30 * 20 + 6.0 * 20 * 5);
    EXPECT_EQ(ModelConfig(mlp_config()).training_flops(1, 1), mlp_config().training_flops());
}

TEST(ParameterTable, OfAMultilayerPerceptron) {
    MlpConfig model = mlp_config();
    model.norm = MlpNorm::layernorm;
    model.activation = Activation::leaky_relu;
    model.negative_slope = 0.5;
    model.init.scheme = InitScheme::lecun;
    model.init.gain = "activation";
    const ParameterTable table(model);
    std::vector<std::string> names;
    for (const Tensor& tensor : table.tensors()) {
        names.push_back(tensor.name);
        EXPECT_EQ(tensor.decay, tensor.shape.size() == 2) << tensor.name;
        EXPECT_EQ(tensor.contributions, 1) << tensor.name;
    }
    EXPECT_EQ(fmt::format("{}", fmt::join(names, " ")),
              "layers.0.weight layers.0.bias layers.0.norm.weight layers.0.norm.bias "
              "layers.1.weight layers.1.bias layers.1.norm.weight layers.1.norm.bias "
              "layers.2.weight layers.2.bias");
    EXPECT_EQ(table.parameter_count(), 8 * 30 + 3 * 30 + 30 * 20 + 3 * 20 + 20 * 5 + 5);
    EXPECT_EQ(table[table.find("layers.1.weight")].shape, (std::vector<Index>{20, 30}));
    EXPECT_EQ(table[table.find("layers.1.norm.weight")].shape, (std::vector<Index>{20}));
    // Gains: the slope of this model; nothing follows the last layer.
    const auto scale = [&](const char* tensor) {
        return table[table.find(tensor)].initializer.scale;
    };
    EXPECT_DOUBLE_EQ(scale("layers.0.weight"), std::sqrt(2.0 / 1.25 / 8.0));
    EXPECT_DOUBLE_EQ(scale("layers.1.weight"), std::sqrt(2.0 / 1.25 / 30.0));
    EXPECT_DOUBLE_EQ(scale("layers.2.weight"), std::sqrt(1.0 / 20.0));
    EXPECT_EQ(scale("layers.0.norm.weight"), 1.0);
    EXPECT_EQ(scale("layers.0.norm.bias"), 0.0);
    model.norm = MlpNorm::none;
    EXPECT_EQ(ParameterTable(model).size(), 6);
}

TEST(Gain, IsThatOfCalculateGain) {
    // torch.nn.init.calculate_gain, as documented.
    const std::vector<std::pair<const char*, double>> table = {
        {"identity", 1.0},     {"sigmoid", 1.0},
        {"tanh", 5.0 / 3.0},   {"relu", std::sqrt(2.0)},
        {"selu", 0.75},        {"leaky-relu", std::sqrt(2.0 / 1.0001)},
        {"gelu", 1.5335304},   {"leaky-relu:0.2", std::sqrt(2.0 / 1.04)},
        {"leaky-relu:1", 1.0}, {"1.75", 1.75},
        {"1e-3", 0.001},       {"1000", 1000.0}};
    for (const auto& [text, gain] : table) {
        const InitConfig init{.scheme = InitScheme::he, .gain = text};
        EXPECT_NEAR(gain_of(init, Activation::tanh, 0.01), gain, 1e-7 * gain) << text;
        EXPECT_TRUE(init.validate().empty()) << text;
    }
    const auto papers = [](InitScheme scheme) {
        return gain_of({.scheme = scheme}, Activation::tanh, 0.01);
    };
    EXPECT_DOUBLE_EQ(papers(InitScheme::he), std::sqrt(2.0));
    for (const InitScheme scheme : {InitScheme::lecun, InitScheme::xavier, InitScheme::orthogonal})
        EXPECT_EQ(papers(scheme), 1.0) << init_scheme_names[static_cast<std::size_t>(scheme)];
}

TEST(Gain, CanFollowTheActivationBehindEachLayer) {
    for (const InitScheme scheme :
         {InitScheme::lecun, InitScheme::xavier, InitScheme::he, InitScheme::orthogonal}) {
        const InitConfig init{.scheme = scheme, .gain = "activation"};
        const auto scale = [&](Activation activation) {
            return initializer_of(init, 30, 20, gain_of(init, activation, 0.01)).scale;
        };
        EXPECT_DOUBLE_EQ(scale(Activation::tanh) / scale(Activation::identity), 5.0 / 3.0);
        EXPECT_DOUBLE_EQ(scale(Activation::selu) / scale(Activation::sigmoid), 0.75);
        // In the transformer GELU is behind mlp.fc only. (Of equal shape: no bias by fans.)
        GptConfig model = config();
        model.ffn_hidden_size = model.hidden_size;
        model.init = init;
        const ParameterTable table(model);
        const auto scale_of = [&](const char* tensor) {
            return table[table.find(tensor)].initializer.scale;
        };
        const double linear = scale_of("blocks.0.attn.proj.weight");
        EXPECT_NEAR(scale_of("blocks.0.mlp.fc.weight"), 1.5335805 * linear, 1e-7 * linear);
        EXPECT_DOUBLE_EQ(scale_of("blocks.2.mlp.proj.weight"), linear);
    }
}

TEST(InitConfig, ReportsWhatMakesNoSense) {
    const auto problem = [](const InitConfig& init) {
        const std::vector<std::string> problems = init.validate();
        return problems.size() == 1 ? problems.front()
                                    : fmt::format("{} problems", problems.size());
    };
    const double nan = std::nan("");
    EXPECT_EQ(problem({}), "0 problems");
    EXPECT_TRUE(contains(problem({.std = 0.0}), {"--init-method-std must be above 0 and below"}));
    EXPECT_TRUE(contains(problem({.std = nan}), {"--init-method-std", "not nan"}));
    EXPECT_TRUE(contains(problem({.bound = -1.0}), {"--init-bound must be at least 0", "not -1"}));
    EXPECT_TRUE(contains(problem({.bound = nan}), {"--init-bound"}));
    EXPECT_TRUE(contains(problem({.constant = nan}), {"--init-constant"}));
    for (const char* gain : {"", "0", "-1", "nan", "inf", "1001", "2x", "Paper", "softmax",
                             "leaky-relu:", "leaky-relu:x", "leaky-relu:nan", "tanh:1"})
        EXPECT_TRUE(
            contains(problem({.gain = gain}),
                     {fmt::format("--init-gain {}: can be paper, activation", gain).c_str()}))
            << gain;
    EXPECT_EQ(InitConfig({.std = nan, .bound = nan, .constant = nan, .gain = ""}).validate().size(),
              4u);
}

TEST(InitConfig, IsDescribedByWhatItUses) {
    EXPECT_EQ(describe(InitConfig{}), "gpt2 (std 0.02)");
    EXPECT_EQ(describe({.scheme = InitScheme::zeros}), "zeros");
    EXPECT_EQ(describe({.scheme = InitScheme::constant, .constant = 0.5}), "constant (0.5)");
    EXPECT_EQ(describe({.scheme = InitScheme::uniform}), "uniform (bound 1/sqrt(fan-in))");
    EXPECT_EQ(describe({.scheme = InitScheme::xavier}), "xavier (normal, gain paper)");
    EXPECT_EQ(describe({.scheme = InitScheme::he, .fan = InitFan::out, .gain = "relu"}),
              "he (normal, fan out, gain relu)");
    EXPECT_EQ(describe({.scheme = InitScheme::orthogonal, .gain = "1.5"}), "orthogonal (gain 1.5)");
}

}  // namespace
}  // namespace evengrad::test
