#include <algorithm>

#include "base/narrow.hpp"
#include "data/excerpt.hpp"
#include "data/table_readers.hpp"
#include "data/tokenizer_kinds.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

std::int32_t Labels::insert(std::string_view text, std::string where) {
    if (const std::string problem = name_problem(text); !problem.empty())
        throw Error(fmt::format("{}: the class '{}' {}", where, excerpt(text), problem),
                    "is it the column of classes?");
    if (texts_.size() == most_classes)
        throw Error(fmt::format("{}: more than {} classes", where, most_classes),
                    "is it the column of classes? Numbers are predicted with --loss mse");
    const auto number = static_cast<std::int32_t>(texts_.size());
    numbers_.emplace(text, number);
    texts_.emplace_back(text);
    places_.push_back(std::move(where));
    return number;
}

std::shared_ptr<const Tokenizer> Labels::make_classes() const {
    std::int32_t largest = -1;
    for (std::size_t i = 0; i < texts_.size(); ++i) {
        const std::int32_t number = class_number(texts_[i]);
        if (number < 0) {  // they have names
            if (texts_.size() == 1)
                throw Error(fmt::format("{}: all rows are of the class '{}'", places_[0],
                                        excerpt(texts_[0])),
                            "give data of two or more classes");
            std::vector<std::string> names = texts_;
            std::sort(names.begin(), names.end());
            return make_tokenizer(classes_spec(names));
        }
        largest = std::max(largest, number);
    }
    for (std::size_t i = 0; i < texts_.size(); ++i)
        if (class_number(texts_[i]) >= most_classes)
            throw Error(fmt::format("{}: class {}; classes that are numbers go from 0 to {}",
                                    places_[i], excerpt(texts_[i]), most_classes - 1),
                        "is it the column of classes? Numbers are predicted with --loss mse");
    if (largest == 0)
        throw Error(fmt::format("{}: all rows are of class 0", places_[0]),
                    "give data of two or more classes");
    return make_tokenizer(classes_spec(largest + 1));
}

std::vector<std::int32_t> Labels::classes(std::shared_ptr<const Tokenizer>& tokenizer) const {
    if (!tokenizer) tokenizer = make_classes();
    std::vector<std::int32_t> classes;
    for (std::size_t i = 0; i < texts_.size(); ++i) try {
            tokenizer->encode(texts_[i], classes);
        } catch (const Error& error) {
            throw Error(fmt::format("{}: {}", places_[i], error.what()), error.hint());
        }
    return classes;
}

}  // namespace evengrad
