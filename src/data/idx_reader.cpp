// IDX, the format of MNIST (LeCun, Cortes and Burges, "The MNIST database of handwritten digits",
// yann.lecun.com/exdb/mnist): two bytes of 0, one for the type, one for the number of dimensions;
// each dimension as 4 bytes; then the elements, the last dimension fastest. All big-endian.
#include <bit>
#include <cmath>
#include <filesystem>
#include <limits>

#include <fmt/ranges.h>

#include "base/narrow.hpp"
#include "data/table_readers.hpp"
#include "data/table_store.hpp"
#include "data/tokenizer_kinds.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace {

namespace fs = std::filesystem;

struct IdxType {
    unsigned code;
    std::size_t bytes;
    bool integer;
};
constexpr IdxType idx_types[] = {{0x08, 1, true}, {0x09, 1, true},  {0x0B, 2, true},
                                 {0x0C, 4, true}, {0x0D, 4, false}, {0x0E, 8, false}};
constexpr std::size_t most_dimensions = 8;
constexpr const char* idx_hint = "download it again; is it a file of MNIST's format?";

std::uint64_t load_big_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
}

/// One file, front to back.
class IdxFile {
  public:
    explicit IdxFile(const fs::path& path) : in_(path) {
        fetch(4);
        const auto code = static_cast<unsigned char>(in_.bytes()[2]);
        const auto dimensions = static_cast<unsigned char>(in_.bytes()[3]);
        if (!in_.bytes().starts_with(std::string_view("\0\0", 2)))
            fail("doesn't begin as IDX does, with two bytes of 0",
                 in_.bytes().starts_with("\x1F\x8B") ? "it looks like gzip: end its name in .gz"
                                                     : idx_hint);
        for (const IdxType& type : idx_types)
            if (type.code == code) type_ = type;
        if (type_.bytes == 0) fail(fmt::format("the type of its elements is 0x{:02x}", code));
        if (dimensions < 1 || dimensions > most_dimensions)
            fail(fmt::format("{} dimensions; 1 to {} are read", dimensions, most_dimensions));
        fetch(4 + std::size_t{4} * dimensions);
        for (std::size_t d = 0; d < dimensions; ++d)
            sizes_.push_back(
                static_cast<std::int64_t>(load_big_endian(in_.bytes().substr(4 + 4 * d, 4))));
        in_.consume(4 + std::size_t{4} * dimensions);
        // (None overflows: each factor is below 2^32, and the product is checked before each.)
        for (std::size_t d = 1; d < sizes_.size(); ++d)
            if ((width_ *= sizes_[d]) > most_features || width_ < 1)
                fail(
                    fmt::format("{} elements; a row has 1 to {} features", shape(), most_features));
        if (rows() < 1 || rows() > most_numbers / width_)
            fail(fmt::format("{} elements; 1 to {} are read", shape(), most_numbers));
    }

    const std::string& name() const { return in_.name(); }
    std::size_t dimensions() const { return sizes_.size(); }
    bool integer() const { return type_.integer; }
    std::int64_t rows() const { return sizes_[0]; }
    std::int64_t width() const { return width_; }
    std::string shape() const { return fmt::format("{}", fmt::join(sizes_, " x ")); }

    [[noreturn]] void fail(const std::string& what, const char* hint = idx_hint) const {
        throw Error(fmt::format("{}: {}", name(), what), hint);
    }

    /// Gives each element in turn to `take`. Memory grows with what the file has, not with what it
    /// says.
    template <class Take>
    void read(const Take& take) {
        const std::int64_t count = rows() * width_;
        std::int64_t done = 0;
        while (!in_.bytes().empty() || in_.more()) {
            const std::string_view bytes = in_.bytes();
            if (bytes.size() < type_.bytes) {
                if (in_.more()) continue;
                break;
            }
            const std::size_t whole = bytes.size() / type_.bytes;
            if (std::cmp_greater(whole, count - done)) fail_payload("more");
            for (std::size_t i = 0; i < whole; ++i)
                take(element(bytes.substr(i * type_.bytes, type_.bytes)));
            done += static_cast<std::int64_t>(whole);
            in_.consume(whole * type_.bytes);
        }
        if (done < count || !in_.bytes().empty()) fail_payload(done < count ? "fewer" : "more");
    }

