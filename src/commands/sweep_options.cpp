#include "commands/sweep_options.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>

#include <fmt/ranges.h>

#include "base/narrow.hpp"
#include "base/philox.hpp"
#include "base/text.hpp"
#include "commands/outputs.hpp"
#include "commands/recipe.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

constexpr const char* depth = "depth";

/// What all cells have in common: the data, when to look at them, the machine, and the sweep.
constexpr const char* common_to_cells[] = {"help",
                                           "config",
                                           "data",
                                           "valid-data",
                                           "valid-fraction",
                                           "tokenizer",
                                           "target-columns",
                                           "weight-column",
                                           "header",
                                           "model",
                                           "loss",
                                           "eval-interval",
                                           "eval-iters",
                                           "stats-interval",
                                           "log-level",
                                           "ranks-per-node",
                                           "allow-mixed-cpus",
                                           "grid",
                                           "seeds",
                                           "ranks-per-cell",
                                           "target-accuracy",
                                           "json",
                                           "output"};

/// Of the options of a run, those that don't change what it computes.
constexpr const char* of_the_machine[] = {"ranks-per-node", "allow-mixed-cpus", "log-level"};

template <std::size_t Count>
bool is_one_of(const char* const (&names)[Count], const std::string& name) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::vector<std::string> pieces_of(const std::string& text, char separator) {
    std::vector<std::string> pieces;
    std::size_t begin = 0;
    for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
        end = text.find(separator, begin);
        pieces.push_back(text.substr(begin, end == std::string::npos ? end : end - begin));
    }
    return pieces;
}

/// Dimensions from "NAME=V1,V2,..." each; between semicolons where a value has commas.
std::vector<SweepDimension> read_grid(const std::vector<std::string>& texts,
                                      std::vector<std::string>& problems) {
    std::vector<SweepDimension> grid;
    const auto refuse = [&](const std::string& text, const std::string& why) {
        problems.push_back(fmt::format("--grid {}: {}", text, why));
    };
    const auto has = [&](const std::string& name) {
        return std::any_of(grid.begin(), grid.end(),
                           [&](const SweepDimension& dimension) { return dimension.name == name; });
    };
    for (const std::string& text : texts) {
        const std::size_t equals = text.find('=');
        if (equals == 0 || equals == std::string::npos) {
            refuse(text, "is not NAME=VALUE,VALUE,...");
            continue;
        }
        SweepDimension dimension{text.substr(0, equals), {}};
        const std::string values = text.substr(equals + 1);
        dimension.values = pieces_of(values, values.find(';') != std::string::npos ? ';' : ',');
        if (dimension.name == "seed")
            refuse(text, "--seeds says from how many seeds each point is trained");
        else if (is_one_of(common_to_cells, dimension.name))
            refuse(text, fmt::format("--{} is the same for all cells", dimension.name));
        else if (has(dimension.name))
            refuse(text, fmt::format("{} has a dimension already", dimension.name));
        auto sorted = dimension.values;
        std::sort(sorted.begin(), sorted.end());
        if (sorted.front().empty()) refuse(text, "an empty value");
        if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
            twice != sorted.end())
            refuse(text, fmt::format("the value '{}' comes twice", *twice));
        grid.push_back(std::move(dimension));
    }
    if (has(depth) && has("layer-widths"))
        problems.emplace_back("--grid: depth and layer-widths both say how deep a network is");
    return grid;
}

/// "64,32,10" with `value` hidden layers. Adds a problem, and gives the widths back, where it
/// can't.
std::string widths_of_depth(const std::string& widths, const std::string& value,
                            std::vector<std::string>& problems) {
    constexpr int deepest = 1000;
    const auto parts = pieces_of(widths, ',');
    int hidden = 0;
    const char* const end = value.data() + value.size();
    if (const auto [stop, error] = std::from_chars(value.data(), end, hidden);
        error != std::errc() || stop != end || hidden < 1 || hidden > deepest) {
        problems.push_back(fmt::format(
            "--grid depth: '{}' is not a number of hidden layers from 1 to {}", value, deepest));
        return widths;
    }
    if (parts.size() != 3) {
        problems.push_back(fmt::format(
            "--grid depth repeats the one hidden width of --layer-widths, as in 64,32,10, not '{}'",
            widths));
        return widths;
    }
    std::vector<std::string> all(at(hidden), parts[1]);
    all.insert(all.begin(), parts[0]);
    all.push_back(parts[2]);
    return fmt::format("{}", fmt::join(all, ","));
}

