// JSON Lines without building JSON values: a SAX handler takes what a line may have and refuses
// anything else where it begins. No depth of nesting costs stack or memory.
#include "data/jsonl_line.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <type_traits>
#include <utility>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <utf8.h>

#include "base/json_problem.hpp"
#include "data/document_sink.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 4> roles = {"system", "user", "assistant", "tool"};
constexpr std::array<std::string_view, 3> message_keys = {"role", "content", "weight"};
/// In the order in which messages name them.
constexpr std::array<std::string_view, 8> line_keys = {
    "text", "prompt", "completion", "messages", "input_ids", "labels", "weight", "weights"};

constexpr const char* vocabulary_hint =
    "say which vocabulary the ids are of: --tokenizer ids:VOCABULARY:END_OF_TEXT (evaluate takes "
    "the checkpoint's)";

[[noreturn]] void fail(std::string what, std::string hint = {}, std::size_t byte = 0) {
    throw JsonlProblem{byte, std::move(what), std::move(hint)};
}

/// Text from the file that may be long, shortened for a message. `text` is valid UTF-8.
std::string shorten(std::string text, std::size_t limit) {
    if (text.size() <= limit) return text;
    std::size_t end = limit;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    return text.substr(0, end) + "...";
}

std::string quote(std::string_view text) {
    return json(shorten(std::string(text), 60)).dump();
}

std::string element(std::string_view array, std::size_t index) {
    return fmt::format("{}[{}]", quote(array), index);
}

[[noreturn]] void fail_unknown_key(const std::string& name, const std::string& where) {
    const bool plain = name.size() <= 60 && !name.empty() &&
                       std::all_of(name.begin(), name.end(), [](unsigned char c) {
                           return c < 0x80 && (std::isalpha(c) != 0 || c == '_');
                       });
    const std::string path = (where.empty() ? "." : ".messages[].") + name;
    fail(fmt::format("unknown key {}{}", quote(name), where),
         plain ? fmt::format("nothing in the data is ignored; to drop it: "
                             "jq -c 'del({})' OLD.jsonl > NEW.jsonl",
                             path)
               : "nothing in the data is ignored; drop the key");
}

/// Fills a JsonlLine. Every callback returns true or throws.
class LineHandler final : public nlohmann::json_sax<json> {
  public:
    LineHandler(JsonlLine& line, std::int32_t vocabulary_size)
        : line_(line), vocabulary_size_(vocabulary_size) {}

    bool null() override { refuse("null"); }
    bool boolean(bool) override { refuse("a boolean"); }
    bool binary(binary_t&) override { refuse("binary"); }
    bool number_integer(number_integer_t value) override { return number(value); }
    bool number_unsigned(number_unsigned_t value) override { return number(value); }
    bool number_float(number_float_t value, const string_t& text) override {
        // A whole number with more digits than the parser's integers hold comes here, too.
        if (in_array_ && (array_ == "input_ids" || array_ == "labels") &&
            text.find_first_of(".eE") == std::string::npos)
            fail_not_in_vocabulary(shorten(text, 60));
        return number(value);
    }

    bool string(string_t& value) override {
        if (in_array_ || !in_line_) refuse("a string");
        if (key_ == "text")
            line_.text = std::move(value);
        else if (key_ == "prompt")
            line_.prompt = std::move(value);
        else if (key_ == "completion")
            line_.completion = std::move(value);
        else if (key_ == "content")
            line_.messages->back().content = std::move(value);
        else if (key_ == "role")
            line_.messages->back().role = known_role(value);
        else
            refuse("a string");
        return true;
    }

    bool start_object(std::size_t) override {
        if (!in_line_) {
            in_line_ = true;
        } else if (in_array_ && array_ == "messages") {
            line_.messages->emplace_back();
            in_message_ = true;
            in_array_ = false;
            seen_in_message_.clear();
        } else {
            refuse("an object");
        }
        return true;
    }

    bool key(string_t& name) override {
        const auto find = [&](const auto& known) {
            const auto found = std::find(known.begin(), known.end(), name);
            if (found == known.end()) fail_unknown_key(name, in_this_message());
            return *found;
        };
        key_ = in_message_ ? find(message_keys) : find(line_keys);
        if (!(in_message_ ? seen_in_message_ : seen_).insert(key_).second)
            fail(fmt::format("key {}{} comes twice", quote(name), in_this_message()));
        return true;
    }

