// A grid of runs in one job.
#include <optional>

#include <fmt/core.h>

#include "base/output_file.hpp"
#include "base/replace.hpp"
#include "base/text.hpp"
#include "commands/sweep_options.hpp"
#include "commands/verbs.hpp"
#include "hdf5/publish.hpp"
#include "report/sweep_report.hpp"
#include "report/work_bar.hpp"

namespace evengrad {

int sweep_command(const Communicator& world, const Arguments& arguments) {
    prepare_machine();
    const bool root = world.rank() == 0;
    // Rank 0 alone touches files; what can be refused is refused before anything is computed.
    SweepOptions options;
    RunData data;
    std::optional<OutputFile> json;
    std::optional<hdf5::PublishedFile> output;
    if (root) {
        options.parse_sweep(arguments, world.size());
        if (options.help) {
            fmt::print("{}", options.table.help());
        } else {
            data = options.open_unscaled_data();
            if (!options.json.empty()) json.emplace(options.json);
            if (!options.output.empty()) output.emplace(behind_links(options.output));
        }
    }
    if (!options.share_sweep(world, data, !options.help)) return 0;

    std::optional<WorkBar> bar;
    if (root) bar.emplace();
    const Sweep sweep = run_sweep(
        world, options.sweep, root ? &data.data : nullptr, data.valid ? &*data.valid : nullptr,
        [&](double share, const std::string& what) {
            bar->draw(false, [&](double seconds) { return sweep_line(what, share, seconds); });
        });
    if (!root) return 0;
    bar->clear();
    const SweepReport report{sweep, options.sweep, data.data, data.valid.has_value()};
    fmt::print("{}", printable(sweep_table(report)));
    if (json) {
        json->write(sweep_json(report));
        json->publish();
    }
    if (output) {
        write_sweep(report, output->root());
        output->publish();
    }
    return 0;
}

}  // namespace evengrad