/// What a run's recipe sets, but for the machine's part.
std::map<std::string, std::string> options_in(const std::string& recipe) {
    std::map<std::string, std::string> options;
    std::istringstream lines(recipe);
    for (std::string line; std::getline(lines, line);) {
        const auto read = read_recipe_line(line);
        if (!read || read->name.empty() || read->name == "seed" ||
            is_one_of(of_the_machine, read->name))
            continue;
        std::string& text = options[read->name];
        text += (text.empty() ? "" : "\n") + read->value;
    }
    return options;
}

/// Moves what all points share from them to where it stands once.
std::map<std::string, std::string> take_shared_options(std::vector<SweepPoint>& points) {
    std::map<std::string, std::string> shared = points.front().options;
    for (const SweepPoint& point : points)
        std::erase_if(shared, [&](const auto& option) {
            const auto found = point.options.find(option.first);
            return found == point.options.end() || found->second != option.second;
        });
    for (SweepPoint& point : points)
        std::erase_if(point.options,
                      [&](const auto& option) { return shared.count(option.first) > 0; });
    return shared;
}

std::string name_of_point(const std::vector<SweepDimension>& grid, std::int64_t point) {
    std::vector<std::string> parts;
    const auto values = values_at(grid, point);
    for (std::size_t d = 0; d < grid.size(); ++d)
        parts.push_back(fmt::format("{}={}", grid[d].name, values[d]));
    return fmt::format("{}", fmt::join(parts, " "));
}

/// The problems of points: what all of them have once, other ones with the first that has them.
class PointProblems {
  public:
    void add(std::int64_t point, const std::vector<std::string>& problems) {
        for (const std::string& problem : problems) {
            const auto found = std::find_if(found_.begin(), found_.end(), [&](const Found& one) {
                return one.problem == problem;
            });
            if (found == found_.end())
                found_.push_back({problem, point, 1});
            else
                ++found->points;
        }
    }
    void report(const std::vector<SweepDimension>& grid, std::int64_t points,
                std::vector<std::string>& problems) const {
        for (const Found& found : found_) {
            std::string where;
            if (found.points < points) where = name_of_point(grid, found.first) + ": ";
            const std::string others =
                found.points > 1 && found.points < points
                    ? fmt::format(" (as at {})", counted(found.points - 1, "other point"))
                    : "";
            problems.push_back(where + found.problem + others);
        }
    }

  private:
    struct Found {
        std::string problem;
        std::int64_t first, points;
    };
    std::vector<Found> found_;
};

}  // namespace

SweepOptions::SweepOptions()
    : TrainOptions("sweep", ScheduleConfig().train_iters, "steps of each cell") {
    leave_out_of_measurements();
    table.leave_out({"resume", "override"});  // cells begin anew
    table.section("sweep");
    table.add_list("grid", grid_,
                   "NAME=VALUE,VALUE,... for each dimension: an option of training and the values "
                   "that it takes (between ; where values have commas), or depth=N,N,..., which "
                   "repeats the hidden width of --layer-widths");
    table.add("seeds", sweep.seeds, "each point is trained from so many: --seed, the next, ...");
    table.add("ranks-per-cell", sweep.ranks_per_cell, "ranks that train a cell together");
    table.add("target-accuracy", target_accuracy_,
              "count the steps to the first evaluation with this held-out accuracy, e.g. 0.9");
    table.add("json", json, "file for the results as JSON, every digit");
    table.add("output", output, "file for the results in HDF5 (NeXus NXdata)");
    table.only_on_command_line(
        {"grid", "seeds", "ranks-per-cell", "target-accuracy", "json", "output"});
    table.means_nothing_without({"target-accuracy"}, {"eval-interval"});
}

void SweepOptions::interpret(std::vector<std::string>& problems) {
    TrainOptions::interpret(problems);
    sweep.grid = read_grid(grid_, problems);
    sweep.first_seed = train.seed;
    sweep.eval_interval = loop.eval_interval;
    sweep.most_sequences = loop.eval_iters * train.plan.global_batch_size;
    if (table.given("target-accuracy")) sweep.target_accuracy = target_accuracy_;
}

