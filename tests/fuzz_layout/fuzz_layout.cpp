// Runs that must give the same bits on any layout, drawn at random: tests/README.md, "Layouts".
//
// This program draws a case, starts itself under mpirun to run it (worker.hpp), and compares what
// the layouts left with what one rank left (compare.hpp).
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>

#include <boost/program_options.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "fuzz_layout/compare.hpp"
#include "fuzz_layout/job.hpp"
#include "fuzz_layout/worker.hpp"
#include "report/moving_line.hpp"
#include "report/progress.hpp"
#include "train/state.hpp"
#include <evengrad/error.hpp>

namespace evengrad::fuzz {
namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

struct Options {
    std::uint64_t seed = 1;
    std::int64_t cases = 10, layouts = 0, only_case = -1, only_layout = -1;
    double seconds = 0.0;
    bool keep_going = false;
    std::string keep, plant, work;
    std::int64_t kill = -1;
};

volatile std::sig_atomic_t interrupted = 0;

class Fuzzer {
  public:
    explicit Fuzzer(const Options& options)
        : options_(options), terminal_(output_is_terminal()), line_(stdout) {
        std::string name = (fs::temp_directory_path() / "fuzz_layout-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw Error("a folder can't be made: " + name);
        scratch_ = name;
    }
    ~Fuzzer() {
        std::error_code ignored;
        fs::remove_all(scratch_, ignored);
    }
    Fuzzer(const Fuzzer&) = delete;
    Fuzzer& operator=(const Fuzzer&) = delete;

    int run();

  private:
    bool run_case(std::int64_t number);
    std::string run_jobs(const FuzzCase& drawn, const std::vector<std::int64_t>& layouts,
                         const fs::path& folder);
    std::optional<std::string> difference(const FuzzCase& drawn, const fs::path& folder,
                                          std::int64_t layout) const;
    void report(const FuzzCase& drawn, std::int64_t layout, const std::string& what,
                const fs::path& folder);
    std::vector<std::string> command(const FuzzCase& drawn) const;
    bool time_is_up() const {
        return options_.seconds > 0.0 && monotonic_seconds() - begin_ > options_.seconds;
    }
    void progress();
    void summary() const;

    const Options& options_;
    bool terminal_;
    MovingLine line_;
    fs::path scratch_;
    const double begin_ = monotonic_seconds();
    std::int64_t cases_ = 0, layouts_ = 0, different_ = 0, jobs_ = 0;
    std::int64_t killed_unsaved_ = 0, half_written_ = 0;
    std::map<std::string, std::int64_t> features_;
};

std::vector<std::string> Fuzzer::command(const FuzzCase& drawn) const {
    std::vector<std::string> arguments{"--seed", std::to_string(drawn.seed), "--case",
                                       std::to_string(drawn.number)};
    if (!options_.plant.empty()) arguments.insert(arguments.end(), {"--plant", options_.plant});
    return arguments;
}

/// Empty, or what a job failed with.
std::string Fuzzer::run_jobs(const FuzzCase& drawn, const std::vector<std::int64_t>& layouts,
                             const fs::path& folder) {
    // Those that will be killed, together: their end takes mpirun a second.
    std::vector<std::pair<std::int64_t, Job>> killed;
    for (const std::int64_t number : layouts) {
        const Layout& layout = drawn.layouts[static_cast<std::size_t>(number)];
        if (!layout.killed()) continue;
        auto arguments = command(drawn);
        arguments.insert(arguments.end(),
                         {"--work", folder.string(), "--kill", std::to_string(number)});
        killed.emplace_back(number,
                            Job(under_mpirun(layout.segments.front().ranks(), folder, arguments),
                                folder / fmt::format("killed-{}.log", number)));
        ++jobs_;
    }
    std::string problem;
    for (auto& [number, job] : killed) {
        const JobEnd end = job.wait();
        const bool as_planned = end.code != 0 && end.output.find("error:") == std::string::npos;
        if (!as_planned)
            problem = fmt::format("layout {}: the job that was to be killed ended with {}:\n{}",
                                  number, end.code, end.output);
        const fs::path run = folder_of(folder, number);
        bool saved = false;
        std::error_code missing;
        for (const auto& entry : fs::directory_iterator(run, missing)) {
            saved |= entry.path().extension() == ".h5";
            half_written_ += entry.path().extension() == ".tmp";
        }
        killed_unsaved_ += !saved;
    }
    if (!problem.empty()) return problem;

    int processes = 1;
    for (const std::int64_t number : layouts)
        processes =
            std::max(processes, drawn.layouts[static_cast<std::size_t>(number)].processes());
    auto arguments = command(drawn);
    arguments.insert(arguments.end(), {"--work", folder.string()});
    if (options_.only_layout >= 0)
        arguments.insert(arguments.end(), {"--layout", std::to_string(options_.only_layout)});
    ++jobs_;
    const JobEnd end = Job(under_mpirun(processes, folder, arguments), folder / "job.log").wait();
    return end.code == 0 ? "" : fmt::format("the job ended with {}:\n{}", end.code, end.output);
}

std::optional<std::string> Fuzzer::difference(const FuzzCase& drawn, const fs::path& folder,
                                              std::int64_t layout) const {
    const fs::path reference = folder_of(folder, -1), run = folder_of(folder, layout);
    const auto said = first_difference_witnessed(reference, run);
    const auto saved = first_difference_saved(reference, run, drawn.steps());
    if (!said && !saved) return std::nullopt;
    std::string text;
    if (said) text += "  said:   " + *said + "\n";
    if (saved) text += "  saved:  " + *saved + "\n";
    return text;
}

void Fuzzer::report(const FuzzCase& drawn, std::int64_t layout, const std::string& what,
                    const fs::path& folder) {
    ++different_;
    const bool known = layout >= 0;
    std::string text =
        known ? fmt::format("case {}, layout {}: not the same bits\n", drawn.number, layout)
              : fmt::format("case {}: failed\n", drawn.number);
    text += what;
    text += "  reference: " + describe(reference_layout()) + "\n";
    if (known)
        text += "  layout:    " + describe(drawn.layouts[static_cast<std::size_t>(layout)]) + "\n";
    for (const std::string& fact : describe(drawn)) text += "  case:      " + fact + "\n";
    auto again = command(drawn);
    again.insert(again.begin(), fs::proximate(fs::read_symlink("/proc/self/exe")).string());
    if (known) again.insert(again.end(), {"--layout", std::to_string(layout)});
    text += fmt::format("  again:     {}\n", fmt::join(again, " "));
    const fs::path kept =
        fs::path(options_.keep) / fmt::format("seed-{}-case-{}", drawn.seed, drawn.number);
    fs::create_directories(options_.keep);
    fs::remove_all(kept);
    fs::copy(folder, kept, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    text += "  kept:      " + kept.string();
    line_.print(text);
}

/// Returns whether all was as it should be.
bool Fuzzer::run_case(std::int64_t number) {
    const FuzzCase drawn = draw_case(options_.seed, number);
    std::vector<std::int64_t> layouts;
    for (std::int64_t i = 0; i < std::ssize(drawn.layouts); ++i)
        if (options_.only_layout < 0 || options_.only_layout == i) layouts.push_back(i);
    if (layouts.empty())
        throw UsageError(fmt::format("--layout {}: case {} has layouts 0 to {}",
                                     options_.only_layout, number, drawn.layouts.size() - 1));
    const fs::path folder = scratch_ / fmt::format("case-{}", number);
    fs::create_directories(folder);
    drawn.data.write(folder);
    const std::int64_t before = different_;
    const std::string problem = run_jobs(drawn, layouts, folder);
    if (interrupted) return false;
    if (!problem.empty()) {
        report(drawn, layouts.size() == 1 ? layouts.front() : -1, problem, folder);
    } else {
        const std::int64_t least = least_micro_batches(folder_of(folder, -1));
        for (const std::int64_t i : layouts) {
            ++layouts_;
            for (const std::string& feature :
                 features(drawn, drawn.layouts[static_cast<std::size_t>(i)], least))
                ++features_[feature];
            if (const auto found = difference(drawn, folder, i)) report(drawn, i, *found, folder);
            if (different_ > before && !options_.keep_going) break;
        }
    }
    fs::remove_all(folder);
    ++cases_;
    return different_ == before;
}

void Fuzzer::progress() {
    const std::string text =
        fmt::format("{} cases, {} layouts, {} with other bits, {} starts of mpirun, {:.0f} s",
                    cases_, layouts_, different_, jobs_, monotonic_seconds() - begin_);
    if (terminal_)
        line_.draw(text);
    else if (cases_ % 10 == 0)
        line_.print(text);
}

void Fuzzer::summary() const {
    std::vector<std::pair<std::int64_t, std::string>> sorted;
    for (const auto& [feature, count] : features_) sorted.emplace_back(count, feature);
    std::sort(sorted.rbegin(), sorted.rend());
    if (options_.only_case < 0)
        for (const auto& [count, feature] : sorted) fmt::print("{:>7}  {}\n", count, feature);
    fmt::print("{} kills before anything was saved, {} while a checkpoint was being written\n",
               killed_unsaved_, half_written_);
    fmt::print(
        "seed {}: {} layouts of {} cases in {} starts of mpirun and {:.0f} s: {} with other "
        "bits than one rank\n",
        options_.seed, layouts_, cases_, jobs_, monotonic_seconds() - begin_, different_);
}

int Fuzzer::run() {
    const std::int64_t first = std::max<std::int64_t>(options_.only_case, 0);
    const std::int64_t count = options_.only_case >= 0 ? 1 : options_.cases;
    // mpirun gets it, too, and ends; what is in the scratch folder goes.
    std::signal(SIGINT, [](int) { interrupted = 1; });
    bool fine = true;
    for (std::int64_t i = first; i < first + count && (fine || options_.keep_going) && !interrupted;
         ++i) {
        if (options_.layouts > 0 && layouts_ >= options_.layouts) break;
        if (cases_ > 0 && time_is_up()) {
            line_.print(fmt::format("--seconds: time is up after {} of {} cases", cases_, count));
            break;
        }
        fine = run_case(i) && fine;
        progress();
    }
    line_.finish();
    summary();
    return interrupted ? 3 : fine ? 0 : 1;
}

/// Under mpirun. Whatever goes wrong on a rank ends the job.
int work(const Options& options, int argc, char** argv) {
    Session session(argc, argv);
    const Communicator& world = session.world();
    try {
        FuzzCase drawn = draw_case(options.seed, options.only_case);
        // What is planted is in the weights of one node; an evaluation would show that first.
        if (!options.plant.empty()) {
            drawn.data.valid.clear();
            if (drawn.config.schedule.decay == LrDecay::reduce_on_plateau)
                drawn.config.schedule.decay = LrDecay::constant;
        }
        if (options.kill >= 0) run_killed(world, drawn, options.work, options.kill);
        std::vector<std::int64_t> layouts;
        for (std::int64_t i = 0; i < std::ssize(drawn.layouts); ++i)
            if (options.only_layout < 0 || options.only_layout == i) layouts.push_back(i);
        run_layouts(world, drawn, options.work, layouts,
                    options.plant.empty() ? Plant::nothing : Plant::float_sum);
        return 0;
    } catch (const Error& error) {
        fmt::print(stderr, "error: [rank {}] {}\n{}\n", world.rank(), error.what(), error.hint());
    } catch (const std::exception& error) {
        fmt::print(stderr, "error: [rank {}] {}\n", world.rank(), error.what());
    }
    std::fflush(nullptr);
    world.abort(1);
}

Options parse(int argc, char** argv) {
    Options options;
    options.keep = "fuzz_layout_found";
    po::options_description visible(
        "usage: fuzz_layout [options]\n"
        "Trains small models on random layouts, and compares all bits with those of one rank.\n"
        "Exit code: 0 all the same, 1 not, 2 wrong use, 3 interrupted\n\nOptions");
    visible.add_options()("help", "show this");
    visible.add_options()("seed", po::value(&options.seed), "what is drawn (1)");
    visible.add_options()("cases", po::value(&options.cases), "so many cases at most (10)");
    visible.add_options()("layouts", po::value(&options.layouts),
                          "no more cases after so many layouts");
    visible.add_options()("seconds", po::value(&options.seconds), "no more cases after that");
    visible.add_options()("case", po::value(&options.only_case), "this case only");
    visible.add_options()("layout", po::value(&options.only_layout), "of --case, this layout only");
    visible.add_options()("keep-going", po::bool_switch(&options.keep_going),
                          "go on after a case that differs");
    visible.add_options()("keep", po::value(&options.keep),
                          "folder for cases that differ (fuzz_layout_found)");
    visible.add_options()("plant", po::value(&options.plant),
                          "float-sum: a fault that must be found; nothing (nothing)");
    po::options_description hidden;
    hidden.add_options()("work", po::value(&options.work));
    hidden.add_options()("kill", po::value(&options.kill));
    po::options_description all;
    all.add(visible).add(hidden);
    po::variables_map values;
    try {
        po::store(po::command_line_parser(argc, argv).options(all).run(), values);
        po::notify(values);
    } catch (const po::error& error) {
        throw UsageError(error.what(), "--help lists the options");
    }
    if (values.count("help") > 0) {
        std::cout << visible;
        std::exit(0);
    }
    if (options.plant == "nothing") options.plant.clear();
    if (!options.plant.empty() && options.plant != "float-sum")
        throw UsageError("--plant: float-sum or nothing");
    if (options.cases < 1) throw UsageError("--cases must be at least 1");
    if (options.only_layout >= 0 && options.only_case < 0)
        throw UsageError("--layout needs --case");
    return options;
}

}  // namespace
}  // namespace evengrad::fuzz

int main(int argc, char** argv) {
    using namespace evengrad;
    try {
        const fuzz::Options options = fuzz::parse(argc, argv);
        if (!options.work.empty()) return fuzz::work(options, argc, argv);
        return fuzz::Fuzzer(options).run();
    } catch (const UsageError& error) {
        fmt::print(stderr, "fuzz_layout: error: {}\n{}\n", error.what(), error.hint());
        return 2;
    } catch (const std::exception& error) {
        fmt::print(stderr, "fuzz_layout: error: {}\n", error.what());
        return 1;
    }
}
