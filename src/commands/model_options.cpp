#include "commands/model_options.hpp"

#include <algorithm>

#include <fmt/ranges.h>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

template <std::size_t Count>
const char* name_in(const std::array<const char*, Count>& names, auto value) {
    return names[static_cast<std::size_t>(value)];
}

std::vector<Index> read_widths(const std::string& text, std::vector<std::string>& problems) {
    const auto widths = whole_numbers(text);
    if (!widths)
        problems.push_back(fmt::format(
            "--layer-widths {}: whole numbers between commas: features, hidden layers, outputs",
            text));
    return widths.value_or(std::vector<Index>());
}

}  // namespace

void add_gpt_options(OptionTable& table, GptConfig& model) {
    table.add("num-layers", model.num_layers, "transformer blocks");
    table.add("hidden-size", model.hidden_size, "channels of the residual stream");
    table.add("ffn-hidden-size", model.ffn_hidden_size,
              "channels inside the MLP; 0: 4 x hidden-size");
    table.add("num-attention-heads", model.num_attention_heads, "heads; divides hidden-size");
    table.add("seq-length", model.seq_length, "longest sequence, tokens");
}

void ModelOptions::add_to(OptionTable& table) {
    table.section("model");
    table.add("model", model_,
              "gpt, a transformer for text, or mlp, a multilayer perceptron for rows of numbers");
    add_gpt_options(table, gpt_);
    table.add("dropout", gpt_.dropout, "probability of dropping an activation");
    table.add("layer-widths", layer_widths_,
              "of an mlp: features, hidden layers, outputs, e.g. 64,256,256,10");
    table.add("residual", residual_, true,
              "a hidden layer adds its input to its output where both are equally wide");
    table.add("norm", norm_, "before the activation of hidden layers: none or layernorm");
    table.add("loss", loss_,
              "cross-entropy (outputs are classes) or mse (they are numbers: mean of squares)");
    table.add("activation", activation_,
              fmt::format("{}; not given: gelu-tanh of a gpt, tanh of an mlp",
                          fmt::join(activation_names, ", ")));
    table.add("negative-slope", negative_slope_, "of leaky-relu, below 0");
    add_init_options(table);

    const std::vector<std::string> models{"gpt", "mlp"};
    table.means_something_with({"num-layers", "hidden-size", "ffn-hidden-size",
                                "num-attention-heads", "seq-length", "dropout"},
                               "model", {"gpt"}, models);
    table.means_something_with({"layer-widths", "residual", "norm", "loss"}, "model", {"mlp"},
                               models);
    table.means_nothing_where(
        {"residual", "norm", "activation", "negative-slope"}, "layer-widths",
        [](const std::string& widths) {
            return std::count(widths.begin(), widths.end(), ',') == 1;
        },
        "without a hidden layer in --layer-widths");
    std::vector<std::string> activations(activation_names.begin(), activation_names.end());
    activations.emplace_back();
    table.means_something_with({"negative-slope"}, "activation", {"leaky-relu"}, activations);
}

void ModelOptions::add_init_options(OptionTable& table) {
    table.add("init", init_scheme_,
              fmt::format("initial weights of linear layers: {}; embeddings are always normal; not "
                          "given: gpt2 of a gpt, xavier of an mlp",
                          fmt::join(init_scheme_names, ", ")));
    table.add("init-method-std", init_.std,
              "standard deviation of normal, of truncated-normal (at two of it), of gpt2 (before a "
              "residual sum 1/sqrt(2 num-layers) of it) and of embeddings");
    table.add("init-bound", init_.bound,
              "of uniform: from -B to B; 0: 1/sqrt(inputs of the layer)");
    table.add("init-constant", init_.constant, "of constant: the value");
    table.add("init-distribution", init_distribution_, "of lecun, xavier, he: normal or uniform");
    table.add("init-fan", init_fan_,
              "what lecun and he divide by: in, out or average (as xavier does)");
    table.add("init-gain", init_.gain,
              fmt::format("factor of lecun, xavier, he, orthogonal: paper (he sqrt 2, others 1), "
                          "activation (by what follows the layer), {}, leaky-relu:SLOPE, a number",
                          fmt::join(activation_names, ", ")));
    std::vector<std::string> all(init_scheme_names.begin(), init_scheme_names.end());
    all.emplace_back();
    table.means_something_with({"init-bound"}, "init", {"uniform"}, all);
    table.means_something_with({"init-constant"}, "init", {"constant"}, all);
    table.means_something_with({"init-distribution"}, "init", {"lecun", "xavier", "he"}, all);
    table.means_something_with({"init-fan"}, "init", {"lecun", "he"}, all);
    table.means_something_with({"init-gain"}, "init", {"lecun", "xavier", "he", "orthogonal"}, all);
}

InitConfig ModelOptions::interpret_init(OptionTable& table, bool is_mlp,
                                        std::vector<std::string>& problems) const {
    InitConfig init = init_;
    if (init_scheme_.empty())
        init.scheme = is_mlp ? InitScheme::xavier : InitScheme::gpt2;
    else
        choose("init", init_scheme_, init.scheme, choices_of<InitScheme>(init_scheme_names),
               problems);
    choose("init-distribution", init_distribution_, init.distribution,
           choices_of<InitDistribution>(init_distribution_names), problems);
    choose("init-fan", init_fan_, init.fan, choices_of<InitFan>(init_fan_names), problems);
    if (init.scheme == InitScheme::constant && !table.given("init-constant"))
        problems.push_back("--init constant: --init-constant is missing");
    if (init_scheme_.empty())
        table.decide("init", std::string(name_in(init_scheme_names, init.scheme)));
    return init;
}

ModelConfig ModelOptions::interpret(OptionTable& table, std::vector<std::string>& problems) const {
    bool is_mlp = false;
    choose("model", model_, is_mlp, {{"gpt", false}, {"mlp", true}}, problems);
    const InitConfig init = interpret_init(table, is_mlp, problems);
    Activation activation = is_mlp ? MlpConfig().activation : GptConfig().activation;
    if (!activation_.empty())
        choose("activation", activation_, activation, choices_of<Activation>(activation_names),
               problems);
    else
        table.decide("activation", std::string(name_in(activation_names, activation)));
    if (!is_mlp) {
        GptConfig gpt = gpt_;
        gpt.init = init;
        gpt.activation = activation;
        gpt.negative_slope = negative_slope_;
        if (problems.empty() && gpt.ffn_hidden_size == 0 && gpt.validate().empty()) {
            gpt.ffn_hidden_size = gpt.ffn_size();
            table.decide("ffn-hidden-size", gpt.ffn_hidden_size);
        }
        return gpt;
    }
    MlpConfig mlp;
    mlp.init = init;
    mlp.activation = activation;
    mlp.negative_slope = negative_slope_;
    mlp.residual = residual_;
    choose("norm", norm_, mlp.norm, choices_of<MlpNorm>(mlp_norm_names), problems);
    choose("loss", loss_, mlp.loss, choices_of<MlpLoss>(mlp_loss_names), problems);
    mlp.layer_widths = read_widths(layer_widths_, problems);
    return mlp;
}

}  // namespace evengrad