void SweepOptions::read_points(const std::vector<std::string>& arguments,
                               const std::vector<SweepDimension>& grid, const std::string& widths,
                               std::vector<std::string>& problems) {
    const std::int64_t points = points_of(grid, most_cells);
    PointProblems found;
    for (std::int64_t p = 0; p < points; ++p) {
        std::vector<std::string> all = arguments, own;
        const auto values = values_at(grid, p);
        for (std::size_t d = 0; d < grid.size(); ++d)
            all.push_back(grid[d].name == depth
                              ? "--layer-widths=" + widths_of_depth(widths, values[d], own)
                              : fmt::format("--{}={}", grid[d].name, values[d]));
        SweepOptions point;
        point.recipe_ = recipe_;
        point.read(all, own);
        point.check_plateau(own);
        found.add(p, own);
        std::vector<std::string> ignored;  // they are the first point's
        if (p == 0) read(all, ignored);
        if (!own.empty()) continue;
        sweep.points.push_back(
            {point.train, point.input_normalization(), options_in(point.loop.options)});
        points_.push_back(point.table.resolved());
    }
    found.report(grid, points, problems);
}

void SweepOptions::check_sweep(int ranks, std::vector<std::string>& problems) const {
    if (data.empty()) problems.emplace_back("--data is missing: what to train on");
    if (grid_.empty() && sweep.seeds == 1)
        problems.emplace_back("--grid is missing: what to change from cell to cell");
    check_outputs(table, {"json", "output"}, problems);
    if (sweep.seeds < 1 || sweep.seeds > most_cells)
        problems.push_back(
            fmt::format("--seeds must be between 1 and {}, not {}", most_cells, sweep.seeds));
    else if (points_of(sweep.grid, most_cells) * sweep.seeds > most_cells)
        problems.push_back(fmt::format(
            "--grid has more than {} cells, seeds counted: make several sweeps of it", most_cells));
    else if (sweep.first_seed < seed_limit &&
             sweep.first_seed + static_cast<std::uint64_t>(sweep.seeds) > seed_limit)
        problems.push_back(fmt::format("--seed {} and the next {} must be below 2^56",
                                       sweep.first_seed, sweep.seeds - 1));
    if (sweep.ranks_per_cell < 1 || sweep.ranks_per_cell > ranks)
        problems.push_back(
            fmt::format("--ranks-per-cell must be between 1 and the job's {}, not {}", ranks,
                        sweep.ranks_per_cell));
    if (!sweep.target_accuracy) return;
    if (!(target_accuracy_ > 0.0 && target_accuracy_ <= 1.0))
        problems.push_back(fmt::format("--target-accuracy must be above 0 and at most 1, not {}",
                                       target_accuracy_));
    if (train.model.is_mlp() && train.model.mlp().loss == MlpLoss::mse)
        problems.emplace_back("--target-accuracy means nothing with --loss mse");
}

void SweepOptions::parse_sweep(const std::vector<std::string>& arguments, int ranks) {
    std::vector<std::string> problems, ignored;
    // What the grid is; whether the rest makes sense, its points show.
    SweepOptions probe;
    probe.read(arguments, ignored);
    help = probe.help;
    if (help) return;
    recipe_ = probe.recipe_;
    probe.sweep.grid = read_grid(probe.grid_, problems);
    const bool is_grid = problems.empty();
    probe.check_sweep(ranks, problems);
    if (is_grid && points_of(probe.sweep.grid, most_cells) <= most_cells)
        read_points(arguments, probe.sweep.grid, probe.table.given_value("layer-widths"), problems);
    fail_on(problems, "sweep");
    sweep.options = take_shared_options(sweep.points);
}

bool SweepOptions::share_sweep(const Communicator& world, const RunData& run_data, bool runs) {
    if (!share(world, run_data, runs)) return false;
    std::int64_t points = std::ssize(points_);
    world.broadcast(std::span(&points, 1), 0);
    points_.resize(at(points));
    for (std::string& text : points_) {
        world.broadcast(text, 0);
        if (world.rank() == 0) continue;
        SweepOptions point;
        point.parse_resolved(text);
        sweep.points.push_back({point.train, point.input_normalization(), {}});
    }
    if (!train.model.is_mlp())
        for (SweepPoint& point : sweep.points)
            point.train.model.gpt().vocab_size = train.model.gpt().vocab_size;
    return true;
}

}  // namespace evengrad
