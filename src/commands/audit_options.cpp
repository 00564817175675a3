#include "commands/audit_options.hpp"

#include <limits>
#include <set>

#include "commands/outputs.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

AuditOptions::AuditOptions()
    : TrainOptions("audit", 0,
                   "train each reduction so many steps, all from the seed, and compare held-out "
                   "losses by completion length; 0: don't") {
    leave_out_of_measurements();
    table.leave_out({"eval-interval", "eval-iters", "skip-on-spike"});
    table.pass_over_in_recipe({"train-iters"});
    table.section("audit");
    table.add("audit-batches", audit.batches, "global batches to look at, from the next step on");
    table.add_list("audit-reductions", reductions_,
                   "what to compare with token-mean; not given: sequence-mean, sum, "
                   "constant:SEQ-LENGTH, micro-batch-mean and rank-mean:4");
    table.add("json", json, "file for the results as JSON, every digit, each batch by itself");
    table.add("output", output, "file for the results as curves in HDF5 (NeXus NXdata)");
    table.only_on_command_line({"audit-batches", "audit-reductions", "json", "output"});
}

void AuditOptions::interpret(std::vector<std::string>& problems) {
    audit.train_iters = train.schedule.train_iters;
    // Without training no schedule is followed, whatever the recipe's.
    if (audit.train_iters == 0)
        train.schedule.train_iters = std::numeric_limits<std::int64_t>::max();
    TrainOptions::interpret(problems);
    audit.train = train;
    audit.resume = loop.resume;
    audit.overrides = loop.overrides;
    std::set<std::string> seen;
    for (const std::string& text : reductions_) {
        try {
            audit.reductions.push_back(LossReduction::parse(text));
        } catch (const Error& error) {
            // It speaks of the option of a run.
            const std::string what = error.what();
            problems.push_back("--audit-reductions" + what.substr(what.find(' ')));
            continue;
        }
        if (!seen.insert(audit.reductions.back().text()).second)
            problems.push_back(fmt::format("--audit-reductions: {} comes twice", text));
    }
}

void AuditOptions::parse_audit(const std::vector<std::string>& arguments) {
    std::vector<std::string> problems;
    read(arguments, problems);
    if (help) return;
    if (data.empty()) problems.push_back("--data is missing: what to look at");
    check_outputs(table, {"json", "output"}, problems);
    if (table.given("resume") && loop.resume.empty())
        problems.push_back("--resume: give a checkpoint or a run's folder");
    constexpr std::int64_t most_batches = 1 << 20;
    if (audit.batches < 1 || audit.batches > most_batches)
        problems.push_back(fmt::format("--audit-batches must be between 1 and {}, not {}",
                                       most_batches, audit.batches));
    if (audit.train_iters > 0 && !has_held_out_data())
        problems.push_back(
            "--train-iters compares held-out losses: --valid-data or --valid-fraction is missing");
    if (audit.train_iters > 0 && train.schedule.decay == LrDecay::reduce_on_plateau)
        problems.push_back(
            "--lr-decay-style reduce-on-plateau follows held-out losses, and an audit looks at "
            "them "
            "in the end only: choose another");
    if (audit.train_iters == 0) {
        std::vector<std::string> of_training = OptimizerOptions::names();
        of_training.emplace_back("valid-data");
        for (const std::string& name : of_training)
            if (table.on_command_line(name))
                problems.push_back(fmt::format("--{} means nothing without --train-iters", name));
        // A checkpoint is of a run with one optimizer, which must be known to read it.
        if (table.on_command_line("optimizer") && loop.resume.empty())
            problems.push_back("--optimizer means nothing without --train-iters or --resume");
    }
    fail_on(problems, "audit");
}

}  // namespace evengrad
