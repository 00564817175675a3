#include "hdf5/publish.hpp"

#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hdf5/nexus.hpp"
#include "hdf5/scratch_folder.hpp"

namespace evengrad::hdf5 {
namespace {

namespace fs = std::filesystem;
using test::bytes_of;
using test::contains;
using test::message_of;
using test::ScratchFolder;

void write_number(Group root, double value) {
    root.write_scalar("value", value);
    root.write("many", std::vector<double>(100'000, value), {100'000});
}

void publish_number(const fs::path& path, double value) {
    PublishedFile file(path);
    write_number(file.root(), value);
    file.publish();
}

double number_in(const fs::path& path) {
    const File file = File::open(path);
    EXPECT_EQ(file.root().get<std::int64_t>("complete"), 1);
    return file.root().read_scalar<double>("value");
}

/// Runs `action` in a process of its own; its exit status (signals: 128 and more).
template <class Action>
int run_in_child(Action action) {
    const pid_t child = ::fork();
    if (child == 0) {
        action();
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(HdfPublish, ReplacesTheEarlierFile) {
    const ScratchFolder folder;
    publish_number(folder / "a.h5", 1);
    EXPECT_EQ(number_in(folder / "a.h5"), 1);
    publish_number(folder / "a.h5", 2);
    EXPECT_EQ(number_in(folder / "a.h5"), 2);
    EXPECT_FALSE(fs::exists(folder / "a.h5.tmp"));
}

TEST(HdfPublish, WithoutPublishNothingIsLeft) {
    const ScratchFolder folder;
    publish_number(folder / "a.h5", 1);
    {
        PublishedFile file(folder / "a.h5");
        write_number(file.root(), 2);
        EXPECT_TRUE(fs::exists(folder / "a.h5.tmp"));
    }
    EXPECT_FALSE(fs::exists(folder / "a.h5.tmp"));
    EXPECT_EQ(number_in(folder / "a.h5"), 1);
}

TEST(HdfPublish, ADeadWriterLeavesTheEarlierFile) {
    const ScratchFolder folder;
    publish_number(folder / "a.h5", 1);
    const int status = run_in_child([&] {
        PublishedFile file(folder / "a.h5");
        write_number(file.root(), 2);
        ::_exit(7);
    });
    EXPECT_EQ(status, 7);
    EXPECT_TRUE(fs::exists(folder / "a.h5.tmp"));
    EXPECT_EQ(number_in(folder / "a.h5"), 1);
    publish_number(folder / "a.h5", 3);
    EXPECT_EQ(number_in(folder / "a.h5"), 3);
    EXPECT_FALSE(fs::exists(folder / "a.h5.tmp"));
}

TEST(HdfPublish, AFullDiskIsAnErrorAndLeavesTheEarlierFile) {
    const ScratchFolder folder;
    publish_number(folder / "a.h5", 1);
    // The largest size of a file stands in for a full disk: writes fail just the same.
    const int status = run_in_child([&] {
        std::signal(SIGXFSZ, SIG_IGN);
        rlimit limit{};
        ::getrlimit(RLIMIT_FSIZE, &limit);
        const rlimit small{100'000, limit.rlim_max};
        if (::setrlimit(RLIMIT_FSIZE, &small) != 0) ::_exit(2);
        std::string message;
        try {
            publish_number(folder / "a.h5", 2);
        } catch (const Error& error) {
            message = error.what();
        }
        if (message.find("File too large") == std::string::npos) ::_exit(3);
        if (message.find("/many") == std::string::npos) ::_exit(4);
        // The next one, with room again, succeeds; and so does the end of the process.
        if (fs::exists(folder / "a.h5.tmp") || number_in(folder / "a.h5") != 1) ::_exit(5);
        ::setrlimit(RLIMIT_FSIZE, &limit);
        publish_number(folder / "b.h5", 3);
        std::exit(number_in(folder / "b.h5") == 3 ? 9 : 6);
    });
    EXPECT_EQ(status, 9);
    EXPECT_EQ(number_in(folder / "a.h5"), 1);
    EXPECT_FALSE(fs::exists(folder / "a.h5.tmp"));
}

TEST(HdfPublish, FailuresSayWhy) {
    const ScratchFolder folder;
    EXPECT_TRUE(contains(message_of<Error>([&] { PublishedFile(folder / "none/a.h5"); }),
                         {"a.h5.tmp: No such file or directory"}));
    // The target is a folder: said before anything is written.
    fs::create_directories(folder / "b.h5/inside");
    EXPECT_TRUE(contains(message_of<Error>([&] { publish_number(folder / "b.h5", 1); }),
                         {"cannot write", "b.h5", "Is a directory"}));
    EXPECT_FALSE(fs::exists(folder / "b.h5.tmp"));
    // An object of the file is still in use.
    PublishedFile file(folder / "c.h5");
    const Group root = file.root();
    EXPECT_THROW(file.publish(), std::logic_error);
    EXPECT_FALSE(fs::exists(folder / "c.h5"));
}

TEST(HdfPublish, ATemporaryLinkIsNotFollowed) {
    const ScratchFolder folder;
    test::write_bytes(folder / "precious", "keep");
    fs::create_symlink(folder / "precious", folder / "a.h5.tmp");
    publish_number(folder / "a.h5", 1);
    EXPECT_EQ(bytes_of(folder / "precious"), "keep");
    EXPECT_FALSE(fs::is_symlink(folder / "a.h5"));
}

/// Something of everything that a checkpoint has.
void write_everything(const fs::path& path) {
    PublishedFile file(path);
    {
        Group root = file.root();
        write_root(file.root(), {"evengrad-checkpoint", "1.0", "training"});
        root.write("model/parameters/wte", std::vector<float>(1000, 0.5F), {10, 100},
                   {{"name", "wte"},
                    {"dims", std::vector<std::string>{"out", "in"}},
                    {"crc32c", std::uint32_t{1}}});
        root.write_texts("names", std::vector<std::string>{"a", "b"});
        Group training = root.create_group("training", "NXentry");
        std::vector<std::int64_t> steps(500);
        for (std::size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<std::int64_t>(i);
        const Dataset step = write_scale(training, {"step", "step", "Step"}, steps);
        for (const char* name : {"loss", "grad_norm", "learning_rate", "tokens"}) {
            Group group = training.create_group(name, "NXdata");
            write_nxdata(group, {"signal", "nats", name}, std::vector<double>(500, 1.5), {&step});
            add_auxiliary_signal(group, {"more", "nats", name}, std::vector<double>(500, 2.5));
        }
    }
    file.publish();
}

TEST(HdfPublish, EqualRunsWriteEqualBytes) {
    const ScratchFolder folder;
    ASSERT_EQ(::setenv("SOURCE_DATE_EPOCH", "1700000000", 1), 0);
    // In processes of their own, with other contents of stack and heap, in other seconds.
    for (const char* name : {"a.h5", "b.h5", "c.h5"}) {
        const int status = run_in_child([&] {
            std::vector<std::string> noise;
            for (int i = 0; i < 5000; ++i)
                noise.push_back(std::string(static_cast<std::size_t>(i % 700), name[0]));
            noise.clear();
            volatile char stack[20'000];
            for (volatile char& byte : stack) byte = name[0];
            write_everything(folder / name);
        });
        ASSERT_EQ(status, 0);
        if (name[0] == 'a') ::usleep(1'100'000);
    }
    const std::string first = bytes_of(folder / "a.h5");
    EXPECT_GT(first.size(), 4000U);
    EXPECT_TRUE(first == bytes_of(folder / "b.h5"));
    EXPECT_TRUE(first == bytes_of(folder / "c.h5"));
    ::unsetenv("SOURCE_DATE_EPOCH");
}

}  // namespace
}  // namespace evengrad::hdf5
