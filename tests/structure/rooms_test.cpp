// The house's order, read from the #include lines: a room uses only rooms above it.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace evengrad::test {
namespace {

namespace fs = std::filesystem;

// From the foundation up. A room that isn't here may not exist.
const std::vector<std::string> rooms = {
    "base",      "mpi",        "hdf5",       "data",  "plan", "kernels", "model",   "gradient",
    "optimizer", "statistics", "checkpoint", "train", "lab",  "report",  "commands"};

// Who owns which public header. A header that isn't here may not exist.
const std::map<std::string, std::string> owner_of_header = {{"error.hpp", "base"},
                                                            {"version.hpp", "base"},
                                                            {"communicator.hpp", "mpi"},
                                                            {"tokenizer.hpp", "data"},
                                                            {"dataset.hpp", "data"},
                                                            {"feature_scaling.hpp", "data"},
                                                            {"plan.hpp", "plan"},
                                                            {"activation.hpp", "kernels"},
                                                            {"initialization.hpp", "model"},
                                                            {"model.hpp", "model"},
                                                            {"optimizer.hpp", "optimizer"},
                                                            {"history.hpp", "statistics"},
                                                            {"statistics.hpp", "statistics"},
                                                            {"checkpoint.hpp", "checkpoint"},
                                                            {"evaluate.hpp", "train"},
                                                            {"train.hpp", "train"},
                                                            {"loop.hpp", "train"},
                                                            {"lab.hpp", "lab"},
                                                            {"report.hpp", "report"}};

// Libraries that one room alone may see.
const std::map<std::string, std::string> owner_of_library = {
    {"mpi.h", "mpi"}, {"hdf5.h", "hdf5"}, {"hdf5_hl.h", "hdf5"}};

constexpr int line_limit = 400;

struct Source {
    std::string path;  ///< from the source folder, e.g. "src/plan/plan.cpp"
    std::vector<std::string> lines;
};

std::optional<int> height(const std::string& room) {
    const auto found = std::find(rooms.begin(), rooms.end(), room);
    if (found == rooms.end()) return std::nullopt;
    return static_cast<int>(found - rooms.begin());
}

/// The room of a file, or empty where the tables have none.
std::string room_of(const std::string& path) {
    static const std::regex pattern("(src|include)/([^/]+)(/.*)?");
    std::smatch match;
    if (!std::regex_match(path, match, pattern)) return {};
    if (match[1] == "include") {
        const std::string name = fs::path(path).filename().string();
        const bool flat = path == "include/evengrad/" + name;
        const auto owner = owner_of_header.find(name);
        return flat && owner != owner_of_header.end() ? owner->second : std::string();
    }
    if (path == "src/main.cpp") return "commands";
    return height(match[2]) ? match[2].str() : std::string();
}

/// What a line includes: `quoted` says how. Nothing for other lines.
struct Include {
    std::string name;
    bool quoted = false;
};

std::optional<Include> include_of(const std::string& line) {
    static const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"].*$)");
    std::smatch match;
    if (!std::regex_match(line, match, pattern)) return std::nullopt;
    return Include{match[2], match[1] == "\""};
}

