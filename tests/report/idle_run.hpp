// A run that its observers are told of by hand.
#pragma once

#include <optional>
#include <sstream>

#include "mpi_main.hpp"
#include <evengrad/loop.hpp>

namespace evengrad::test {

/// A trainer that never trains: the banner asks it what it is.
class IdleRun {
  public:
    explicit IdleRun(std::int64_t train_iters) {
        TrainConfig config;
        config.model.gpt().num_layers = 1;
        config.model.gpt().hidden_size = 16;
        config.model.gpt().num_attention_heads = 2;
        config.model.gpt().seq_length = 16;
        config.plan.seq_length = 16;
        config.schedule.train_iters = train_iters;
        const std::int32_t end = TokenizerSpec().end_of_text;
        data_ = Dataset(Documents{.source = "two letters",
                                  .tokens = {end, 65, 66, end},
                                  .weights = {0, 1, 1, 1},
                                  .offsets = {0, 4},
                                  .lines = {1}});
        trainer_.emplace(world(), config, &data_);
    }

    TrainingHistory& history() { return history_; }
    RunStart start(std::int64_t first_step, const std::filesystem::path& save_dir,
                   const std::filesystem::path& resumed_from = {}) const {
        return {*trainer_, history_, first_step, 17, 5, 4321, 99, save_dir, resumed_from};
    }

  private:
    Dataset data_;
    TrainingHistory history_;
    std::optional<Trainer> trainer_;
};

inline Evaluation evaluation(std::int64_t loss_tokens, double loss) {
    Evaluation result;
    result.total.loss_tokens = loss_tokens;
    result.total.weight = static_cast<double>(loss_tokens);
    result.total.nats = loss * result.total.weight;
    return result;
}

inline StepRecord step(std::int64_t number, double loss = 1.0) {
    StepRecord record;
    record.step = number;
    record.loss = loss;
    record.loss_tokens = 40;
    record.tokens = 50;
    record.seconds = 0.5;
    return record;
}

inline std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

}  // namespace evengrad::test
