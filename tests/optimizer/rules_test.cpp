// The update rules, element by element, against PyTorch's and against double.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include <gtest/gtest.h>

#include "hdf5/file.hpp"
#include "optimizer/optimizer.hpp"

namespace evengrad {
namespace {

constexpr std::size_t steps = 20, size = 24;

/// By the names of their options, whose last word is PyTorch's name.
const std::map<std::string, double OptimizerConfig::*> settings{
    {"momentum", &OptimizerConfig::momentum},
    {"adagrad-eps", &OptimizerConfig::adagrad_eps},
    {"rmsprop-alpha", &OptimizerConfig::rmsprop_alpha},
    {"rmsprop-eps", &OptimizerConfig::rmsprop_eps},
    {"adam-beta1", &OptimizerConfig::adam_beta1},
    {"adam-beta2", &OptimizerConfig::adam_beta2},
    {"adam-eps", &OptimizerConfig::adam_eps},
    {"lion-beta1", &OptimizerConfig::lion_beta1},
    {"lion-beta2", &OptimizerConfig::lion_beta2}};

/// What tests/reference/make_reference.py recorded, or what it started from.
struct Record {
    OptimizerConfig config;
    double base_lr = 0.0;
    std::vector<double> start, gradients, shape;  ///< [size], [steps, size], [steps]
    std::vector<double> parameters;               ///< [steps, size], after each step