  private:
    void fetch(std::size_t count) {
        while (in_.bytes().size() < count && in_.more()) continue;
        if (in_.bytes().size() < count)
            fail(fmt::format("ends after {} bytes, inside its header", in_.bytes().size()));
    }
    [[noreturn]] void fail_payload(const char* what) const {
        fail(fmt::format("has {} bytes than the {} elements of {} that its header says", what,
                         shape(), counted_bytes()));
    }
    std::string counted_bytes() const {
        return type_.bytes == 1 ? "1 byte" : fmt::format("{} bytes", type_.bytes);
    }

    double element(std::string_view bytes) const {
        const std::uint64_t bits = load_big_endian(bytes);
        switch (type_.code) {
            case 0x08:
                return static_cast<double>(bits);
            case 0x09:
                return static_cast<std::int8_t>(bits);
            case 0x0B:
                return static_cast<std::int16_t>(bits);
            case 0x0C:
                return static_cast<std::int32_t>(bits);
            case 0x0D:
                return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
            default:
                return std::bit_cast<double>(bits);
        }
    }

    ByteStream in_;
    IdxType type_{};
    std::vector<std::int64_t> sizes_;
    std::int64_t width_ = 1;
};

/// "-ubyte" and its like, ".gz" behind or not: where "idx3" stands in a name; npos: it doesn't.
std::size_t find_idx(const std::string& name) {
    const std::size_t at = name.rfind("idx");
    if (at == name.npos || at == 0 || (name[at - 1] != '-' && name[at - 1] != '.'))
        return name.npos;
    const bool digit = at + 4 < name.size() && name[at + 3] >= '0' && name[at + 3] <= '9';
    return digit && name[at + 4] == '-' ? at : name.npos;
}

/// The labels of "train-images-idx3-ubyte": "train-labels-idx1-ubyte" beside it, with or without
/// .gz.
fs::path labels_of(const fs::path& images) {
    std::string name = images.filename().string();
    const std::size_t word = name.rfind("images", find_idx(name));
    if (word == name.npos)
        throw UsageError(
            fmt::format("{}: its name doesn't tell that of its labels", images.string()),
            "name the file of images, as ...images-idx3-ubyte; ...labels-idx1-ubyte is found "
            "beside it");
    name.replace(find_idx(name), name.npos, "idx1-ubyte");
    name.replace(word, 6, "labels");
    const fs::path plain = images.parent_path() / name, compressed = plain.string() + ".gz";
    const bool gzip = extension_of(images) == ".gz";
    std::error_code ignored;
    for (const fs::path& path : {gzip ? compressed : plain, gzip ? plain : compressed})
        if (fs::exists(path, ignored)) return path;
    throw Error(fmt::format("{}: there is no file {} with its labels", images.string(),
                            (gzip ? compressed : plain).string()),
                "put it beside the images");
}

}  // namespace

bool names_idx(const std::string& path) {
    return find_idx(fs::path(path).filename().string()) != std::string::npos;
}

ReadTable read_idx(const std::string& path, Labels& labels) {
    IdxFile images(path);
    if (images.dimensions() < 2)
        images.fail(
            fmt::format("its shape is {}: one number a row, such as labels", images.shape()),
            "name the file of images; their labels are found beside it");
    IdxFile classes(labels_of(path));
    if (classes.dimensions() != 1 || !classes.integer())
        classes.fail(
            fmt::format("labels of shape {}; they are a row of integers", classes.shape()));
    if (classes.rows() != images.rows())
        classes.fail(fmt::format("{} labels for the {} rows of {}", classes.rows(), images.rows(),
                                 images.name()));
    Table table;
    table.source = path;
    classes.read([&](double value) {
        const auto where = [&] {
            return fmt::format("{} label {}", classes.name(), table.classes.size() + 1);
        };
        if (value < 0 || value >= most_classes)
            throw Error(fmt::format("{}: {}", where(), value),
                        fmt::format("labels go from 0 to {}", most_classes - 1));
        table.classes.push_back(labels.add(fmt::format("{:.0f}", value), where));
    });
    images.read([&](double value) {
        if (!(std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max()))) {
            const auto count = static_cast<std::int64_t>(table.features.size());
            throw Error(
                fmt::format("{} row {}: element {} is {}, not a finite number of single "
                            "precision",
                            path, count / images.width() + 1, count % images.width() + 1, value),
                "make the file again without it");
        }
        table.features.push_back(static_cast<float>(value));
    });
    // (Last: a header alone may say that there are many.)
    for (std::int64_t f = 1; f <= images.width(); ++f)
        table.feature_names.push_back(std::to_string(f));
    return {std::move(table), false};
}

}  // namespace evengrad
