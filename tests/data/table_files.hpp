// Tables read from files, and the errors that they give.
#pragma once

#include "data_files.hpp"
#include "reading.hpp"

namespace evengrad::test {

inline TableOptions values_of(std::vector<std::string> columns = {}) {
    TableOptions options;
    options.targets = TableTargets::values;
    options.target_columns = std::move(columns);
    return options;
}

inline std::vector<float> features_of(const DataPart& part, std::int64_t row) {
    std::vector<float> features(static_cast<std::size_t>(part.row_shape().features)),
        values(static_cast<std::size_t>(part.row_shape().values));
    part.read_row(row, features, values);
    return features;
}
inline std::vector<float> values_of(const DataPart& part, std::int64_t row) {
    std::vector<float> features(static_cast<std::size_t>(part.row_shape().features)),
        values(static_cast<std::size_t>(part.row_shape().values));
    part.read_row(row, features, values);
    return values;
}
inline std::vector<std::int32_t> classes_of(const DataPart& part) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(part.tokens())), classes;
    part.read(part.begin(), tokens, {});
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (i % 2 == 1)
            classes.push_back(tokens[i]);
        else
            EXPECT_EQ(tokens[i], 0);
    }
    return classes;
}
inline std::vector<float> weights_of(const DataPart& part) {
    std::vector<float> all(static_cast<std::size_t>(part.tokens())), weights;
    part.read(part.begin(), {}, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (i % 2 == 1)
            weights.push_back(all[i]);
        else
            EXPECT_EQ(all[i], 0.0F);
    }
    return weights;
}

class TableFiles : public DataFiles {
  protected:
    Dataset table(std::string_view name, std::string_view bytes, const TableOptions& options = {},
                  std::shared_ptr<const Tokenizer> tokenizer = nullptr) const {
        return open_table({write(name, bytes).string()}, options, std::move(tokenizer));
    }
    Dataset csv(std::string_view bytes, const TableOptions& options = {},
                std::shared_ptr<const Tokenizer> tokenizer = nullptr) const {
        return table("a.csv", bytes, options, std::move(tokenizer));
    }

    /// The message of the Error that `action` gives, without the folder's name.
    template <class Action>
    std::string error_of(const Action& action) const {
        try {
            action();
        } catch (const Error& error) {
            std::string message = error.what();
            const std::string prefix = path("").string();
            for (std::size_t at = 0; (at = message.find(prefix)) != message.npos;)
                message.erase(at, prefix.size());
            EXPECT_FALSE(error.hint().empty()) << message;
            return message;
        }
        ADD_FAILURE() << "no error";
        return "";
    }
    std::string csv_error(std::string_view bytes, const TableOptions& options = {},
                          std::shared_ptr<const Tokenizer> tokenizer = nullptr) const {
        return error_of([&] { csv(bytes, options, tokenizer); });
    }
};

}  // namespace evengrad::test
