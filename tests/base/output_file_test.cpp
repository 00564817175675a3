// A text file appears whole or not at all.
#include "base/output_file.hpp"

#include <csignal>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/replace.hpp"
#include <evengrad/error.hpp>

namespace evengrad {
namespace {

namespace fs = std::filesystem;

class OutputFiles : public testing::Test {
  protected:
    void SetUp() override { fs::create_directories(folder); }
    void TearDown() override { fs::remove_all(folder); }

    static std::string content(const fs::path& path) {
        std::ostringstream text;
        text << std::ifstream(path, std::ios::binary).rdbuf();
        return text.str();
    }
    static std::string refusal(const fs::path& path) {
        try {
            OutputFile file(path);
        } catch (const Error& error) {
            return error.what();
        }
        return "not refused";
    }

    const fs::path folder = fs::path(testing::TempDir()) /
                            fmt::format("output-file-{}", static_cast<const void*>(this));
    const fs::path target = folder / "results", temporary = folder / "results.tmp";
};

TEST_F(OutputFiles, AppearWhenPublished) {
    std::ofstream(target) << "old";
    {
        OutputFile file(target);
        file.write("new\n");
        EXPECT_EQ(content(target), "old");
        file.write("text");
        file.publish();
    }
    EXPECT_EQ(content(target), "new\ntext");
    EXPECT_FALSE(fs::exists(temporary));
}

TEST_F(OutputFiles, LeaveNothingBehindOtherwise) {
    std::ofstream(target) << "old";
    {
        OutputFile file(target);
        file.write("new");
        EXPECT_TRUE(fs::exists(temporary));
    }
    EXPECT_EQ(content(target), "old");
    EXPECT_FALSE(fs::exists(temporary));
}

TEST_F(OutputFiles, ReplaceWhatACrashLeftAndFollowNoLink) {
    const fs::path other = folder / "other";
    std::ofstream(other) << "other";
    fs::create_symlink(other, temporary);
    OutputFile file(target);
    file.write("new");
    file.publish();
    EXPECT_EQ(content(other), "other");
    EXPECT_EQ(content(target), "new");
}

TEST_F(OutputFiles, GoWhereALinkLeads) {
    const fs::path other = folder / "other";
    for (const bool there : {true, false}) {
        const fs::path link = folder / (there ? "link" : "dangling");
        if (there) std::ofstream(other) << "old";
        fs::create_symlink("chain", link);
        fs::create_symlink(other, folder / "chain");
        OutputFile file(link);
        file.write("new");
        file.publish();
        EXPECT_EQ(content(other), "new");
        EXPECT_EQ(fs::read_symlink(link), "chain");
        EXPECT_EQ(fs::read_symlink(folder / "chain"), other);
        fs::remove(folder / "chain");
        fs::remove(other);
    }
    // Around in circles.
    fs::create_symlink("b", folder / "a");
    fs::create_symlink("a", folder / "b");
    EXPECT_TRUE(fs::is_symlink(behind_links(folder / "a")));
}

TEST_F(OutputFiles, ADeviceOrAPipeStaysWhatItIs) {
    const fs::path pipe = folder / "pipe";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
    ASSERT_GE(reader, 0);
    {
        OutputFile file(pipe);
        file.write("new");
        file.publish();
    }
    char text[8] = {};
    EXPECT_EQ(::read(reader, text, sizeof text), 3);
    EXPECT_STREQ(text, "new");
    ::close(reader);
    EXPECT_TRUE(fs::is_fifo(pipe));
    { const OutputFile never_published(pipe.parent_path() / "x"), unlinked("/dev/null"); }
    EXPECT_TRUE(fs::is_fifo(pipe) && fs::is_character_file("/dev/null"));
    for (const char* stream : {"/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/2"})
        EXPECT_TRUE(is_stream(stream)) << stream;
    EXPECT_FALSE(is_stream(folder) || is_stream(target));
    // A file that this process has open, by whatever name.
    const int open = ::open(target.c_str(), O_WRONLY | O_CREAT, 0600);
    const fs::path name = fmt::format("/dev/fd/{}", open), link = folder / "open";
    fs::create_symlink(name, link);
    EXPECT_TRUE(is_stream(name) && is_stream(link));
    ::close(open);
}

TEST_F(OutputFiles, SayThatADeviceIsFull) {
    OutputFile file("/dev/full");
    file.write("text");
    try {
        file.publish();
        ADD_FAILURE() << "/dev/full took it";
    } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()), "cannot write /dev/full: No space left on device");
    }
    EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(OutputFiles, RefuseWhereTheyCantBe) {
    EXPECT_EQ(refusal(folder), fmt::format("cannot write {}: Is a directory", folder.string()));
    const fs::path nowhere = folder / "none" / "file";
    EXPECT_EQ(refusal(nowhere),
              fmt::format("cannot write {}: No such file or directory", nowhere.string()));
}

// A limit on the size of files stands in for a full disk.
TEST_F(OutputFiles, SayWhyTheyCantBeWritten) {
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small = before;
    small.rlim_cur = 1000;
    std::string message;
    try {
        OutputFile file(target);
        setrlimit(RLIMIT_FSIZE, &small);
        file.write(std::string(500, 'a'));
        file.write(std::string(5000, 'b'));
        file.publish();
    } catch (const Error& error) {
        message = error.what();
    }
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(message, fmt::format("cannot write {}: File too large", target.string()));
    EXPECT_FALSE(fs::exists(target));
    EXPECT_FALSE(fs::exists(temporary));
}

TEST_F(OutputFiles, LinksAreReplacedAndNothingElse) {
    replace_link(folder, "latest", "step-1.h5");
    EXPECT_EQ(fs::read_symlink(folder / "latest"), "step-1.h5");
    replace_link(folder, "latest", "step-2.h5");
    EXPECT_EQ(fs::read_symlink(folder / "latest"), "step-2.h5");
    fs::create_directories(folder / "real" / "inside");
    try {
        replace_link(folder, "real", "x");
        ADD_FAILURE() << "a folder was replaced";
    } catch (const Error& error) {
        EXPECT_EQ(error.what(), fmt::format("cannot replace the link {}: Is a directory",
                                            (folder / "real").string()));
        EXPECT_EQ(error.hint(), "check the path and its permissions");
    }
    EXPECT_TRUE(fs::is_directory(folder / "real" / "inside"));
    EXPECT_FALSE(fs::is_symlink(folder / "real.tmp"));
}

}  // namespace
}  // namespace evengrad
