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

nlohmann::ordered_json fields_of(const GptConfig& config) {
    return {
        {"num_layers", config.num_layers},
        {"hidden_size", config.hidden_size},
        {"ffn_hidden_size", config.ffn_size()},
        {"num_attention_heads", config.num_attention_heads},
        {"seq_length", config.seq_length},
        {"vocab_size", config.vocab_size},
        {"init", name_of(config.init.scheme, init_scheme_names)},
        {"init_method_std", config.init.std},
        {"init_bound", config.init.bound},
        {"init_constant", config.init.constant},
        {"init_distribution", name_of(config.init.distribution, init_distribution_names)},
        {"init_fan", name_of(config.init.fan, init_fan_names)},
        {"init_gain", config.init.gain},
        {"dropout", config.dropout},
    };
}

}  // namespace

std::string to_json(const GptConfig& config) {
    return fields_of(config).dump(2);
}

std::optional<Difference> difference(const GptConfig& first, const GptConfig& second) {
    auto a = fields_of(first), b = fields_of(second);
    // They don't shape the tensors.
    for (const auto& [name, value] : a.items())
        if (name != "dropout" && !name.starts_with("init") && value != b[name])
            return Difference{name, value.dump(), b[name].dump()};
    return std::nullopt;
}

GptConfig model_from_json(const std::string& text, const std::string& where) {
    GptConfig config;
    try {
        const auto json = nlohmann::json::parse(text);
        const auto integer = [&](const char* key) {
            const auto& value = json.at(key);
            if (!value.is_number_integer())
                throw Error(fmt::format("{}: '{}' is not an integer", where, key));
            return value.get<std::int64_t>();
        };
        config.num_layers = integer("num_layers");
        config.hidden_size = integer("hidden_size");
        config.ffn_hidden_size = integer("ffn_hidden_size");
        config.num_attention_heads = integer("num_attention_heads");
        config.seq_length = integer("seq_length");
        config.vocab_size = integer("vocab_size");
        InitConfig& init = config.init;
        read_name(json, "init", init_scheme_names, init.scheme, where);
        init.std = json.at("init_method_std").get<double>();
        init.bound = json.at("init_bound").get<double>();
        init.constant = json.at("init_constant").get<double>();
        read_name(json, "init_distribution", init_distribution_names, init.distribution, where);
        read_name(json, "init_fan", init_fan_names, init.fan, where);
        init.gain = json.at("init_gain").get<std::string>();
        config.dropout = json.at("dropout").get<double>();
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