    bool end_object() override {
        if (!in_message_) return true;
        for (const std::string_view name : {"role", "content"})
            if (!seen_in_message_.contains(name))
                fail(fmt::format("{} has no {}", element(array_, line_.messages->size() - 1),
                                 quote(name)));
        in_message_ = false;
        in_array_ = true;
        return true;
    }

    bool start_array(std::size_t) override {
        if (!in_line_ || in_array_ || in_message_) refuse("an array");
        if (key_ == "messages")
            line_.messages.emplace();
        else if (key_ == "input_ids")
            line_.input_ids.emplace();
        else if (key_ == "labels")
            line_.labels.emplace();
        else if (key_ == "weights")
            line_.weights.emplace();
        else
            refuse("an array");
        array_ = key_;
        in_array_ = true;
        return true;
    }

    bool end_array() override {
        in_array_ = false;
        return true;
    }

    bool parse_error(std::size_t position, const std::string&,
                     const json::exception& error) override {
        fail("not valid JSON: " + json_problem(error.what()), {}, position);
    }

  private:
    std::string in_this_message() const {
        return in_message_ ? " in " + element(array_, line_.messages->size() - 1) : "";
    }

    /// How many entries the array that is being read has so far.
    std::size_t entries() const {
        if (array_ == "messages") return line_.messages->size();
        if (array_ == "input_ids") return line_.input_ids->size();
        if (array_ == "labels") return line_.labels->size();
        return line_.weights->size();
    }

    /// "the value of KEY", or the element of an array.
    std::string place() const {
        if (in_array_) return element(array_, entries());
        return fmt::format("the value of {}{}", quote(key_), in_this_message());
    }

    /// For a value of the wrong type.
    [[noreturn]] void refuse(std::string_view what) const {
        if (!in_line_) fail(fmt::format("the line is {}, not an object", what));
        std::string_view wanted = "a string";
        if (in_array_)
            wanted = array_ == "messages"  ? "an object"
                     : array_ == "weights" ? "a number"
                                           : "a whole number";
        else if (key_ == "weight")
            wanted = "a number";
        else if (key_ == "messages" || key_ == "input_ids" || key_ == "labels" || key_ == "weights")
            wanted = "an array";
        fail(fmt::format("{} is {}, not {}", place(), what, wanted));
    }

    [[noreturn]] void fail_not_in_vocabulary(const std::string& id) const {
        fail(fmt::format("{} is {}, not in the vocabulary (0 to {})", place(), id,
                         vocabulary_size_ - 1),
             vocabulary_hint);
    }

    std::string_view known_role(const std::string& name) const {
        const auto found = std::find(roles.begin(), roles.end(), name);
        if (found == roles.end())
            fail(fmt::format("{} is {}, not one of {}", place(), quote(name),
                             fmt::join(roles, ", ")));
        return *found;
    }

    template <class T>
    bool number(T value) {
        if (in_array_ && array_ == "weights")
            line_.weights->push_back(round_weight(checked_weight(value)));
        else if (in_array_ && array_ == "input_ids")
            line_.input_ids->push_back(checked_id(value));
        else if (in_array_ && array_ == "labels")
            line_.labels->push_back(checked_id(value));
        else if (!in_array_ && in_line_ && key_ == "weight")
            (in_message_ ? line_.messages->back().weight : line_.weight) = checked_weight(value);
        else
            refuse("a number");
        return true;
    }

    template <class T>
    double checked_weight(T value) const {
        const auto weight = static_cast<double>(value);
        if (!(weight >= 0.0 && weight <= largest_weight))
            fail(fmt::format("{} is {}, not from 0 to {}", place(), weight, largest_weight),
                 "a weight says how often a token's loss counts: 0 is never, 1 is usual");
        return weight + 0.0;  // -0.0 becomes 0.0
    }

    template <class T>
    std::int32_t checked_id(T value) const {
        if constexpr (std::is_floating_point_v<T>) {
            refuse("a number with a point or an exponent");
        } else {
            if (array_ == "labels" && std::cmp_equal(value, no_label)) return no_label;
            if (std::cmp_less(value, 0) || std::cmp_greater_equal(value, vocabulary_size_))
                fail_not_in_vocabulary(std::to_string(value));
            return static_cast<std::int32_t>(value);
        }
    }

