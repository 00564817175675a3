#include "hdf5/file.hpp"

#include <array>
#include <limits>
#include <numeric>
#include <stdexcept>

#include <gtest/gtest.h>

#include "hdf5/scratch_folder.hpp"

namespace evengrad::hdf5 {
namespace {

using test::contains;
using test::message_of;
using test::ScratchFolder;

template <class T>
void round_trip(const std::vector<T>& values, const Shape& shape, Storage storage) {
    const ScratchFolder folder;
    {
        File file = File::create(folder / "a.h5");
        file.root().write("x/values", values, shape, {{"units", "1"}}, storage);
        file.close();
    }
    const File file = File::open(folder / "a.h5");
    const Group root = file.root();
    EXPECT_EQ(root.open_dataset("x/values").shape(), shape);
    EXPECT_EQ(root.read<T>("x/values", values.size()), values);
    std::vector<T> whole(values.size());
    root.read("x/values", shape, std::span<T>(whole));
    EXPECT_EQ(whole, values);
}

template <class T>
class HdfNumbers : public testing::Test {};
using AllNumbers = testing::Types<float, double, std::int32_t, std::int64_t, std::uint8_t,
                                  std::uint16_t, std::uint32_t, std::uint64_t>;
TYPED_TEST_SUITE(HdfNumbers, AllNumbers);

TYPED_TEST(HdfNumbers, ComeBackExactly) {
    using Limits = std::numeric_limits<TypeParam>;
    std::vector<TypeParam> values{Limits::lowest(), Limits::max(), Limits::min(), 0, 1, 2};
    for (const Storage storage : {Storage::plain, Storage::compressed}) {
        round_trip<TypeParam>(values, {6}, storage);
        round_trip<TypeParam>(values, {2, 3}, storage);
        round_trip<TypeParam>({}, {0}, storage);
        round_trip<TypeParam>({}, {2, 0}, storage);
        round_trip<TypeParam>({Limits::max()}, {}, storage);
    }
}

TEST(HdfFile, LargeChunkedDatasetComesBack) {
    std::vector<double> values(3 * 300'000);
    std::iota(values.begin(), values.end(), 0.0);
    round_trip<double>(values, {3, 300'000}, Storage::compressed);
}

TEST(HdfFile, EveryFlatRangeReadsAndWrites) {
    const ScratchFolder folder;
    const Shape shape{3, 2, 4, 2};
    const std::uint64_t size = element_count(shape);
    std::vector<std::int64_t> expected(size);
    std::iota(expected.begin(), expected.end(), 100);
    {
        File file = File::create(folder / "a.h5");
        {
            Dataset whole = file.root().write("whole", expected, shape);
            // In pieces of every length, out of order: the last piece first.
            for (std::uint64_t step = 1; step <= size; ++step) {
                Dataset pieces = file.root().create_dataset("by_" + std::to_string(step), Type::i64,
                                                            shape, {}, Storage::plain);
                for (std::uint64_t begin = (size - 1) / step * step + step; begin > 0;) {
                    begin -= step;
                    const std::uint64_t count = std::min(step, size - begin);
                    pieces.write(std::span(expected).subspan(begin, count), begin);
                }
            }
        }
        file.close();
    }
    const File file = File::open(folder / "a.h5");
    for (std::uint64_t step = 1; step <= size; ++step)
        EXPECT_EQ(file.root().read<std::int64_t>("by_" + std::to_string(step), size), expected);
    const Dataset whole = file.root().open_dataset("whole");
    for (std::uint64_t begin = 0; begin <= size; ++begin)
        for (std::uint64_t count = 0; begin + count <= size; ++count) {
            std::vector<std::int64_t> part(count);
            whole.read(std::span(part), begin);
            EXPECT_TRUE(std::equal(part.begin(), part.end(),
                                   expected.begin() + static_cast<std::ptrdiff_t>(begin)))
                << begin << "+" << count;
        }
    std::vector<std::int64_t> two(2);
    EXPECT_THROW(whole.read(std::span(two), size - 1), std::logic_error);
    EXPECT_THROW(whole.read(std::span(two), std::numeric_limits<std::uint64_t>::max()),
                 std::logic_error);
}

TEST(HdfFile, AttributesComeBackAndAreReplaced) {
    const ScratchFolder folder;
    {
        File file = File::create(folder / "a.h5");
        {
            Group group = file.root().create_group("g", "NXentry");
            group.set({{"text", "Größe \u2207"},
                       {"empty", ""},
                       {"integer", std::int64_t{-5}},
                       {"number", 0.1},
                       {"crc32c", std::uint32_t{0xFFFFFFFF}},
                       {"dims", std::vector<std::string>{"out", "", "in"}},
                       {"none", std::vector<std::string>{}}});
            group.set("integer", std::int64_t{7});
            group.set("text", group.get<std::string>("text") + "!");
            EXPECT_THROW(group.set("nul", std::string("a\0b", 3)), Error);
        }
        file.close();
    }
    const File file = File::open(folder / "a.h5");
    const Group group = file.root().open_group("g");
    EXPECT_EQ(group.get<std::string>("NX_class"), "NXentry");
    EXPECT_EQ(group.get<std::string>("text"), "Größe \u2207!");
    EXPECT_EQ(group.get<std::string>("empty"), "");
    EXPECT_EQ(group.get<std::int64_t>("integer"), 7);
    EXPECT_EQ(group.get<double>("number"), 0.1);
    EXPECT_EQ(group.get<std::uint32_t>("crc32c"), 0xFFFFFFFFU);
    EXPECT_EQ(group.get<std::vector<std::string>>("dims"),
              (std::vector<std::string>{"out", "", "in"}));
    EXPECT_TRUE(group.get<std::vector<std::string>>("none").empty());
    EXPECT_FALSE(group.has("nul"));
    EXPECT_FALSE(group.has("missing"));

    EXPECT_TRUE(contains(message_of<Error>([&] { group.get<std::string>("missing"); }),
                         {"a.h5: /g: the attribute missing is missing"}));
    EXPECT_TRUE(contains(message_of<Error>([&] { group.get<std::int64_t>("crc32c"); }),
                         {"/g/crc32c: the attribute is uint32, expected int64"}));
    EXPECT_THROW(group.get<std::string>("dims"), Error);
    EXPECT_THROW(group.get<std::vector<std::string>>("text"), Error);
}

TEST(HdfFile, TextsComeBack) {
    const ScratchFolder folder;
    const std::vector<std::string> names{"wte", "", "blocks.0.ln_1.weight", "\u2207"};
    {
        File file = File::create(folder / "a.h5");
        file.root().write_text("config/data", R"({"a": 1})", {{"type", "application/json"}});
        file.root().write_texts("names", names);
        file.root().write_texts("no_names", {});
        file.close();
    }
    const File file = File::open(folder / "a.h5");
    const Group root = file.root();
    EXPECT_EQ(root.read_text("config/data", 100), R"({"a": 1})");
    EXPECT_EQ(root.read_texts("names", 4, 1000), names);
    EXPECT_TRUE(root.read_texts("no_names", 4, 1000).empty());
    EXPECT_TRUE(contains(message_of<Error>([&] { root.read_texts("names", 3, 1000); }),
                         {"/names: has 4 elements, at most 3 expected"}));
    EXPECT_TRUE(contains(message_of<Error>([&] { root.read_texts("names", 4, 10); }),
                         {"/names: has more text than the 10 bytes expected"}));
    EXPECT_THROW(root.read_text("names", 1000), Error);
    EXPECT_THROW(root.read<double>("names", 1000), Error);
}

TEST(HdfFile, PathsMakeTheirGroups) {
    const ScratchFolder folder;
    File file = File::create(folder / "a.h5");
    {
        Group root = file.root();
        const std::array<float, 2> values{1, 2};
        const Dataset weight = root.write("blocks/0/attn/qkv/weight", values, {2});
        root.write("blocks/0/attn/qkv/bias", values, {2});
        root.write("blocks/10/x", values, {2});
        root.create_group("blocks/9");
        EXPECT_EQ(weight.path(), "/blocks/0/attn/qkv/weight");
        EXPECT_EQ(root.open_group("blocks/0/attn").get<std::string>("NX_class"), "NXcollection");
        EXPECT_EQ(root.open_group("blocks").children(), (std::vector<std::string>{"0", "10", "9"}));
        EXPECT_EQ(root.open_group("blocks/0").open_group("attn/qkv").children(),
                  (std::vector<std::string>{"bias", "weight"}));
        EXPECT_EQ(root.kind("blocks/0"), Kind::group);
        EXPECT_EQ(root.kind("blocks/0/attn/qkv/bias"), Kind::dataset);
        EXPECT_EQ(root.kind("blocks/1/attn"), Kind::none);
        EXPECT_FALSE(root.exists("blocks/0/attn/qkv/bias/more"));

        EXPECT_THROW(root.create_group("blocks/0"), Error);
        EXPECT_THROW(root.write("blocks/10/x", values, {2}), Error);
        EXPECT_THROW(root.write("blocks/10/x/below", values, {2}), Error);
        EXPECT_THROW(root.open_group("blocks/10/x"), Error);
        EXPECT_THROW(root.open_dataset("blocks/10"), Error);
        for (const char* path : {"", "/", "/blocks", "blocks/", "blocks//0", "./blocks"})
            EXPECT_THROW(root.kind(path), Error) << path;
        EXPECT_THROW(root.write("short", values, {3}), std::logic_error);
        EXPECT_FALSE(root.exists("short"));
    }
    file.close();
}

TEST(HdfFile, OtherTypesAndShapesAreRefused) {
    const ScratchFolder folder;
    File file = File::create(folder / "a.h5");
    {
        Group root = file.root();
        Dataset x = root.write("x", std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
        std::vector<float> six(6);
        std::vector<double> doubles(6);
        EXPECT_TRUE(contains(message_of<Error>([&] {
                                 root.read("x", {3, 2}, std::span(six));
                             }),
                             {"/x: has the shape [2, 3], expected [3, 2]"}));
        EXPECT_THROW(root.read("x", {6}, std::span(six)), Error);
        EXPECT_TRUE(contains(message_of<Error>([&] {
                                 root.read("x", {2, 3}, std::span(doubles));
                             }),
                             {"a.h5: /x: is float32, expected float64"}));
        EXPECT_THROW(root.read<std::int32_t>("x", 100), Error);
        EXPECT_THROW(root.read_scalar<float>("x"), Error);
        EXPECT_THROW(root.read<float>("x", 5), Error);
        EXPECT_THROW(x.write(doubles), Error);
        EXPECT_TRUE(
            contains(message_of<Error>([&] { root.open_dataset("y"); }), {"a.h5: /y: is missing"}));
    }
    file.close();
}

TEST(HdfFile, CloseRefusesWhileObjectsAreInUse) {
    const ScratchFolder folder;
    File file = File::create(folder / "a.h5");
    {
        const Group root = file.root();
        EXPECT_TRUE(contains(message_of<std::logic_error>([&] { file.close(); }), {"in use"}));
    }
    file.close();
    EXPECT_EQ(File::open(folder / "a.h5").root().children(), (std::vector<std::string>{}));
}

TEST(HdfFile, HandlesMove) {
    const ScratchFolder folder;
    File first = File::create(folder / "a.h5");
    File second = std::move(first);
    {
        Group root = second.root();
        Group group = root.create_group("g");
        group = std::move(root);
        EXPECT_EQ(group.path(), "/");
    }
    second.close();
    second.close();
    EXPECT_TRUE(File::open(folder / "a.h5").root().exists("g"));
}

TEST(HdfShape, CountsWithoutOverflow) {
    EXPECT_EQ(element_count({}), 1U);
    EXPECT_EQ(element_count({3, 4}), 12U);
    const std::uint64_t large = std::uint64_t{1} << 32;
    EXPECT_EQ(element_count({large, large, 0}), 0U);
    EXPECT_THROW(element_count({large, large}), Error);
    EXPECT_EQ(to_string(Shape{3, 4}), "[3, 4]");
}

}  // namespace
}  // namespace evengrad::hdf5
