#include "data/sentencepiece_model.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include <utf8.h>

#include <evengrad/error.hpp>

namespace evengrad {

namespace {

// A protocol buffer's smallest field takes 2 bytes in the file and about 50 in the library's
// memory.
constexpr std::size_t most_fields = 6'000'000;
constexpr std::size_t longest_piece = 2048;  // bytes; in training at most 512 characters
// SentencePiece's fixed result arrays: matches along one text beyond these would overrun them.
constexpr std::size_t most_nested_symbols = 64;
constexpr std::size_t most_nested_rules = 32;
constexpr float largest_score = 1e9F;
constexpr std::size_t largest_self_test = std::size_t{1} << 20;

[[noreturn]] void fail(const std::string& what) {
    throw Error("not a SentencePiece model, or a damaged one: " + what);
}

/// The fields of one message of a protocol buffer
/// (https://protobuf.dev/programming-guides/encoding), one after another.
class Fields {
  public:
    Fields(std::string_view bytes, std::size_t& fields_left)
        : rest_(bytes), fields_left_(fields_left) {}

    /// Goes to the next field; false at the end.
    bool next() {
        if (rest_.empty()) return false;
        if (fields_left_-- == 0) fail("it has too many fields");
        const std::uint64_t key = read_varint();
        number_ = key >> 3;
        if (number_ == 0 || number_ >= std::uint64_t{1} << 29) fail("a field without a number");
        wire_type_ = static_cast<unsigned>(key & 7U);
        switch (wire_type_) {
            case 0:
                varint_ = read_varint();
                break;
            case 1:
                value_ = take(8);
                break;
            case 2:
                value_ = take(read_varint());
                break;
            case 5:
                value_ = take(4);
                break;
            default:
                fail("a field of an unknown kind");
        }
        return true;
    }
    std::uint64_t number() const { return number_; }

    std::uint64_t varint() const { return expect(0), varint_; }
    bool boolean() const { return varint() != 0; }
    std::string_view bytes() const { return expect(2), value_; }
    float number32() const {
        expect(5);
        std::uint32_t bits = 0;
        for (std::size_t i = 4; i-- > 0;) bits = bits << 8 | static_cast<unsigned char>(value_[i]);
        return std::bit_cast<float>(bits);
    }

  private:
    void expect(unsigned wire_type) const {
        if (wire_type_ != wire_type) fail(fmt::format("field {} has another type", number_));
    }
    std::string_view take(std::uint64_t size) {
        if (size > rest_.size()) fail("it is cut off");
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return taken;
    }
    std::uint64_t read_varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto byte = static_cast<unsigned char>(take(1).front());
            value |= std::uint64_t{byte & 0x7FU} << shift;
            if (byte < 0x80) return value;
        }
        fail("a number is too long");
    }

    std::string_view rest_;
    std::size_t& fields_left_;
    std::uint64_t number_ = 0, varint_ = 0;
    unsigned wire_type_ = 0;
    std::string_view value_;
};

SentencePiece read_piece(std::string_view bytes, std::size_t& fields_left) {
    SentencePiece piece;
    Fields fields(bytes, fields_left);
    while (fields.next()) {
        if (fields.number() == 1) piece.text = fields.bytes();
        if (fields.number() == 2) piece.score = fields.number32();
        if (fields.number() == 3) {
            if (fields.varint() < 1 || fields.varint() > 6)
                fail(fmt::format("a piece of the unknown type {}", fields.varint()));
            piece.type = static_cast<PieceType>(fields.varint());
        }
    }
    return piece;
}

void read_trainer(std::string_view bytes, std::size_t& fields_left, SentencePieceModel& model) {
    Fields fields(bytes, fields_left);
    while (fields.next()) switch (fields.number()) {
            case 3:
                if (fields.varint() < 1 || fields.varint() > 4)
                    fail(fmt::format("the unknown model type {}", fields.varint()));
                break;
            case 24:
                model.whitespace_as_suffix = fields.boolean();
                break;
            case 35:
                model.byte_fallback = fields.boolean();
                break;
            case 46:
                model.begin_piece = fields.bytes();
                break;
            case 47:
                model.end_piece = fields.bytes();
                break;
            default:
                break;
        }
}

void read_normalizer(std::string_view bytes, std::size_t& fields_left, SentencePieceModel& model) {
    Fields fields(bytes, fields_left);
    while (fields.next()) switch (fields.number()) {
            case 2:
                model.characters_map = fields.bytes();
                break;
            case 3:
                model.add_dummy_prefix = fields.boolean();
                break;
            case 4:
                model.remove_extra_whitespaces = fields.boolean();
                break;
            case 5:
                model.escape_whitespaces = fields.boolean();
                break;
            default:
                break;
        }
}

/// The rules of a normalization: a double-array trie (Darts-clone's format; Yata et al., "A compact
/// static double-array keeping character codes", 2007) whose leaves point into a block of texts.
/// Walked as the library will, and checked never to leave the array or the block.
class CharactersMap {
  public:
    explicit CharactersMap(std::string_view bytes) {
        std::uint32_t size = 0;
        if (bytes.size() < sizeof size) fail("the normalization is cut off");
        size = unit_at(bytes, 0);
        bytes.remove_prefix(sizeof size);
        if (size % 4 != 0 || size == 0 || size >= bytes.size())
            fail("the normalization's table has a wrong size");
        units_ = bytes.substr(0, size);
        texts_ = bytes.substr(size);
        if (texts_.back() != '\0') fail("the normalization's texts don't end");
        visit(offset(unit(0)), 0);
    }

