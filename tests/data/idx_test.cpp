// IDX files, written byte by byte.
#include <bit>
#include <cmath>
#include <limits>

#include "table_files.hpp"

namespace evengrad::test {
namespace {

std::string big_endian(std::uint64_t value, int bytes) {
    std::string out;
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
    return out;
}

std::string header(unsigned type, const std::vector<std::uint32_t>& sizes) {
    std::string out = big_endian(type << 8 | sizes.size(), 4);
    for (const std::uint32_t size : sizes) out += big_endian(size, 4);
    return out;
}

const std::string pixels("\x00\x01\x02\xFF\x04\x05\x06\x07\x08\x09\x0A\x0B", 12);
/// Three images of 2 x 2.
std::string images(const std::string& elements) {
    return header(8, {3, 2, 2}) + elements;
}
const std::string labels = header(8, {3}) + std::string("\x02\x00\x05", 3);

class Idx : public TableFiles {
  protected:
    Dataset idx(std::string_view image_bytes, std::string_view label_bytes,
                const TableOptions& options = {}) const {
        write("a-labels-idx1-ubyte", label_bytes);
        return table("a-images-idx3-ubyte", image_bytes, options);
    }
    std::string idx_error(std::string_view image_bytes, std::string_view label_bytes,
                          const TableOptions& options = {}) const {
        return error_of([&] { idx(image_bytes, label_bytes, options); });
    }
};

TEST_F(Idx, ImagesAreRowsAndFindTheirLabels) {
    const Dataset data = idx(images(pixels), labels);
    EXPECT_EQ(data.documents(), 3);
    EXPECT_EQ(data.row_shape(), (RowShape{4, 0}));
    EXPECT_EQ(features_of(data.part(0), 0), (std::vector<float>{0, 1, 2, 255}));
    EXPECT_EQ(features_of(data.part(0), 2), (std::vector<float>{8, 9, 10, 11}));
    EXPECT_EQ(classes_of(data.part(0)), (std::vector<std::int32_t>{2, 0, 5}));
    EXPECT_EQ(data.tokenizer()->spec().describe(), "6 classes");
    EXPECT_TRUE(data.part(0).describe(2).ends_with("a-images-idx3-ubyte row 3: class '5'"));
}

TEST_F(Idx, CompressedOrNotWhateverTheNamesAre) {
    for (const auto& [name, label_name] :
         {std::pair{"b-images-idx3-ubyte.gz", "b-labels-idx1-ubyte.gz"},
          {"c-images-idx3-ubyte", "c-labels-idx1-ubyte.gz"},
          {"d-images-idx3-ubyte.gz", "d-labels-idx1-ubyte"},
          {"images.idx2-ubyte", "labels.idx1-ubyte"},
          {"my-images-and-images-idx3-float", "my-images-and-labels-idx1-ubyte"}}) {
        const std::string_view label_view(label_name), view(name);
        write(label_name, label_view.ends_with(".gz") ? gzip(labels) : labels);
        EXPECT_EQ(
            table(name, view.ends_with(".gz") ? gzip(images(pixels)) : images(pixels)).documents(),
            3)
            << name;
    }
    EXPECT_EQ(error_of([&] { table("e-images-idx3-ubyte", images(pixels)); }),
              "e-images-idx3-ubyte: there is no file e-labels-idx1-ubyte with its labels");
    EXPECT_EQ(error_of([&] { table("e-pictures-idx3-ubyte", images(pixels)); }),
              "e-pictures-idx3-ubyte: its name doesn't tell that of its labels");
    EXPECT_EQ(error_of([&] { table("b-labels-idx1-ubyte", labels); }),
              "b-labels-idx1-ubyte: its shape is 3: one number a row, such as labels");
}

TEST_F(Idx, EveryTypeIsRead) {
    const auto first_row = [&](unsigned type, const std::string& elements) {
        return features_of(
            idx(header(type, {2, 2}) + elements, header(8, {2}) + "\x01\x02").part(0), 1);
    };
    using Floats = std::vector<float>;
    const std::string short_row = big_endian(0xFFFE, 2) + big_endian(0x0102, 2);
    EXPECT_EQ(first_row(9, "ab\xFE\x7F"), (Floats{-2, 127}));
    EXPECT_EQ(first_row(0x0B, short_row + short_row), (Floats{-2, 258}));
    EXPECT_EQ(first_row(0x0C, std::string(8, 'a') + big_endian(0xFFFFFFFE, 4) +
                                  big_endian(0x01020304, 4)),
              (Floats{-2, 16909060}));
    const auto f = [](float x) { return big_endian(std::bit_cast<std::uint32_t>(x), 4); };
    const auto d = [](double x) { return big_endian(std::bit_cast<std::uint64_t>(x), 8); };
    EXPECT_EQ(first_row(0x0D, f(1) + f(2) + f(-0.1F) + f(4)), (Floats{-0.1F, 4}));
    EXPECT_EQ(first_row(0x0E, d(1) + d(2) + d(0.1) + d(-4)), (Floats{0.1F, -4}));
    const std::string where = "a-images-idx3-ubyte row 2: element 1 is ";
    for (const double bad : {std::numeric_limits<double>::infinity(), 1e39, std::nan("")}) {
        const std::string message = idx_error(header(0x0E, {2, 2}) + d(1) + d(2) + d(bad) + d(4),
                                              header(8, {2}) + "\x01\x02");
        EXPECT_TRUE(message.starts_with(where) &&
                    message.ends_with("not a finite number of single precision"))
            << message;
    }
    EXPECT_EQ(classes_of(idx(images(pixels), header(0x0C, {3}) + big_endian(7, 4) +
                                                 big_endian(0, 4) + big_endian(300, 4))
                             .part(0)),
              (std::vector<std::int32_t>{7, 0, 300}));
}

TEST_F(Idx, DamagedHeadersAreRefusedBeforeAnythingIsAllocated) {
    const auto error = [&](const std::string& bytes) {
        const std::string message = idx_error(bytes, labels);
        const std::string prefix = "a-images-idx3-ubyte: ";
        EXPECT_TRUE(message.starts_with(prefix)) << message;
        return message.substr(prefix.size());
    };
    EXPECT_EQ(error(""), "ends after 0 bytes, inside its header");
    EXPECT_EQ(error(images(pixels).substr(0, 15)), "ends after 15 bytes, inside its header");
    EXPECT_EQ(error("P5 2 2 255"), "doesn't begin as IDX does, with two bytes of 0");
    EXPECT_EQ(error(gzip(images(pixels))), "doesn't begin as IDX does, with two bytes of 0");
    EXPECT_EQ(error(header(0x0A, {3, 2, 2})), "the type of its elements is 0x0a");
    EXPECT_EQ(error(header(8, {})), "0 dimensions; 1 to 8 are read");
    EXPECT_EQ(error(header(8, std::vector<std::uint32_t>(9, 1))), "9 dimensions; 1 to 8 are read");
    const std::uint32_t most = 0xFFFFFFFF;
    EXPECT_EQ(error(header(8, {3, most, most, most})),
              "3 x 4294967295 x 4294967295 x 4294967295 elements; a row has 1 to 1048576 features");
    EXPECT_EQ(error(header(8, {3, 0, 2})), "3 x 0 x 2 elements; a row has 1 to 1048576 features");
    EXPECT_EQ(error(header(8, {most, 1024, 1024})),
              "4294967295 x 1024 x 1024 elements; 1 to 2147483648 are read");
    EXPECT_EQ(error(header(8, {0, 2, 2})), "0 x 2 x 2 elements; 1 to 2147483648 are read");
}

TEST_F(Idx, ThePayloadIsAsLongAsTheHeaderSays) {
    const std::string says = " than the 3 x 2 x 2 elements of 1 byte that its header says";
    EXPECT_EQ(idx_error(images(pixels.substr(1)), labels),
              "a-images-idx3-ubyte: has fewer bytes" + says);
    EXPECT_EQ(idx_error(images(pixels + "x"), labels),
              "a-images-idx3-ubyte: has more bytes" + says);
    const std::string half = header(0x0B, {3, 1}) + std::string(5, '\0');
    EXPECT_EQ(idx_error(half, labels),
              "a-images-idx3-ubyte: has fewer bytes than the 3 x 1 elements of 2 bytes that its "
              "header says");
    EXPECT_EQ(idx_error(header(0x0B, {3, 1}) + std::string(7, '\0'), labels),
              "a-images-idx3-ubyte: has more bytes than the 3 x 1 elements of 2 bytes that its "
              "header says");
}

TEST_F(Idx, LabelsFitTheImages) {
    EXPECT_EQ(idx_error(images(pixels), header(8, {2}) + "\x01\x02"),
              "a-labels-idx1-ubyte: 2 labels for the 3 rows of a-images-idx3-ubyte");
    EXPECT_EQ(idx_error(images(pixels), header(8, {3, 1}) + "\x01\x02\x03"),
              "a-labels-idx1-ubyte: labels of shape 3 x 1; they are a row of integers");
    EXPECT_EQ(idx_error(images(pixels), header(0x0D, {3}) + std::string(12, '\0')),
              "a-labels-idx1-ubyte: labels of shape 3; they are a row of integers");
    EXPECT_EQ(idx_error(images(pixels), header(9, {3}) + "\x01\xFF\x03"),
              "a-labels-idx1-ubyte label 2: -1");
    EXPECT_EQ(idx_error(images(pixels), header(0x0C, {3}) + big_endian(1, 4) +
                                            big_endian(65536, 4) + big_endian(2, 4)),
              "a-labels-idx1-ubyte label 2: 65536");
    EXPECT_EQ(idx_error(images(pixels), labels.substr(0, 10)),
              "a-labels-idx1-ubyte: has fewer bytes than the 3 elements of 1 byte that its header "
              "says");
    EXPECT_EQ(error_of([&] {
                  idx(images(pixels), labels);
                  open_table({path("a-images-idx3-ubyte").string()}, {},
                             make_tokenizer({"classes", 5, -1, ""}));
              }),
              "a-labels-idx1-ubyte label 3: '5' is none of the 5 classes");
}

TEST_F(Idx, OptionsForColumnsMeanNothing) {
    EXPECT_EQ(idx_error(images(pixels), labels, values_of()),
              "a-images-idx3-ubyte: its rows have classes, not values");
    for (const TableOptions& options :
         {TableOptions{{}, {"1"}, {}, {}}, TableOptions{{}, {}, "1", {}},
          TableOptions{{}, {}, {}, TableHeader::no}})
        EXPECT_EQ(idx_error(images(pixels), labels, options),
                  "a-images-idx3-ubyte: it has no columns to choose from");
}

}  // namespace
}  // namespace evengrad::test
