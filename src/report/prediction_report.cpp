#include "report/prediction_report.hpp"

#include <fmt/format.h>

#include "base/text.hpp"

namespace evengrad {

namespace {

constexpr double wanted_efficiency = 0.8;

std::string table_of(const PredictionReport& report, const Network& network) {
    const StepModel& model = report.model;
    const StepShape& shape = model.shape;
    const bool grows = report.micro_batches == 0;
    std::string table =
        fmt::format("\n{} Gbit/s, {:.4g} us a message\n", network.gigabits, network.latency * 1e6);
    table += fmt::format("{:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>6}", "nodes", "plan",
                         "compute", "agree", "exchange", "update", "step", "tokens/s", "eff.");
    table += grows ? fmt::format("  {:>9} {:>9}\n", "80 % from", "sequences") : "\n";
    double speed_of_one = 0.0;
    for (std::int64_t nodes = 1;; nodes = std::min(2 * nodes, report.most_nodes)) {
        const std::int64_t micro_batches =
            grows ? report.micro_batches_per_rank * shape.ranks * nodes : report.micro_batches;
        const PredictedStep step = predict(model, network, nodes, micro_batches);
        if (nodes == 1) speed_of_one = step.speed();
        table += fmt::format(
            "{:>6} {:>9.4f} {:>9.4f} {:>9.4f} {:>9.4f} {:>9.4f} {:>9.4f} {:>11.0f} {:>4.0f} %",
            nodes, step.plan, step.compute, step.agree, step.exchange, step.update, step.seconds(),
            step.speed(), 100.0 * step.speed() / (static_cast<double>(nodes) * speed_of_one));
        if (const std::int64_t least =
                grows ? micro_batches_for(wanted_efficiency, model, network, nodes) : 0;
            least > 0)
            table +=
                fmt::format("  {:>9} {:>9}", least, least * shape.ranks * nodes * shape.sequences);
        else if (grows)
            table += fmt::format("  {:>9} {:>9}", "-", "-");
        table += '\n';
        if (nodes == report.most_nodes) return table;
    }
}

}  // namespace

std::string prediction_tables(const PredictionReport& report) {
    const StepShape& shape = report.model.shape;
    std::string text = fmt::format(
        "\npredicted, in seconds: nodes of {}, each as fast as measured; micro-batches of {}: {}\n",
        counted(shape.ranks, "rank"), counted(shape.sequences, "sequence"),
        report.micro_batches == 0 ? fmt::format("{} for each rank", report.micro_batches_per_rank)
                                  : fmt::format("{} a step", report.micro_batches));
    if (report.micro_batches == 0)
        text += "80 % from: so many micro-batches for each rank, sequences a step\n";
    for (const Network& network : report.networks) text += table_of(report, network);
    return text;
}

}  // namespace evengrad
