// What configurations of models mean, before there is any model: bounds, costs, names. (The bounds
// are such that no sensible run meets them, and that no size can overflow.)
#include <cmath>

#include <fmt/ranges.h>

#include "base/check_within.hpp"
#include "base/text.hpp"
#include "model/layer_sink.hpp"
#include <evengrad/model.hpp>

namespace evengrad {

namespace {

void check_slope_and_init(double negative_slope, const InitConfig& init,
                          std::vector<std::string>& problems) {
    if (!(std::abs(negative_slope) <= 100.0))
        problems.push_back(
            fmt::format("--negative-slope must be between -100 and 100, not {}", negative_slope));
    const std::vector<std::string> more = init.validate();
    problems.insert(problems.end(), more.begin(), more.end());
}

}  // namespace

// ---------------------------------------------------------------------------------- transformer

std::vector<std::string> GptConfig::validate() const {
    std::vector<std::string> problems;
    const auto within = [&](Index value, Index low, Index high, const char* option) {
        return check_within(value, low, high, option, problems);
    };
    within(num_layers, 1, 4096, "num-layers");
    const bool hidden = within(hidden_size, 1, 65536, "hidden-size");
    within(ffn_hidden_size, 0, 1 << 20, "ffn-hidden-size");
    const bool heads = within(num_attention_heads, 1, 65535, "num-attention-heads");
    within(seq_length, 1, 1 << 20, "seq-length");
    within(vocab_size, 2, 1 << 24, "vocab-size");
    if (hidden && heads && hidden_size % num_attention_heads != 0)
        problems.push_back(
            fmt::format("--hidden-size {} is not divisible by --num-attention-heads {}",
                        hidden_size, num_attention_heads));
    if (!(dropout >= 0.0 && dropout < 1.0))
        problems.push_back(
            fmt::format("--dropout must be at least 0 and below 1, not {}", dropout));
    check_slope_and_init(negative_slope, init, problems);
    return problems;
}

double GptConfig::training_flops(Index length, Index loss_rows) const {
    const auto c = static_cast<double>(hidden_size), f = static_cast<double>(ffn_size());
    const auto n = static_cast<double>(length), rows = static_cast<double>(loss_rows);
    const double products = 2.0 * n * (4.0 * c * c + 2.0 * c * f);
    const double attention = 2.0 * 2.0 * c * n * (n + 1.0) / 2.0;
    const double head = 2.0 * rows * c * static_cast<double>(vocab_size);
    return 3.0 * (static_cast<double>(num_layers) * (products + attention) + head);
}

// ------------------------------------------------------------------------ multilayer perceptron

std::vector<std::string> MlpConfig::validate() const {
    std::vector<std::string> problems;
    constexpr std::size_t most = 1024;
    if (layer_widths.size() < 2 || layer_widths.size() > most)
        problems.push_back(fmt::format(
            "--layer-widths must be 2 to {} numbers (features, hidden layers, outputs), not {}",
            most, layer_widths.size()));
    bool widths = true;
    for (std::size_t l = 0; l < layer_widths.size() && widths; ++l)
        widths = check_within(layer_widths[l], 1, 1 << 20, "layer-widths", problems);
    if (loss == MlpLoss::cross_entropy && layer_widths.size() >= 2 && outputs() == 1)
        problems.emplace_back(
            "--layer-widths ends in 1, but --loss cross-entropy needs an output for each class, "
            "at least 2");
    check_slope_and_init(negative_slope, init, problems);
    return problems;
}

double MlpConfig::training_flops() const {
    double flops = 0.0;
    for (Index l = 0; l < layers(); ++l)
        flops += (l == 0 ? 4.0 : 6.0) * static_cast<double>(width(l)) *
                 static_cast<double>(width(l + 1));
    return flops;
}

// -------------------------------------------------------------------------------- one of the two

Index ModelConfig::classes() const {
    if (!is_mlp()) return gpt().vocab_size;
    return mlp().loss == MlpLoss::cross_entropy ? mlp().outputs() : 1;
}

std::vector<std::string> ModelConfig::validate() const {
    return is_mlp() ? mlp().validate() : gpt().validate();
}

double ModelConfig::least_parameters() const {
    double count = 0.0;
    const auto matrix = [&](Index rows, Index columns) {
        count += static_cast<double>(rows) * static_cast<double>(columns);
    };
    if (is_mlp()) {
        for (Index l = 0; l < mlp().layers(); ++l) matrix(mlp().width(l + 1), mlp().width(l));
        return count;
    }
    const Index c = gpt().hidden_size;
    matrix(4 * c + 2 * gpt().ffn_size(), c);
    count *= static_cast<double>(gpt().num_layers);
    matrix(gpt().vocab_size + gpt().seq_length, c);
    return count;
}

double ModelConfig::training_flops(Index length, Index loss_rows) const {
    return is_mlp() ? static_cast<double>(length) * mlp().training_flops()
                    : gpt().training_flops(length, loss_rows);
}

std::string describe(const ModelConfig& config) {
    if (!config.is_mlp()) {
        const GptConfig& c = config.gpt();
        return fmt::format("gpt, {} x {}, {}, MLP {} ({}), sequences of {}, vocabulary {}",
                           counted(c.num_layers, "layer"), c.hidden_size,
                           counted(c.num_attention_heads, "head"), c.ffn_size(),
                           activation_names[static_cast<std::size_t>(c.activation)], c.seq_length,
                           c.vocab_size);
    }
    const MlpConfig& c = config.mlp();
    const bool hidden = c.layer_widths.size() > 2;  // otherwise nothing is activated
    return fmt::format(
        "mlp, {}, {}{}{}{}", fmt::join(c.layer_widths, "-"),
        hidden ? activation_names[static_cast<std::size_t>(c.activation)] + std::string(", ") : "",
        c.norm == MlpNorm::layernorm ? "layernorm, " : "", c.residual ? "residual, " : "",
        mlp_loss_names[static_cast<std::size_t>(c.loss)]);
}

std::vector<ActivationLayer> activation_layers(const ModelConfig& config) {
    std::vector<ActivationLayer> layers;
    if (config.is_mlp()) {
        const MlpConfig& mlp = config.mlp();
        for (Index l = 0; l + 1 < mlp.layers(); ++l)
            layers.push_back(
                {fmt::format("layers.{}", l), mlp.width(l), mlp.width(l + 1), mlp.activation});
    } else {
        const GptConfig& gpt = config.gpt();
        for (Index l = 0; l < gpt.num_layers; ++l)
            layers.push_back({fmt::format("blocks.{}.mlp.fc", l), gpt.hidden_size, gpt.ffn_size(),
                              gpt.activation});
    }
    return layers;
}

}  // namespace evengrad
