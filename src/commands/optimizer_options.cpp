#include "commands/optimizer_options.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/ranges.h>

#include "optimizer/kinds.hpp"

namespace evengrad {

namespace {

template <class Facts>
std::vector<std::string> names_of(std::span<const Facts> all) {
    std::vector<std::string> names;
    for (const Facts& facts : all) names.emplace_back(facts.name);
    return names;
}

/// "a, b or c"
template <class Facts>
std::string alternatives(std::span<const Facts> all) {
    std::vector<std::string> names = names_of(all);
    const std::string last = names.back();
    names.pop_back();
    return fmt::format("{} or {}", fmt::join(names, ", "), last);
}

/// Options that mean something to some of them only.
template <class Facts>
std::set<std::string> particular_options(std::span<const Facts> all) {
    std::set<std::string> options;
    for (const Facts& facts : all) options.insert(facts.options.begin(), facts.options.end());
    return options;
}

template <class Facts>
void refuse_options_of_others(OptionTable& table, const std::string& decider,
                              std::span<const Facts> all) {
    for (const std::string& option : particular_options(all)) {
        std::vector<std::string> users;
        for (const Facts& facts : all)
            if (std::find(facts.options.begin(), facts.options.end(), option) !=
                facts.options.end())
                users.emplace_back(facts.name);
        table.means_something_with({option}, decider, users, names_of(all));
    }
}

}  // namespace

void OptimizerOptions::add_to(OptionTable& table, OptimizerConfig& optimizer,
                              ScheduleConfig& schedule, const std::string& train_iters_help) {
    table.section("optimizer");
    table.add("train-iters", schedule.train_iters, train_iters_help);
    table.add("optimizer", optimizer_, alternatives(optimizers()));
    table.add("weight-decay", optimizer.weight_decay, "on matrices; biases and norms have none");
    table.add("momentum", optimizer.momentum, "share of the last update that goes on, if any does");
    table.add("adagrad-eps", optimizer.adagrad_eps, "added to the root of the sum of squares");
    table.add("rmsprop-alpha", optimizer.rmsprop_alpha, "decay of the mean of squares");
    table.add("rmsprop-eps", optimizer.rmsprop_eps, "added to its root");
    table.add("adam-beta1", optimizer.adam_beta1, "decay of the first moment");
    table.add("adam-beta2", optimizer.adam_beta2, "decay of the second moment");
    table.add("adam-eps", optimizer.adam_eps, "added to the root of the second moment");
    table.add("lion-beta1", optimizer.lion_beta1, "share of the moment in the update's sign");
    table.add("lion-beta2", optimizer.lion_beta2, "decay of the moment");
    table.add("clip-grad", optimizer.clip_grad, "largest gradient norm; 0: don't clip");
    table.section("learning rate");
    table.add("lr", schedule.lr, "learning rate after warm-up");
    table.add("lr-warmup-iters", schedule.warmup_iters, "steps of linear warm-up");
    table.add("lr-decay-style", decay_, alternatives(schedules()));
    table.add("min-lr", schedule.min_lr, "the learning rate never decays below this");
    table.add("lr-decay-iters", schedule.decay_iters,
              "the step where the decay ends; 0: train-iters");
    table.add("lr-step-size", schedule.step_size,
              "steps in which the rate falls to lr-gamma times itself, at once (step) or steadily "
              "(exponential)");
    table.add_list("lr-milestones", milestones_, "steps after which it falls, ascending");
    table.add("lr-gamma", schedule.gamma, "factor of such a fall");
    table.add("lr-cycle-iters", schedule.cycle_iters, "steps until the cosine's first restart");
    table.add("lr-cycle-mult", schedule.cycle_mult,
              "how many times longer each cycle is than the one before");
    table.add("lr-power", schedule.power, "of the polynomial; 1: linear");
    table.add("lr-wsd-decay-iters", schedule.wsd_decay_iters,
              "so many steps before lr-decay-iters the linear decay begins");
    table.add("lr-plateau-patience", schedule.plateau_patience,
              "evaluations in a row without improvement that are borne; the next one lowers the "
              "rate by lr-gamma");
    table.add("lr-plateau-threshold", schedule.plateau_threshold,
              "share of the best held-out loss by which a lower one must differ to be better");
    table.add("lr-plateau-cooldown", schedule.plateau_cooldown,
              "evaluations after a fall that don't count as being without improvement");
    refuse_options_of_others(table, "optimizer", optimizers());
    refuse_options_of_others(table, "lr-decay-style", schedules());
}

void OptimizerOptions::interpret(OptimizerConfig& optimizer, ScheduleConfig& schedule,
                                 std::vector<std::string>& problems) const {
    std::vector<std::pair<const char*, OptimizerKind>> kinds;
    for (const OptimizerFacts& facts : optimizers()) kinds.emplace_back(facts.name, facts.kind);
    choose("optimizer", optimizer_, optimizer.kind, kinds, problems);
    std::vector<std::pair<const char*, LrDecay>> decays;
    for (const ScheduleFacts& facts : schedules()) decays.emplace_back(facts.name, facts.decay);
    choose("lr-decay-style", decay_, schedule.decay, decays, problems);
    schedule.milestones.clear();
    for (const std::string& text : milestones_) {
        std::int64_t step = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
        if (error != std::errc() || end != text.data() + text.size())
            problems.push_back(fmt::format("--lr-milestones: '{}' is not a whole number", text));
        schedule.milestones.push_back(step);
    }
}

std::vector<std::string> OptimizerOptions::names() {
    std::vector<std::string> names{"lr", "lr-decay-style", "lr-warmup-iters", "weight-decay",
                                   "clip-grad"};
    for (const auto& options : {particular_options(optimizers()), particular_options(schedules())})
        names.insert(names.end(), options.begin(), options.end());
    return names;
}

}  // namespace evengrad
