// Files that must not be believed. They are made with the C library itself.
#include <array>

#include <gtest/gtest.h>
#include <hdf5.h>

#include "hdf5/file.hpp"
#include "hdf5/scratch_folder.hpp"

namespace evengrad::hdf5 {
namespace {

using test::bytes_of;
using test::contains;
using test::hint_of;
using test::message_of;
using test::ScratchFolder;
using test::write_bytes;

/// A file under construction by the C library; `space` is [4].
struct RawFile {
    explicit RawFile(const std::filesystem::path& path)
        : file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT)),
          space(H5Screate_simple(1, length.data(), nullptr)),
          creation(H5Pcreate(H5P_DATASET_CREATE)) {}
    ~RawFile() {
        H5Pclose(creation);
        H5Sclose(space);
        H5Fclose(file);
    }
    void dataset(const char* name, hid_t type = H5T_IEEE_F32LE, const void* values = nullptr) {
        dataset_in(space, name, type, values);
    }
    void dataset_in(hid_t other_space, const char* name, hid_t type, const void* values) {
        const hid_t id =
            H5Dcreate2(file, name, type, other_space, H5P_DEFAULT, creation, H5P_DEFAULT);
        ASSERT_GE(id, 0) << name;
        if (values) {
            EXPECT_GE(H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
        }
        H5Dclose(id);
    }

    std::array<hsize_t, 1> length{4};
    hid_t file, space, creation;
};

constexpr std::array<float, 4> secret{1, 2, 3, 4};

TEST(HdfRefusal, LinksThatLeadElsewhere) {
    const ScratchFolder folder;
    { RawFile(folder / "secret.h5").dataset("x", H5T_IEEE_F32LE, secret.data()); }
    {
        const RawFile raw(folder / "a.h5");
        const std::string other = (folder / "secret.h5").string();
        ASSERT_GE(H5Lcreate_external(other.c_str(), "/x", raw.file, "x", H5P_DEFAULT, H5P_DEFAULT),
                  0);
        ASSERT_GE(H5Lcreate_external(other.c_str(), "/", raw.file, "g", H5P_DEFAULT, H5P_DEFAULT),
                  0);
        ASSERT_GE(H5Lcreate_soft("/g/x", raw.file, "soft", H5P_DEFAULT, H5P_DEFAULT), 0);
        ASSERT_GE(H5Lcreate_soft("/nowhere", raw.file, "dangling", H5P_DEFAULT, H5P_DEFAULT), 0);
    }
    {
        // The trap works for a reader who is not careful; otherwise this test would prove nothing.
        const hid_t file = H5Fopen((folder / "a.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
        const hid_t dataset = H5Dopen2(file, "soft", H5P_DEFAULT);
        EXPECT_GE(dataset, 0);
        H5Dclose(dataset);
        H5Fclose(file);
    }
    const File file = File::open(folder / "a.h5");
    const Group root = file.root();
    EXPECT_TRUE(contains(message_of<Error>([&] { root.open_dataset("x"); }),
                         {"a.h5: /x", "external link"}));
    EXPECT_THROW(root.open_dataset("g/x"), Error);
    EXPECT_THROW(root.open_group("g"), Error);
    EXPECT_THROW(root.kind("g/x"), Error);
    EXPECT_THROW(root.read<float>("x", 100), Error);
    EXPECT_TRUE(contains(message_of<Error>([&] { root.open_dataset("soft"); }), {"soft link"}));
    EXPECT_THROW(root.exists("dangling"), Error);
    EXPECT_EQ(root.children(), (std::vector<std::string>{"dangling", "g", "soft", "x"}));
}

TEST(HdfRefusal, UserDefinedLinks) {
    const ScratchFolder folder;
    H5L_class_t kind{};
    kind.version = H5L_LINK_CLASS_T_VERS;
    kind.id = static_cast<H5L_type_t>(200);
    kind.trav_func = [](const char*, hid_t group, const void*, std::size_t, hid_t, hid_t) -> hid_t {
        return H5Oopen(group, "/", H5P_DEFAULT);
    };
    ASSERT_GE(H5Lregister(&kind), 0);
    {
        const RawFile raw(folder / "a.h5");
        ASSERT_GE(H5Lcreate_ud(raw.file, "x", kind.id, "y", 1, H5P_DEFAULT, H5P_DEFAULT), 0);
    }
    const File file = File::open(folder / "a.h5");
    EXPECT_TRUE(
        contains(message_of<Error>([&] { file.root().open_dataset("x"); }), {"user-defined link"}));
    H5Lunregister(kind.id);
}

TEST(HdfRefusal, ExternalStorage) {
    const ScratchFolder folder;
    write_bytes(folder / "secret.bin", "0123456789abcdef");
    {
        RawFile raw(folder / "a.h5");
        H5Pset_external(raw.creation, (folder / "secret.bin").c_str(), 0, 16);
        raw.dataset("x");
    }
    const File file = File::open(folder / "a.h5");
    EXPECT_TRUE(contains(message_of<Error>([&] { file.root().read<float>("x", 4); }),
                         {"a.h5: /x", "external storage"}));
}

TEST(HdfRefusal, VirtualDatasets) {
    const ScratchFolder folder;
    { RawFile(folder / "secret.h5").dataset("x", H5T_IEEE_F32LE, secret.data()); }
    {
        RawFile raw(folder / "a.h5");
        H5Pset_virtual(raw.creation, raw.space, (folder / "secret.h5").c_str(), "x", raw.space);
        raw.dataset("x");
    }
    const File file = File::open(folder / "a.h5");
    EXPECT_TRUE(contains(message_of<Error>([&] { file.root().read<float>("x", 4); }),
                         {"a.h5: /x", "virtual dataset"}));
}

// HDF5 1.10's scale-offset writes past its memory when it reads a damaged chunk.
TEST(HdfRefusal, FiltersButTheUsualOnes) {
    const ScratchFolder folder;
    const hsize_t chunk = 4;
    {
        RawFile raw(folder / "a.h5");
        H5Pset_chunk(raw.creation, 1, &chunk);
        H5Pset_scaleoffset(raw.creation, H5Z_SO_FLOAT_DSCALE, 2);
        raw.dataset("x", H5T_IEEE_F32LE, secret.data());
    }
    {
        RawFile raw(folder / "b.h5");
        H5Pset_chunk(raw.creation, 1, &chunk);
        H5Pset_shuffle(raw.creation);
        H5Pset_deflate(raw.creation, 1);
        H5Pset_fletcher32(raw.creation);
        raw.dataset("x", H5T_IEEE_F32LE, secret.data());
    }
    const File odd = File::open(folder / "a.h5");
    EXPECT_TRUE(contains(message_of<Error>([&] { odd.root().read<float>("x", 4); }),
                         {"a.h5: /x", "filter 6 (scaleoffset)"}));
    const File usual = File::open(folder / "b.h5");
    EXPECT_EQ(usual.root().read<float>("x", 4), std::vector<float>(secret.begin(), secret.end()));
}

TEST(HdfRefusal, OtherTypes) {
    const ScratchFolder folder;
    {
        RawFile raw(folder / "a.h5");
        const hid_t half = H5Tcopy(H5T_IEEE_F32LE);
        H5Tset_fields(half, 15, 10, 5, 0, 10);
        H5Tset_ebias(half, 15);
        H5Tset_size(half, 2);
        raw.dataset("half", half);
        const hid_t biased = H5Tcopy(H5T_IEEE_F32LE);
        H5Tset_ebias(biased, 120);
        raw.dataset("biased", biased);
        const hid_t fixed = H5Tcopy(H5T_C_S1);
        H5Tset_size(fixed, 8);
        raw.dataset("fixed", fixed);
        raw.dataset("signed", H5T_STD_I32LE);
        H5Tcommit2(raw.file, "named_type", half, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        const hid_t nothing = H5Screate(H5S_NULL);
        raw.dataset_in(nothing, "nothing", H5T_IEEE_F32LE, nullptr);
        H5Sclose(nothing);
        for (const hid_t type : {half, biased, fixed}) H5Tclose(type);
    }
    const File file = File::open(folder / "a.h5");
    const Group root = file.root();
    for (const char* name : {"half", "biased", "fixed", "signed", "nothing", "named_type"})
        EXPECT_THROW(root.read<float>(name, 100), Error) << name;
    EXPECT_THROW(root.read_texts("fixed", 100, 100), Error);
    EXPECT_THROW(root.read<std::uint32_t>("signed", 100), Error);
    EXPECT_EQ(root.kind("named_type"), Kind::other);
}

TEST(HdfRefusal, BigEndianNumbersAreConverted) {
    const ScratchFolder folder;
    {
        RawFile raw(folder / "a.h5");
        const std::array<unsigned char, 16> bytes{0x3F, 0x80, 0, 0, 0x40, 0,    0, 0,
                                                  0x40, 0x40, 0, 0, 0x40, 0x80, 0, 0};
        raw.dataset("x", H5T_IEEE_F32BE, bytes.data());
    }
    EXPECT_EQ(File::open(folder / "a.h5").root().read<float>("x", 4),
              (std::vector<float>(secret.begin(), secret.end())));
}

TEST(HdfRefusal, HugeShapesCostNothing) {
    const ScratchFolder folder;
    {
        RawFile raw(folder / "a.h5");
        const std::array<hsize_t, 2> shape{hsize_t{1} << 31, hsize_t{1} << 20};
        const std::array<hsize_t, 2> chunk{1 << 15, 1 << 14}, tiny{16, 16};
        const hid_t huge = H5Screate_simple(2, shape.data(), nullptr);
        raw.dataset_in(huge, "huge", H5T_IEEE_F32LE, nullptr);
        H5Pset_chunk(raw.creation, 2, tiny.data());
        raw.dataset_in(huge, "many", H5T_IEEE_F32LE, nullptr);
        H5Pset_chunk(raw.creation, 2, chunk.data());
        raw.dataset_in(huge, "chunks", H5T_IEEE_F32LE, nullptr);
        H5Sclose(huge);
    }
    const File file = File::open(folder / "a.h5");
    const Group root = file.root();
    EXPECT_TRUE(contains(message_of<Error>([&] { root.read<float>("huge", 1000); }),
                         {"at most 1000 expected"}));
    EXPECT_TRUE(
        contains(message_of<Error>([&] { root.read<float>("huge", std::uint64_t{1} << 60); }),
                 {"has 2251799813685248 elements, and 0 bytes in the file for them"}));
    std::array<float, 4> four{};
    EXPECT_THROW(root.read("huge", {4}, std::span<float>(four)), Error);
    EXPECT_TRUE(contains(message_of<Error>([&] { root.open_dataset("chunks"); }),
                         {"chunks [32768, 16384] are too large"}));
    EXPECT_TRUE(
        contains(message_of<Error>([&] { root.open_dataset("many"); }), {"too many chunks"}));
}

TEST(HdfRefusal, OneTextNamedManyTimes) {
    const ScratchFolder folder;
    {
        // 64 entries that all point to one text of 60,000 bytes: copy the first reference.
        File file = File::create(folder / "a.h5");
        std::vector<std::string> texts(64, "-");
        texts[0] = std::string(60'000, 'x');
        file.root().write_texts("x", texts);
        file.close();
    }
    std::string bytes = bytes_of(folder / "a.h5");
    // A reference: length (4 bytes), address of the heap (8), index (4).
    const std::string length("\x60\xEA\x00\x00", 4);
    const std::size_t first = bytes.find(length);
    ASSERT_NE(first, std::string::npos);
    const std::string reference = bytes.substr(first, 16);
    for (std::size_t i = 1; i < 64; ++i) bytes.replace(first + 16 * i, 16, reference);
    write_bytes(folder / "b.h5", bytes);
    const File file = File::open(folder / "b.h5");
    EXPECT_TRUE(contains(message_of<Error>([&] { file.root().read_texts("x", 64, 100'000); }),
                         {"/x: has more text than the 100000 bytes expected"}));
    EXPECT_EQ(file.root().read_texts("x", 64, 4'000'000).back().size(), 60'000U);
}

TEST(HdfRefusal, WhatIsNoHdf5File) {
    const ScratchFolder folder;
    write_bytes(folder / "text.h5", "step,loss\n1,5.5\n");
    write_bytes(folder / "empty.h5", "");
    EXPECT_TRUE(contains(message_of<Error>([&] { File::open(folder / "text.h5"); }),
                         {"text.h5 is not an HDF5 file"}));
    EXPECT_TRUE(contains(message_of<Error>([&] { File::open(folder / "empty.h5"); }),
                         {"is not an HDF5 file"}));
    EXPECT_TRUE(contains(message_of<Error>([&] { File::open(folder / "missing.h5"); }),
                         {"missing.h5: No such file or directory"}));
    EXPECT_TRUE(contains(message_of<Error>([&] { File::open(folder.path()); }), {"not a file"}));
}

/// A file with one plain and one compressed dataset.
void write_sample(const std::filesystem::path& path) {
    File file = File::create(path);
    std::vector<float> values(1000);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    file.root().write("plain", values, {1000});
    file.root().write("compressed", values, {1000}, {}, Storage::compressed);
    file.close();
}

TEST(HdfRefusal, FilesCutOffAnywhere) {
    const ScratchFolder folder;
    write_sample(folder / "a.h5");
    const std::string bytes = bytes_of(folder / "a.h5");
    for (std::size_t size = 0; size < bytes.size(); size += 97) {
        write_bytes(folder / "b.h5", bytes.substr(0, size));
        EXPECT_THROW(File::open(folder / "b.h5"), Error) << size;
    }
    write_bytes(folder / "b.h5", bytes.substr(0, bytes.size() - 1));
    try {
        File::open(folder / "b.h5");
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_TRUE(contains(error.what(), {"truncated file"}));
        EXPECT_TRUE(contains(error.hint(), {"cut off"}));
    }
}

TEST(HdfRefusal, DamagedFiles) {
    const ScratchFolder folder;
    write_sample(folder / "a.h5");
    const std::string bytes = bytes_of(folder / "a.h5");
    {
        std::string damaged = bytes;  // the tree that lists the root's children
        damaged.replace(damaged.find("TREE"), 4, "XXXX");
        write_bytes(folder / "b.h5", damaged);
        const File file = File::open(folder / "b.h5");
        EXPECT_TRUE(contains(message_of<Error>([&] { file.root().open_dataset("plain"); }),
                             {"b.h5: /plain: H5Lexists failed: wrong B-tree signature"}));
    }
    {
        std::string damaged = bytes;  // the superblock's version of the free space
        damaged[9] = static_cast<char>(damaged[9] ^ 1);
        write_bytes(folder / "s.h5", damaged);
        const auto open = [&] { File::open(folder / "s.h5"); };
        EXPECT_TRUE(contains(message_of<Error>(open), {"s.h5: H5Fopen failed: bad free space"}));
        EXPECT_TRUE(contains(hint_of(open), {"the file is damaged: copy or prepare"}));
    }
    // The compressed data comes last among the zlib streams (0x78 0x5E: level 4).
    const std::size_t stream = bytes.find("\x78\x5E");
    ASSERT_NE(stream, std::string::npos);
    std::string damaged = bytes;
    damaged[stream + 20] = static_cast<char>(damaged[stream + 20] ^ 1);
    write_bytes(folder / "c.h5", damaged);
    const File file = File::open(folder / "c.h5");
    EXPECT_EQ(file.root().read<float>("plain", 1000)[999], 999.0F);
    EXPECT_TRUE(contains(
        message_of<Error>([&] { file.root().read<float>("compressed", 1000); }),
        {"c.h5: /compressed: H5Dread failed: data error detected by Fletcher32 checksum"}));
}

}  // namespace
}  // namespace evengrad::hdf5
