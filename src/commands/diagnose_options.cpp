#include "commands/diagnose_options.hpp"

#include "commands/outputs.hpp"

namespace evengrad {

DiagnoseOptions::DiagnoseOptions()
    : TrainOptions("diagnose", ScheduleConfig().train_iters, "of the recipe; nothing is trained") {
    leave_out_of_measurements();
    table.leave_out({"train-iters", "valid-data", "eval-interval", "eval-iters", "stats-interval",
                     "skip-on-spike"});
    table.section("diagnose");
    table.add("checkpoint", checkpoint,
              "checkpoint or run folder: diagnose the statistics it recorded (or name it first, "
              "without --checkpoint). Not given: one global batch of --data, with initial weights "
              "or those of --resume");
    table.add("json", json, "file for the results as JSON, every digit");
    table.only_on_command_line({"checkpoint", "json"});
}

void DiagnoseOptions::parse_diagnose(std::vector<std::string> arguments) {
    if (!arguments.empty() && !arguments.front().starts_with("--"))
        arguments.insert(arguments.begin(), "--checkpoint");
    std::vector<std::string> problems;
    read(arguments, problems);
    if (help) return;
    check_outputs(table, {"json"}, problems);
    if (table.given("resume") && loop.resume.empty())
        problems.push_back("--resume: give a checkpoint or a run's folder");
    if (checkpoint.empty()) {
        if (data.empty())
            problems.push_back(
                "what to diagnose is missing: a checkpoint or run folder, or --data to look at one "
                "batch of");
    } else {
        for (const auto& [name, value] : table.values())
            if (table.on_command_line(name) && name != "checkpoint" && name != "json" &&
                name != "log-level")
                problems.push_back(
                    fmt::format("--{} means nothing with a checkpoint, whose recorded statistics "
                                "are looked at; leave one of the two out",
                                name));
    }
    fail_on(problems, "diagnose");
}

}  // namespace evengrad
