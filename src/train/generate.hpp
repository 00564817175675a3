// Text from a trained model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/gpt_decoder.hpp"
#include "train/sampling.hpp"
#include <evengrad/tokenizer.hpp>

namespace evengrad {

struct GenerateConfig {
    SamplingConfig sampling;
    std::int64_t max_new_tokens = 200;
    std::vector<std::string> stop;  ///< the text ends before the first of these (StopText)

    std::vector<std::string> validate() const;  ///< all problems at once
};

/// Why a text ended.
enum class StoppedBy { end_of_text, stop, max_new_tokens };
std::string_view name_of(StoppedBy reason);

struct GeneratedText {
    std::string text;         ///< any bytes: a model may put them in a row that is not UTF-8
    std::int64_t tokens = 0;  ///< drawn, those of a stop string and of end_of_text included
    StoppedBy stopped_by = StoppedBy::max_new_tokens;
};

/// Continues prompts, one after another. @local
class Generator {
  public:
    /// `weights` is the flat parameter array; it and the table must outlive this.
    /// @throws Error when the model's vocabulary is not the tokenizer's.
    Generator(const GptConfig& model, const ParameterTable& table, const float* weights,
              const Tokenizer& tokenizer, GenerateConfig config);

    /// Tokens of a prompt that the model can see at once.
    std::int64_t window() const { return window_; }
    /// A prompt's tokens: end_of_text, which begins every document, then those of the text.
    std::vector<std::int32_t> encode(std::string_view prompt) const;

    /// A function of weights, configuration, prompt, and of `repetition`, which lets the same
    /// prompt get other texts; of nothing that was generated before. `emit`, unless empty, gets the
    /// text as it comes, piece by piece.
    GeneratedText operator()(std::string_view prompt, std::uint32_t repetition,
                             const std::function<void(std::string_view)>& emit);

  private:
    const Tokenizer& tokenizer_;
    GenerateConfig config_;
    std::int64_t window_;
    GptDecoder<float> decoder_;
};

}  // namespace evengrad
