// SentencePiece models (Kudo and Richardson, "SentencePiece", EMNLP 2018, demos), through the
// library.
#include <algorithm>
#include <mutex>
#include <unordered_map>

#include <sentencepiece_processor.h>

#include "base/digest.hpp"
#include "data/sentencepiece_library.hpp"
#include "data/sentencepiece_model.hpp"
#include "data/token_texts.hpp"
#include "data/tokenizer_kinds.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr std::string_view space_mark = "\xE2\x96\x81";    // U+2581 stands for a space in pieces
constexpr std::string_view unknown_mark = "\xE2\x81\x87";  // U+2047, what unknown text reads as
// The library takes about 100 bytes of memory a byte of text.
constexpr std::size_t longest_segment = std::size_t{1} << 16;

bool is_text(const SentencePiece& piece) {
    return piece.type == PieceType::normal || piece.type == PieceType::user_defined ||
           piece.type == PieceType::unused;
}

std::string text_of(const SentencePiece& piece) {
    if (piece.type == PieceType::control) return {};
    if (piece.type == PieceType::unknown) return std::string(unknown_mark);
    if (piece.type == PieceType::byte)  // "<0x0A>"
        return {static_cast<char>(std::stoi(std::string(piece.text.substr(3, 2)), nullptr, 16))};
    std::string text;
    for (std::string_view rest = piece.text; !rest.empty();) {
        const std::size_t mark = std::min(rest.find(space_mark), rest.size());
        text += rest.substr(0, mark);
        if (mark == rest.size()) break;
        text += ' ';
        rest.remove_prefix(mark + space_mark.size());
    }
    return text;
}

/// Text comes back as it was: nothing is normalized, added, removed or unknown.
bool is_lossless(const SentencePieceModel& model) {
    return model.byte_fallback && model.characters_map.empty() &&
           model.reverse_characters_map.empty() && !model.add_dummy_prefix &&
           !model.remove_extra_whitespaces && model.escape_whitespaces;
}

/// Tokens of words met before: a text has few words, and the library is slow.
class KnownWords {
  public:
    static constexpr std::size_t longest_word = 32;  // bytes

    /// Appends the tokens of `word` if it is known.
    bool find(std::string_view word, std::vector<std::int32_t>& tokens) {
        const std::lock_guard lock(mutex_);
        const auto found = words_.find(word);
        if (found == words_.end()) return false;
        tokens.insert(tokens.end(), found->second.begin(), found->second.end());
        return true;
    }
    void add(std::string_view word, std::span<const std::int32_t> tokens) {
        constexpr std::size_t most_words = std::size_t{1} << 16;  // about 10 MB
        const std::lock_guard lock(mutex_);
        if (words_.size() >= most_words) words_.clear();
        words_.emplace(word, std::vector(tokens.begin(), tokens.end()));
    }

  private:
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view word) const {
            return std::hash<std::string_view>{}(word);
        }
    };
    std::mutex mutex_;
    std::unordered_map<std::string, std::vector<std::int32_t>, Hash, std::equal_to<>> words_;
};

/// Whether a piece has a space after another character: then words aren't encoded by themselves.
bool joins_words(std::string_view piece) {
    for (std::size_t at = 0; (at = piece.find(space_mark, at + 1)) != std::string_view::npos;)
        if (at < space_mark.size() ||
            piece.substr(at - space_mark.size(), space_mark.size()) != space_mark)
            return true;
    return false;
}