  private:
    static constexpr std::size_t deepest = 256;  // bytes of the longest text a rule replaces
    static constexpr std::uint32_t in_progress = ~std::uint32_t{0};

    static std::uint32_t unit_at(std::string_view bytes, std::size_t index) {
        std::uint32_t value = 0;
        std::memcpy(&value, bytes.data() + 4 * index, 4);
        return value;
    }
    std::uint32_t unit(std::size_t index) const { return unit_at(units_, index); }
    static std::uint32_t offset(std::uint32_t unit) {
        return (unit >> 10) << ((unit & 0x200U) >> 6);
    }

    /// The most rules that match along one text from the node at `base` on. (Nodes may be shared.)
    std::uint32_t visit(std::size_t base, std::size_t depth) {
        if (depth > deepest) fail("the normalization's table is too deep");
        if ((base | 0xFFU) >= units_.size() / 4) fail("the normalization's table points outside");
        const auto found = known_.find(base);
        if (found != known_.end()) {
            if (found->second == in_progress) fail("the normalization's table has a loop");
            return found->second;
        }
        known_[base] = in_progress;
        std::uint32_t most = 0;
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            const std::size_t at = base ^ byte;
            const std::uint32_t child = unit(at);
            if ((child & 0x800000FFU) != byte) continue;
            const std::size_t next = at ^ offset(child);
            std::uint32_t matches = visit(next, depth + 1);
            if ((child & 0x100U) != 0) {
                ++matches;
                if ((unit(next) & 0x7FFFFFFFU) >= texts_.size())
                    fail("the normalization's table points outside its texts");
            }
            most = std::max(most, matches);
        }
        if (most > most_nested_rules) fail("the normalization's rules are nested too deep");
        return known_[base] = most;
    }

    std::string_view units_, texts_;
    std::unordered_map<std::size_t, std::uint32_t> known_;
};

void check_pieces(const SentencePieceModel& model) {
    if (model.pieces.empty()) fail("it has no pieces");
    std::array<bool, 256> bytes{};
    std::size_t unknown = 0;
    std::vector<std::string_view> symbols;
    for (std::size_t i = 0; i < model.pieces.size(); ++i) {
        const SentencePiece& piece = model.pieces[i];
        if (piece.text.empty() || piece.text.size() > longest_piece ||
            piece.text.find('\0') != std::string_view::npos ||
            !utf8::is_valid(piece.text.begin(), piece.text.end()))
            fail(fmt::format("piece {} is empty, too long or not UTF-8", i));
        if (!(std::abs(piece.score) <= largest_score))
            fail(fmt::format("piece {} has the score {}", i, piece.score));
        if (piece.type == PieceType::unknown) ++unknown;
        if (piece.type == PieceType::user_defined) symbols.push_back(piece.text);
        if (piece.type == PieceType::byte) {
            unsigned value = 0;
            while (value < 256 && piece.text != fmt::format("<0x{:02X}>", value)) ++value;
            if (value == 256) fail(fmt::format("piece {} is no byte", i));
            bytes[value] = true;
        }
    }
    if (unknown != 1) fail("it needs one piece for unknown text");
    if (model.byte_fallback && std::find(bytes.begin(), bytes.end(), false) != bytes.end())
        fail("pieces for some bytes are missing");
    // How many symbols can begin with one another: in sorted order a prefix comes first.
    std::sort(symbols.begin(), symbols.end());
    std::vector<std::string_view> nested;
    for (const std::string_view symbol : symbols) {
        while (!nested.empty() && !symbol.starts_with(nested.back())) nested.pop_back();
        nested.push_back(symbol);
        if (nested.size() > most_nested_symbols) fail("too many symbols begin with one another");
    }
}

}  // namespace

std::int32_t SentencePieceModel::control(std::string_view name) const {
    for (std::size_t i = 0; i < pieces.size(); ++i)
        if (pieces[i].type == PieceType::control && pieces[i].text == name)
            return static_cast<std::int32_t>(i);
    return -1;
}

SentencePieceModel read_sentencepiece_model(std::string_view bytes) {
    if (bytes.empty() || bytes.size() > largest_sentencepiece_model)
        fail(fmt::format("it has {} bytes; 1 to {} are read", bytes.size(),
                         largest_sentencepiece_model));
    SentencePieceModel model;
    std::size_t fields_left = most_fields;
    Fields fields(bytes, fields_left);
    // Of a part that is there twice, the library too lets the last value of each field win.
    while (fields.next()) switch (fields.number()) {
            case 1:
                model.pieces.push_back(read_piece(fields.bytes(), fields_left));
                break;
            case 2:
                read_trainer(fields.bytes(), fields_left, model);
                break;
            case 3:
                read_normalizer(fields.bytes(), fields_left, model);
                break;
            case 4:  // texts that the library encodes while it loads the model, as a test of it
                if (fields.bytes().size() > largest_self_test) fail("its self-test is too large");
                break;
            case 5: {
                SentencePieceModel reverse;
                read_normalizer(fields.bytes(), fields_left, reverse);
                if (!reverse.characters_map.empty())
                    model.reverse_characters_map = reverse.characters_map;
                break;
            }
            default:
                break;
        }
    check_pieces(model);
    for (const std::string_view map : {model.characters_map, model.reverse_characters_map})
        if (!map.empty()) CharactersMap{map};
    return model;
}

}  // namespace evengrad
