// IDX files, images and their labels, against a simple reading of the whole of both.
#include <bit>

#include "data/table_store.hpp"
#include "data/tokenizer_kinds.hpp"
#include "fuzz.hpp"
#include <evengrad/dataset.hpp>

namespace evengrad::fuzz {
namespace {

std::uint64_t number_at(std::string_view bytes, std::size_t at, std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
        value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
}

struct Elements {
    std::vector<std::uint64_t> sizes;
    std::vector<double> values;
    bool integers = true;
};

/// Nothing for a file that isn't to be read.
std::optional<Elements> elements_of(std::string_view file) {
    if (file.size() < 4 || file[0] != 0 || file[1] != 0) return {};
    const auto type = static_cast<unsigned char>(file[2]);
    const std::size_t dimensions = static_cast<unsigned char>(file[3]);
    const std::size_t width = type == 8 || type == 9         ? 1
                              : type == 0x0B                 ? 2
                              : type == 0x0C || type == 0x0D ? 4
                              : type == 0x0E                 ? 8
                                                             : 0;
    if (width == 0 || dimensions < 1 || dimensions > 8 || file.size() < 4 + 4 * dimensions)
        return {};
    Elements elements;
    elements.integers = type < 0x0D;
    std::uint64_t count = 1;
    for (std::size_t d = 0; d < dimensions; ++d) {
        elements.sizes.push_back(number_at(file, 4 + 4 * d, 4));
        if (elements.sizes.back() == 0 || elements.sizes.back() > file.size()) return {};
        count *= elements.sizes.back();
        if (count > file.size()) return {};
    }
    file.remove_prefix(4 + 4 * dimensions);
    if (count * width != file.size()) return {};
    for (std::size_t at = 0; at < file.size(); at += width) {
        const std::uint64_t bits = number_at(file, at, width);
        const auto low = static_cast<std::uint32_t>(bits);
        elements.values.push_back(
            type == 8      ? static_cast<double>(bits)
            : type == 9    ? static_cast<double>(static_cast<std::int8_t>(bits))
            : type == 0x0B ? static_cast<double>(static_cast<std::int16_t>(bits))
            : type == 0x0C ? static_cast<double>(static_cast<std::int32_t>(bits))
            : type == 0x0D ? static_cast<double>(std::bit_cast<float>(low))
                           : std::bit_cast<double>(bits));
    }
    return elements;
}

bool are_to_be_read(const std::optional<Elements>& images, const std::optional<Elements>& labels) {
    if (!images || images->sizes.size() < 2) return false;
    for (const double value : images->values)
        if (!(std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max())))
            return false;
    if (!labels || labels->sizes.size() != 1 || !labels->integers) return false;
    if (labels->sizes[0] != images->sizes[0]) return false;
    double largest = 0.0;
    for (const double label : labels->values) {
        if (label < 0.0 || label >= most_classes) return false;
        largest = std::max(largest, label);
    }
    return largest > 0.0;  // else there is one class only
}

void check(Choices choices) {
    static const CaseFile image_file("-images-idx3-ubyte");
    static const CaseFile label_file = [] {
        std::string name = image_file.path().filename().string();
        name.replace(name.rfind("images-idx3"), 11, "labels-idx1");
        return CaseFile(image_file.path().parent_path(), name);
    }();
    constexpr std::size_t read_sizes[] = {0, 1, 2, 3, 5, 16};
    set_read_size(read_sizes[choices.below(6)]);
    const std::string_view label_bytes = choices.take(choices.byte());
    const std::string_view image_bytes = choices.rest();
    label_file.write(label_bytes);
    Dataset data;
    const bool was_refused =
        refused([&] { data = open_table({image_file.write(image_bytes).string()}); });

    const auto images = elements_of(image_bytes), labels = elements_of(label_bytes);
    FUZZ_CHECK(was_refused == !are_to_be_read(images, labels));
    if (was_refused) return;
    const DataPart& part = data.part(0);
    FUZZ_CHECK(std::cmp_equal(part.documents(), images->sizes[0]));
    const std::size_t width = images->values.size() / images->sizes[0];
    FUZZ_CHECK(std::cmp_equal(part.row_shape().features, width));
    std::vector<float> features(width);
    for (std::size_t row = 0; row < images->sizes[0]; ++row) {
        const auto r = static_cast<std::int64_t>(row);
        part.read_row(r, features, {});
        for (std::size_t f = 0; f < width; ++f)
            FUZZ_CHECK(features[f] == static_cast<float>(images->values[row * width + f]));
        std::int32_t tokens[2];
        part.read(2 * r, tokens, {});
        FUZZ_CHECK(tokens[0] == 0 && tokens[1] == static_cast<std::int32_t>(labels->values[row]));
        part.describe(r);
    }
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({data, size});
    return 0;
}