/// Everything that is wrong with one file. `private_to_room`: headers that include a library of
/// one room, which others therefore must not include either.
std::vector<std::string> problems_of(const Source& source,
                                     const std::map<std::string, std::string>& private_to_room) {
    std::vector<std::string> problems;
    const auto complain = [&](std::size_t line, const std::string& what) {
        problems.push_back(fmt::format("{}:{}: {}", source.path, line, what));
    };
    const std::string room = room_of(source.path);
    if (room.empty()) {
        complain(1, "belongs to no room of this test's tables");
        return problems;
    }
    for (std::size_t i = 0; i < source.lines.size(); ++i) {
        const auto include = include_of(source.lines[i]);
        if (!include) continue;
        const std::string& name = include->name;
        if (const auto owner = owner_of_library.find(fs::path(name).filename().string());
            owner != owner_of_library.end() && owner->second != room)
            complain(i + 1, fmt::format("only {} may include {}", owner->second, name));
        std::string target;
        if (name.starts_with("evengrad/")) {
            target = room_of("include/" + name);
            if (include->quoted) complain(i + 1, name + " is a public header: <> it");
        } else if (include->quoted) {
            target = room_of("src/" + name);
            if (source.path.starts_with("include/"))
                complain(i + 1, "a public header includes the private " + name);
        } else {
            continue;  // the standard library, or another one
        }
        if (target.empty()) {
            complain(i + 1, fmt::format("{} belongs to no room of this test's tables", name));
            continue;
        }
        if (*height(target) > *height(room))
            complain(i + 1, fmt::format("{} uses {} ({}), which is below it", room, target, name));
        if (const auto own = private_to_room.find(name);
            own != private_to_room.end() && own->second != room)
            complain(i + 1, fmt::format("only {} may include {}", own->second, name));
    }
    if (source.lines.size() > line_limit)
        complain(source.lines.size(), fmt::format("more than {} lines", line_limit));
    return problems;
}

