#include "checkpoint/schema.hpp"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "base/json_problem.hpp"
#include <evengrad/error.hpp>

namespace evengrad::schema {

namespace {

template <class Enum, std::size_t Count>
const char* name_of(Enum value, const std::array<const char*, Count>& names) {
    return names[static_cast<std::size_t>(value)];
}

template <class Enum, std::size_t Count>
void read_name(const nlohmann::json& json, const char* key,
               const std::array<const char*, Count>& names, Enum& value, const std::string& where) {
    const auto text = json.at(key).get<std::string>();
    const auto found = std::find(names.begin(), names.end(), text);
    if (found == names.end())
        throw Error(
            fmt::format("{}: '{}' can be {}, not '{}'", where, key, fmt::join(names, ", "), text),
            "the checkpoint is damaged");
    value = static_cast<Enum>(found - names.begin());
}

void add_init(nlohmann::ordered_json& json, const InitConfig& init) {
    json["init"] = name_of(init.scheme, init_scheme_names);
    json["init_method_std"] = init.std;
    json["init_bound"] = init.bound;
    json["init_constant"] = init.constant;
    json["init_distribution"] = name_of(init.distribution, init_distribution_names);
    json["init_fan"] = name_of(init.fan, init_fan_names);
    json["init_gain"] = init.gain;
}

void read_init(const nlohmann::json& json, InitConfig& init, const std::string& where) {
    read_name(json, "init", init_scheme_names, init.scheme, where);
    init.std = json.at("init_method_std").get<double>();
    init.bound = json.at("init_bound").get<double>();
    init.constant = json.at("init_constant").get<double>();
    read_name(json, "init_distribution", init_distribution_names, init.distribution, where);
    read_name(json, "init_fan", init_fan_names, init.fan, where);
    init.gain = json.at("init_gain").get<std::string>();
}

nlohmann::ordered_json fields_of(const GptConfig& config) {
    nlohmann::ordered_json json{
        {"num_layers", config.num_layers},
        {"hidden_size", config.hidden_size},
        {"ffn_hidden_size", config.ffn_size()},
        {"num_attention_heads", config.num_attention_heads},
        {"seq_length", config.seq_length},
        {"vocab_size", config.vocab_size},
        {"activation", name_of(config.activation, activation_names)},
        {"negative_slope", config.negative_slope},
        {"dropout", config.dropout},
    };
    add_init(json, config.init);
    return json;
}

nlohmann::ordered_json fields_of(const MlpConfig& config) {
    nlohmann::ordered_json json{
        {"layer_widths", config.layer_widths},
        {"activation", name_of(config.activation, activation_names)},
        {"negative_slope", config.negative_slope},
        {"residual", config.residual},
        {"norm", name_of(config.norm, mlp_norm_names)},
        {"loss", name_of(config.loss, mlp_loss_names)},
    };
    add_init(json, config.init);
    return json;
}

nlohmann::ordered_json fields_of(const ModelConfig& config) {
    return config.is_mlp() ? fields_of(config.mlp()) : fields_of(config.gpt());
}

std::int64_t integer(const nlohmann::json& value, const char* key, const std::string& where) {
    if (!value.is_number_integer())
        throw Error(fmt::format("{}: '{}' is not an integer", where, key));
    return value.get<std::int64_t>();
}

GptConfig read_gpt(const nlohmann::json& json, const std::string& where) {
    GptConfig config;
    const auto number = [&](const char* key) { return integer(json.at(key), key, where); };
    config.num_layers = number("num_layers");
    config.hidden_size = number("hidden_size");
    config.ffn_hidden_size = number("ffn_hidden_size");
    config.num_attention_heads = number("num_attention_heads");
    config.seq_length = number("seq_length");
    config.vocab_size = number("vocab_size");
    read_name(json, "activation", activation_names, config.activation, where);
    config.negative_slope = json.at("negative_slope").get<double>();
    config.dropout = json.at("dropout").get<double>();
    read_init(json, config.init, where);
    return config;
}

MlpConfig read_mlp(const nlohmann::json& json, const std::string& where) {
    MlpConfig config;
    for (const auto& width : json.at("layer_widths"))
        config.layer_widths.push_back(integer(width, "layer_widths", where));
    read_name(json, "activation", activation_names, config.activation, where);
    config.negative_slope = json.at("negative_slope").get<double>();
    config.residual = json.at("residual").get<bool>();
    read_name(json, "norm", mlp_norm_names, config.norm, where);
    read_name(json, "loss", mlp_loss_names, config.loss, where);
    read_init(json, config.init, where);
    return config;
}

}  // namespace

std::string to_json(const ModelConfig& config) {
    return fields_of(config).dump(2);
}

std::optional<Difference> difference(const ModelConfig& first, const ModelConfig& second) {
    if (first.is_mlp() != second.is_mlp()) return Difference{"model", first.name(), second.name()};
    auto a = fields_of(first), b = fields_of(second);
    // They don't shape the tensors, nor what is computed from them without chance.
    for (const auto& [name, value] : a.items())
        if (name != "dropout" && !name.starts_with("init") && value != b[name])
            return Difference{name, value.dump(), b[name].dump()};
    return std::nullopt;
}

ModelConfig model_from_json(const std::string& architecture, const std::string& text,
                            const std::string& where) {
    ModelConfig config;
    try {
        const auto json = nlohmann::json::parse(text);
        if (architecture == "mlp")
            config = read_mlp(json, where);
        else if (architecture == "gpt")
            config = read_gpt(json, where);
        else
            throw Error(fmt::format("{}: the architecture is '{}', this version knows gpt and mlp",
                                    where, architecture));
    } catch (const nlohmann::json::exception& error) {
        throw Error(fmt::format("{}: {}", where, json_problem(error.what())),
                    "the checkpoint is damaged");
    }
    const auto problems = config.validate();
    if (!problems.empty())
        throw Error(fmt::format("{}: {}", where, fmt::join(problems, "; ")),
                    "the checkpoint is damaged");
    return config;
}

}  // namespace evengrad::schema