    JsonlLine& line_;
    std::int32_t vocabulary_size_;
    // Where the parser is: in the line's object; in the array_ of it; in an object of "messages".
    bool in_line_ = false;
    bool in_array_ = false;
    bool in_message_ = false;
    std::string_view key_;
    std::string_view array_;
    std::set<std::string_view> seen_, seen_in_message_;
};

/// Which keys go together.
void check_kind(const JsonlLine& line) {
    struct Key {
        std::string_view name;
        bool is_there;
        int kind;
    };
    const Key keys[] = {{"text", line.text.has_value(), 0},
                        {"prompt", line.prompt.has_value(), 1},
                        {"completion", line.completion.has_value(), 1},
                        {"messages", line.messages.has_value(), 2},
                        {"input_ids", line.input_ids.has_value(), 3},
                        {"labels", line.labels.has_value(), 3}};
    const Key* first = nullptr;
    for (const Key& key : keys) {
        if (!key.is_there) continue;
        if (first == nullptr) first = &key;
        if (key.kind != first->kind)
            fail(fmt::format("{} does not go with {}", quote(first->name), quote(key.name)));
    }
    if (first == nullptr)
        fail(line.weight || line.weights ? "nothing but weights" : "the object has no keys");
    if (line.prompt && !line.completion) fail(R"("prompt" without "completion")");
    if (line.completion && !line.prompt) fail(R"("completion" without "prompt")");
    if (line.labels && !line.input_ids) fail(R"("labels" without "input_ids")");
    if (line.messages && line.messages->empty()) fail(R"("messages" is empty)");
}

void check_labels(const JsonlLine& line) {
    if (!line.labels) return;
    const auto& ids = *line.input_ids;
    const auto& labels = *line.labels;
    if (labels.size() != ids.size())
        fail(fmt::format(R"("labels" has {} entries, "input_ids" has {})", labels.size(),
                         ids.size()),
             "there is one label for each id: the id itself, or -100 for no loss");
    for (std::size_t i = 0; i < ids.size(); ++i)
        if (labels[i] != no_label && labels[i] != ids[i])
            fail(fmt::format("{} is {}, {} is {}", element("labels", i), labels[i],
                             element("input_ids", i), ids[i]),
                 "labels are not shifted (as in Hugging Face): each is the id at its own place, "
                 "or -100 for no loss");
}

void check_weights(const JsonlLine& line) {
    if (line.weight && line.weights) fail(R"("weight" does not go with "weights")");
    const std::size_t segments = line.messages    ? line.messages->size()
                                 : line.input_ids ? line.input_ids->size()
                                 : line.prompt    ? 2
                                                  : 1;
    if (line.weights && line.weights->size() != segments)
        fail(fmt::format(R"("weights" has {} entries, not {})", line.weights->size(), segments),
             "give one for a text, two for prompt and completion, one for each message, "
             "one for each id");
    if (!line.messages) return;
    for (std::size_t i = 0; i < line.messages->size(); ++i) {
        const auto& own = (*line.messages)[i].weight;
        if (!own) continue;
        if (line.weights)
            fail(fmt::format(R"("weight" in {} does not go with "weights")",
                             element("messages", i)));
        if (const double product = *own * line.weight.value_or(1.0); product > largest_weight)
            fail(fmt::format(R"("weight" times "weight" in {} is {}, above {})",
                             element("messages", i), product, largest_weight));
    }
}

}  // namespace

JsonlLine parse_jsonl_line(std::string_view text, std::int32_t vocabulary_size) {
    const std::size_t invalid = utf8::find_invalid(text);
    if (invalid != std::string_view::npos)
        fail("not valid UTF-8", "convert the file to UTF-8, for example with iconv", invalid + 1);
    // The parser takes a zero byte for the end of its input and would ignore what follows.
    if (const auto zero = text.find('\0'); zero != std::string_view::npos)
        fail("a zero byte, which JSON does not allow", {}, zero + 1);
    JsonlLine line;
    LineHandler handler(line, vocabulary_size);
    json::sax_parse(text.begin(), text.end(), &handler);
    check_kind(line);
    check_labels(line);
    check_weights(line);
    return line;
}

}  // namespace evengrad
