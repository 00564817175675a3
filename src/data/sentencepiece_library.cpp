#include "data/sentencepiece_library.hpp"

#include <sentencepiece_trainer.h>

namespace evengrad {

namespace {

struct NoSentences final : sentencepiece::SentenceIterator {
    bool done() const override { return true; }
    void Next() override {}
    const std::string& value() const override { return nothing; }
    sentencepiece::util::Status status() const override { return {}; }
    std::string nothing;
};

}  // namespace

void quiet_sentencepiece() {
    // The level is an option of training only; the other option makes this one fail at once.
    static const bool done = [] {
        NoSentences sentences;
        std::string model;
        sentencepiece::SentencePieceTrainer::Train({{"minloglevel", "3"}, {"vocab_size", "0"}},
                                                   &sentences, &model)
            .IgnoreError();
        return true;
    }();
    static_cast<void>(done);
}

}  // namespace evengrad