class SentencePieceTokenizer final : public Tokenizer {
  public:
    SentencePieceTokenizer(TokenizerSpec given, const SentencePieceModel& model)
        : Tokenizer(std::move(given)),
          add_dummy_prefix_(model.add_dummy_prefix && !model.whitespace_as_suffix) {
        quiet_sentencepiece();
        try {
            const auto status = processor_.LoadFromSerializedProto(spec().model);
            if (!status.ok())
                throw Error(fmt::format("not a SentencePiece model, or a damaged one: {}",
                                        status.error_message()));
        } catch (const Error&) {
            throw;
        } catch (const std::exception& error) {  // a trie that could not be built, memory
            throw Error(
                fmt::format("not a SentencePiece model, or a damaged one: {}", error.what()));
        }
        bool newline_is_alone = true, words_are_alone = true;
        for (const SentencePiece& piece : model.pieces) {
            texts_.add(evengrad::text_of(piece));
            if (!is_text(piece)) continue;
            if (piece.text.size() > 1 && piece.text.find('\n') != std::string_view::npos)
                newline_is_alone = false;
            if (joins_words(piece.text)) words_are_alone = false;
        }
        if (!is_lossless(model)) return;
        // U+2581 itself would come back as a space, were it not written as bytes.
        for (const char byte : space_mark)
            space_mark_.push_back(
                processor_.PieceToId(fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte))));
        if (newline_is_alone) encode_segment("\n", newline_);
        words_are_alone_ = words_are_alone;
    }

    void encode(std::string_view text, std::vector<std::int32_t>& tokens) const override {
        while (!text.empty()) {
            if (!newline_.empty() && text.front() == '\n') {
                tokens.insert(tokens.end(), newline_.begin(), newline_.end());
                text.remove_prefix(1);
            } else if (!space_mark_.empty() && text.starts_with(space_mark)) {
                tokens.insert(tokens.end(), space_mark_.begin(), space_mark_.end());
                text.remove_prefix(space_mark.size());
            } else {
                const std::size_t size = segment(text);
                encode_segment(text.substr(0, size), tokens);
                text.remove_prefix(size);
                // The prefix that the model puts before a text stands for this space.
                if (add_dummy_prefix_ && text.starts_with(' ')) text.remove_prefix(1);
            }
        }
    }
    std::string_view text_of(std::int32_t token) const override { return texts_[token]; }

  private:
    /// How much of `text`, from its beginning, to encode at once: to where the tokens must change
    /// anyway, else to a space that begins a word, else to a character.
    std::size_t segment(std::string_view text) const {
        std::size_t end = 1;
        for (; end < text.size() && end <= longest_segment; ++end) {
            if (words_are_alone_ && text[end] == ' ' && text[end - 1] != ' ') return end;
            if (!newline_.empty() && text[end] == '\n') return end;
            if (!space_mark_.empty() && text.substr(end, space_mark.size()) == space_mark)
                return end;
        }
        if (end <= longest_segment) return end;
        for (end = longest_segment - 1; end > longest_segment / 2; --end)
            if (text[end] == ' ' && text[end - 1] != ' ' && text[end + 1] != ' ') return end;
        end = longest_segment;
        while ((static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
        return end;
    }
    void encode_segment(std::string_view text, std::vector<std::int32_t>& tokens) const {
        const bool is_word = words_are_alone_ && text.size() <= KnownWords::longest_word;
        if (is_word && words_.find(text, tokens)) return;
        std::vector<int> ids;
        const auto status = processor_.Encode(text, &ids);
        if (!status.ok())
            throw Error(
                fmt::format("SentencePiece can't encode a text: {}", status.error_message()));
        tokens.insert(tokens.end(), ids.begin(), ids.end());
        if (is_word) words_.add(text, ids);
    }

    sentencepiece::SentencePieceProcessor processor_;
    TokenTexts texts_;
    bool add_dummy_prefix_;
    bool words_are_alone_ = false;  ///< no token has a part of two words; a space begins a word
    mutable KnownWords words_;
    std::vector<std::int32_t> newline_;     ///< where "\n" is always by itself: its tokens
    std::vector<std::int32_t> space_mark_;  ///< where text comes back as it was: U+2581's bytes
};

/// The specification without the model's bytes.
TokenizerSpec summary_of(const SentencePieceModel& model) {
    TokenizerSpec spec;
    spec.kind = "sentencepiece";
    spec.vocabulary_size = static_cast<std::int32_t>(model.pieces.size());
    spec.end_of_text = model.control(model.end_piece);
    if (spec.end_of_text < 0) spec.end_of_text = model.control(model.begin_piece);
    if (spec.end_of_text < 0)
        throw Error(fmt::format("the SentencePiece model has no piece to end a document with "
                                "(neither {} nor {})",
                                model.end_piece, model.begin_piece),
                    "train it with an --eos_id that is not -1, or let prepare train one: "
                    "--train-tokenizer bpe:8000");
    return spec;
}

}  // namespace

TokenizerSpec sentencepiece_spec(std::string model) {
    TokenizerSpec spec = summary_of(read_sentencepiece_model(model));
    spec.model = std::move(model);
    return spec;
}

std::shared_ptr<const Tokenizer> make_sentencepiece_tokenizer(const TokenizerSpec& spec) {
    const SentencePieceModel model = read_sentencepiece_model(spec.model);
    const TokenizerSpec own = summary_of(model);
    if (own.vocabulary_size != spec.vocabulary_size || own.end_of_text != spec.end_of_text)
        throw Error(fmt::format(
            "a SentencePiece model of {} tokens that ends documents with {} is "
            "said to have {} and {}",
            own.vocabulary_size, own.end_of_text, spec.vocabulary_size, spec.end_of_text));
    return std::make_shared<SentencePieceTokenizer>(spec, model);
}

}  // namespace evengrad
