// What a token weighs: loss reductions and rounded token counts, as one factor a sequence.
//
// Every one of them makes the loss a weighted sum over tokens, in which all tokens of a sequence
// are multiplied by the same factor. So the gradient is a sum of the sequences' gradients, each
// times its factor, and any number of them can be had from computing each sequence once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <evengrad/plan.hpp>

namespace evengrad {

/// A way to weigh the sequences of a global batch.
struct Weighing {
    std::string name;  ///< "sequence-mean", "count-bf16"
    /// [sequences], by place in the global batch: what the sequence's sum of (data's weight x loss)
    /// is multiplied by, division by the denominator included. 0 for one without loss tokens.
    std::vector<double> factors;

    /// How many times as much as another a token weighs at most, the data's own weights aside.
    double largest_ratio() const;
};

/// What `reduction` makes of a plan under token mean: of its own code, apply_reduction(), weights
/// rounded to float included. Micro-batches are the plan's. @local
Weighing weighing_of(const LossReduction& reduction, const StepPlan& plan);

/// A token mean whose denominator was counted in too short a format (R16): a running count, from
/// micro-batch to micro-batch in plan order, each addend and each sum rounded.
struct CountFormat {
    const char* name;
    int bits;       ///< of the significand, the hidden one included
    bool by_token;  ///< counts each token by itself rather than adding up micro-batches
};
inline constexpr CountFormat count_formats[] = {
    {"count-float32", 24, false}, {"count-bf16", 8, false}, {"count-bf16-by-token", 8, true}};

/// To the nearest number with so many bits, ties to even, as the hardware does (IEEE 754; without
/// its limits of exponent).
double rounded(double value, int bits);
/// The sum that adding up `addends` in this format gives. In bf16 ones add up to 256, in float32 to
/// 2^24, and not further.
double running_count(std::span<const double> addends, int bits);
Weighing weighing_of(const CountFormat& format, const StepPlan& plan);

// ------------------------------------------------------------------------ plans for comparisons

/// The same sequences in the same order, so many a micro-batch (the last one may have fewer).
StepPlan recut(const StepPlan& plan, std::int64_t sequences);

/// The same sequences, each ended behind its `most`-th token with a loss.
StepPlan cut_completions(const StepPlan& plan, std::int64_t most);

/// How different the numbers of loss tokens are, of sequences or micro-batches that have any.
struct Unevenness {
    std::int64_t shortest = 0, longest = 0;
    double median = 0.0;
    double variation = 0.0;  ///< standard deviation / mean (the coefficient of variation)

    static Unevenness of(std::vector<std::int64_t> counts);
};

}  // namespace evengrad