std::vector<std::string> lines_of(const fs::path& file) {
    std::ifstream stream(file);
    EXPECT_TRUE(stream) << file;
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

const fs::path root = EVENGRAD_SOURCE_DIR;

std::vector<Source> all_sources() {
    std::vector<Source> sources;
    for (const char* folder : {"src", "include"})
        for (const auto& entry : fs::recursive_directory_iterator(root / folder))
            if (entry.is_regular_file())
                sources.push_back(
                    {fs::relative(entry.path(), root).generic_string(), lines_of(entry.path())});
    return sources;
}

/// Headers that include a library of one room, and that room.
std::map<std::string, std::string> headers_with_a_library(const std::vector<Source>& sources) {
    std::map<std::string, std::string> found;
    for (const Source& source : sources)
        for (const std::string& line : source.lines)
            if (const auto include = include_of(line); include && source.path.ends_with(".hpp"))
                if (const auto owner = owner_of_library.find(include->name);
                    owner != owner_of_library.end())
                    found[source.path.substr(source.path.find('/') + 1)] = owner->second;
    return found;
}

TEST(Rooms, UseOnlyRoomsAboveThem) {
    const std::vector<Source> sources = all_sources();
    ASSERT_GT(sources.size(), 50u);
    const auto with_library = headers_with_a_library(sources);
    EXPECT_EQ(with_library.count("mpi/internal.hpp"), 1u);
    for (const auto& [header, room] : with_library)
        EXPECT_TRUE(header.starts_with(room + "/")) << header << " shows a library of " << room;
    for (const Source& source : sources)
        for (const std::string& problem : problems_of(source, with_library))
            ADD_FAILURE() << problem;
}

// The check itself: each line a violation, or not.
TEST(Rooms, TheCheckFindsViolations) {
    const std::map<std::string, std::string> with_library = {{"mpi/internal.hpp", "mpi"}};
    const auto count = [&](const char* path, std::vector<std::string> lines) {
        return problems_of({path, std::move(lines)}, with_library).size();
    };
    EXPECT_EQ(count("src/plan/plan.cpp", {"#include \"base/narrow.hpp\"", "#include <vector>",
                                          "#include <evengrad/dataset.hpp>"}),
              0u);
    EXPECT_EQ(count("src/plan/plan.cpp", {"#include \"model/gpt.hpp\""}), 1u);
    EXPECT_EQ(count("src/plan/plan.cpp", {"  #  include <evengrad/train.hpp> // why"}), 1u);
    EXPECT_EQ(count("src/train/step.cpp", {"#include <mpi.h>"}), 1u);
    EXPECT_EQ(count("src/mpi/node.cpp", {"#include <mpi.h>", "#include <hdf5_hl.h>"}), 1u);
    EXPECT_EQ(count("src/train/step.cpp", {"#include \"mpi/internal.hpp\""}), 1u);
    EXPECT_EQ(count("include/evengrad/plan.hpp", {"#include <evengrad/model.hpp>"}), 1u);
    EXPECT_EQ(count("include/evengrad/plan.hpp", {"#include \"base/narrow.hpp\""}), 1u);
    EXPECT_EQ(count("include/evengrad/new.hpp", {}), 1u);
    EXPECT_EQ(count("include/evengrad/detail/plan.hpp", {}), 1u);
    EXPECT_EQ(count("src/cellar/wine.cpp", {}), 1u);
    EXPECT_EQ(count("src/base/cpu.cpp", {"#include \"cellar/wine.hpp\""}), 1u);
    EXPECT_EQ(count("src/base/cpu.cpp", {"#include \"evengrad/error.hpp\""}), 1u);
    EXPECT_EQ(count("src/main.cpp", {"#include \"commands/verbs.hpp\""}), 0u);
    EXPECT_EQ(count("src/base/cpu.cpp", std::vector<std::string>(400)), 0u);
    EXPECT_EQ(count("src/base/cpu.cpp", std::vector<std::string>(401)), 1u);
}

TEST(Rooms, OwnersOfHeadersAreRooms) {
    for (const auto& [header, room] : owner_of_header) EXPECT_TRUE(height(room)) << header;
    for (const auto& [library, room] : owner_of_library) EXPECT_TRUE(height(room)) << library;
    EXPECT_EQ(std::set<std::string>(rooms.begin(), rooms.end()).size(), rooms.size());
}

TEST(Headers, AreGuardedByPragmaOnce) {
    for (const Source& source : all_sources()) {
        const int expected = source.path.ends_with(".hpp") ? 1 : 0;
        EXPECT_EQ(std::count(source.lines.begin(), source.lines.end(), "#pragma once"), expected)
            << source.path;
    }
}

/// Options and pragmas with which a sum's bits would depend on the compiler's mood.
bool loosens_arithmetic(const std::string& line) {
    static const std::regex pattern(
        "-Ofast|-ffast-math|-funsafe-math|-fassociative-math|-freciprocal-math|"
        "-ffinite-math-only|-fno-signed-zeros|-ffp-contract=(fast|on)|-ffp-model|-fopenmp|"
        "GCC +optimize|optimize *\\( *\"|STDC +FP_CONTRACT|pragma +omp");
    return std::regex_search(line, pattern);
}

TEST(Arithmetic, IsNeverLoosened) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(root))
        if (entry.is_regular_file() && (entry.path().filename() == "CMakeLists.txt" ||
                                        entry.path().filename() == "CMakePresets.json"))
            files.push_back(entry.path());
    ASSERT_EQ(files.size(), 2u);
    for (const char* folder : {"src", "include", "tests"})
        for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
            const bool listed = entry.path().filename() == "CMakeLists.txt";
            const bool source =
                folder != std::string("tests") &&
                (entry.path().extension() == ".cpp" || entry.path().extension() == ".hpp");
            if (entry.is_regular_file() && (listed || source)) files.push_back(entry.path());
        }
    for (const fs::path& file : files) {
        const auto lines = lines_of(file);
        for (std::size_t i = 0; i < lines.size(); ++i)
            EXPECT_FALSE(loosens_arithmetic(lines[i])) << file << ":" << i + 1 << ": " << lines[i];
    }
    for (const char* line : {"add_compile_options(-O3 -ffast-math)", "set(X -Ofast)",
                             "#pragma GCC optimize(\"O1\")", "#pragma omp simd"})
        EXPECT_TRUE(loosens_arithmetic(line)) << line;
    const auto build = lines_of(root / "CMakeLists.txt");
    EXPECT_TRUE(std::any_of(build.begin(), build.end(), [](const std::string& line) {
        return line.find("-ffp-contract=off") != std::string::npos &&
               line.find('#') == std::string::npos;
    })) << "contraction must be switched off";
}

}  // namespace
}  // namespace evengrad::test
