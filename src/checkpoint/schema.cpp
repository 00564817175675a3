#include "checkpoint/schema.hpp"

#include <nlohmann/json.hpp>

#include "base/json_problem.hpp"
#include <evengrad/error.hpp>

namespace evengrad::schema {

namespace {

nlohmann::ordered_json fields_of(const GptConfig& config) {
    return {
        {"num_layers", config.num_layers},
        {"hidden_size", config.hidden_size},
        {"ffn_hidden_size", config.ffn_size()},
        {"num_attention_heads", config.num_attention_heads},
        {"seq_length", config.seq_length},
        {"vocab_size", config.vocab_size},
        {"init_method_std", config.init_method_std},
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
    for (const char* name : {"init_method_std", "dropout"}) a.erase(name);
    for (const auto& [name, value] : a.items())
        if (value != b[name]) return Difference{name, value.dump(), b[name].dump()};
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
        config.init_method_std = json.at("init_method_std").get<double>();
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
