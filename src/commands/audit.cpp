// What the run's gradient is worth, and what other denominators would have made of it.
#include <optional>

#include <fmt/core.h>

#include "base/log.hpp"
#include "base/output_file.hpp"
#include "base/replace.hpp"
#include "base/text.hpp"
#include "commands/audit_options.hpp"
#include "commands/verbs.hpp"
#include "hdf5/publish.hpp"
#include "report/audit_report.hpp"
#include "report/work_bar.hpp"
#include "train/state.hpp"

namespace evengrad {

int audit_command(const Communicator& world, const Arguments& arguments) {
    prepare_machine();
    const bool root = world.rank() == 0;
    // Rank 0 alone touches files; what can be refused is refused before anything is computed.
    AuditOptions options;
    RunData data;
    std::optional<OutputFile> json;
    std::optional<hdf5::PublishedFile> output;
    if (root) {
        options.parse_audit(arguments);
        if (options.help) {
            fmt::print("{}", options.table.help());
        } else {
            // Without training nothing is evaluated, but --valid-fraction isn't trained on either.
            if (options.audit.train_iters == 0) options.valid_data.clear();
            data = options.open_data();
            if (!options.json.empty()) json.emplace(options.json);
            if (!options.output.empty()) output.emplace(behind_links(options.output));
        }
    }
    if (!options.share(world, data, !options.help)) return 0;
    options.audit.train.model = options.train.model;

    std::optional<WorkBar> bar;
    if (root) bar.emplace();
    const Audit audit = run_audit(
        world, options.audit, root ? &data.data : nullptr, data.valid ? &*data.valid : nullptr,
        [&](const std::string& what, std::int64_t done, std::int64_t all) {
            if (done == 1) bar->restart();  // another part
            bar->draw(done == all,
                      [&](double seconds) { return audit_line(what, done, all, seconds); });
        });
    if (bar) bar->clear();
    bar.reset();
    if (!root) return 0;
    const AuditReport report{audit, options.audit, data.data};
    fmt::print("{}", printable(audit_tables(report)));
    if (json) {
        json->write(audit_json(report));
        json->publish();
    }
    if (output) {
        write_audit(report, output->root());
        output->publish();
    }
    return 0;
}

}  // namespace evengrad