    std::span<const double> gradient(std::size_t step) const {
        return std::span(gradients).subspan(step * size, size);
    }
    std::span<const double> after(std::size_t step) const {
        return std::span(parameters).subspan(step * size, size);
    }
    double lr(std::size_t step) const { return base_lr * shape[step]; }
};

/// The record of a group; without a name only what all have in common.
Record recorded(const std::string& name) {
    const auto file = hdf5::File::open(std::filesystem::path(EVENGRAD_SOURCE_DIR) /
                                       "tests/reference/optimizer.h5");
    const hdf5::Group root = file.root();
    Record record;
    record.start.resize(size);
    record.gradients.resize(steps * size);
    record.shape.resize(steps);
    record.parameters.resize(steps * size);
    root.read("start", {size}, std::span(record.start));
    root.read("gradients", {steps, size}, std::span(record.gradients));
    root.read("shape", {steps}, std::span(record.shape));
    if (name.empty()) return record;
    const hdf5::Group group = root.open_group(name);
    group.read("parameters", {steps, size}, std::span(record.parameters));
    record.base_lr = group.get<double>("base_lr");
    OptimizerConfig& config = record.config;
    const OptimizerFacts& facts = *find_optimizer(name.substr(0, name.find('_')));
    config.kind = facts.kind;
    config.weight_decay = group.get<double>("weight_decay");
    for (const std::string option : facts.options)
        config.*settings.at(option) = group.get<double>(option.substr(option.rfind('-') + 1));
    return record;
}

/// |found - expected| / |expected|
double error(std::span<const float> found, std::span<const double> expected) {
    double apart = 0.0, norm = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        apart += std::pow(static_cast<double>(found[i]) - expected[i], 2);
        norm += expected[i] * expected[i];
    }
    return std::sqrt(apart / norm);
}

struct Errors {
    double weights = 0.0, change = 0.0;  ///< the largest; of what changed since the start
};

/// Replays the record with `lead` elements before: the same values at another offset, and another
/// split into lanes.
Errors replay(const Record& record, std::size_t lead) {
    std::vector<float> weights(lead + size, 1.0f), first(lead + size), second(lead + size);
    std::copy(record.start.begin(), record.start.end(),
              weights.begin() + static_cast<std::ptrdiff_t>(lead));
    Errors errors;
    for (std::size_t step = 0; step < steps; ++step) {
        std::vector<float> gradient(lead, 0.0f);
        for (const double g : record.gradient(step)) gradient.push_back(static_cast<float>(g));
        update_elements({record.config, record.lr(step), static_cast<std::int64_t>(step) + 1}, true,
                        static_cast<Index>(lead + size), gradient.data(), weights.data(),
                        first.data(), second.data());
        const auto found = std::span(weights).subspan(lead);
        std::vector<float> change(size);
        std::vector<double> expected(size);
        for (std::size_t i = 0; i < size; ++i) {
            change[i] = static_cast<float>(static_cast<double>(found[i]) - record.start[i]);
            expected[i] = record.after(step)[i] - record.start[i];
        }
        errors.weights = std::max(errors.weights, error(found, record.after(step)));
        errors.change = std::max(errors.change, error(change, expected));
    }
    return errors;
}

void expect_equal(const Record& record, std::size_t lead, const std::string& what) {
    const Errors errors = replay(record, lead);
    EXPECT_LT(errors.weights, 1e-6) << what << ", lead " << lead;
    EXPECT_LT(errors.change, 3e-5) << what << ", lead " << lead;  // what float weights can show
}

class RecordedOptimizer : public testing::TestWithParam<const char*> {};

TEST_P(RecordedOptimizer, IsPyTorchs) {
    for (const std::string variant : {"", "_plain"}) {
        const Record record = recorded(GetParam() + variant);
        for (const std::size_t lead :
             {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{8}})
            expect_equal(record, lead, variant);
        RecordProperty("error" + variant, fmt::format("{:.1e}", replay(record, 0).weights));
    }
}

TEST_P(RecordedOptimizer, OtherSettingsGiveAnotherTrajectory) {
    Record decayed = recorded(GetParam());
    decayed.config.weight_decay += 0.03;
    EXPECT_GT(replay(decayed, 0).weights, 1e-5);
    const Record plain = recorded(std::string(GetParam()) + "_plain");
    for (const std::string option : facts_of(plain.config.kind).options) {
        Record other = plain;
        other.config.*settings.at(option) *= option.ends_with("eps") ? 10.0 : 0.9;
        EXPECT_GT(replay(other, 0).weights, 1e-5) << option;
    }
}

INSTANTIATE_TEST_SUITE_P(All, RecordedOptimizer,
                         testing::Values("sgd", "momentum", "nesterov", "adagrad", "rmsprop",
                                         "adam", "adamw"),
                         [](const auto& info) { return std::string(info.param); });

// PyTorch has no Lion. Chen et al. 2023, algorithm 2, line by line, in double.
TEST(Lion, IsThePapers) {
    for (const double weight_decay : {0.1, 0.0}) {
        Record record = recorded("");
        OptimizerConfig& config = record.config;
        config.kind = OptimizerKind::lion;
        config.weight_decay = weight_decay;
        record.base_lr = 0.01;
        std::vector<double> theta = record.start, m(size, 0.0);
        for (std::size_t step = 0; step < steps; ++step)
            for (std::size_t i = 0; i < size; ++i) {
                const double g = record.gradient(step)[i];
                const double c = config.lion_beta1 * m[i] + (1.0 - config.lion_beta1) * g;
                const double sign = c > 0.0 ? 1.0 : c < 0.0 ? -1.0 : 0.0;
                theta[i] -= record.lr(step) * (sign + weight_decay * theta[i]);
                m[i] = config.lion_beta2 * m[i] + (1.0 - config.lion_beta2) * g;
                record.parameters[step * size + i] = theta[i];
            }
        for (const std::size_t lead : {std::size_t{0}, std::size_t{3}})
            expect_equal(record, lead, fmt::format("decay {}", weight_decay));
        RecordProperty("error", fmt::format("{:.1e}", replay(record, 0).weights));
        for (const std::string option : facts_of(config.kind).options) {
            Record other = record;
            other.config.*settings.at(option) *= 0.9;
            EXPECT_GT(replay(other, 0).weights, 1e-5) << option;
        }
        // Without a gradient ever, nothing but the decay moves a weight.
        if (weight_decay == 0.0) {
            EXPECT_EQ(theta[0], record.start[0]);
        }
    }
}

}  // namespace
}  // namespace evengrad
