#include "hdf5_choices.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

#include "hdf5_image.hpp"

namespace evengrad::fuzz {

namespace {

/// Lengths that something may count too short, multiply too far, or believe.
hsize_t some_length(Choices& choices) {
    constexpr hsize_t lengths[] = {0,
                                   1,
                                   2,
                                   3,
                                   16,
                                   257,
                                   65535,
                                   65536,
                                   hsize_t{1} << 24,
                                   (hsize_t{1} << 24) + 1,
                                   hsize_t{1} << 31,
                                   hsize_t{1} << 32,
                                   hsize_t{1} << 40,
                                   hsize_t{1} << 61,
                                   hsize_t{1} << 62,
                                   (hsize_t{1} << 63) - 1};
    return lengths[choices.below(16)];
}

}  // namespace

hid_t some_space(Choices& choices) {
    const unsigned kind = choices.below(8);
    if (kind == 0) return H5Screate(H5S_NULL);
    if (kind == 1) return H5Screate(H5S_SCALAR);
    const int rank = kind < 5 ? 1 : kind < 7 ? 2 : static_cast<int>(choices.below(32)) + 1;
    hsize_t lengths[32], most[32];
    const bool grows = choices.below(4) == 0;
    for (int d = 0; d < rank; ++d) {
        lengths[d] = some_length(choices);
        most[d] = H5S_UNLIMITED;
    }
    return H5Screate_simple(rank, lengths, grows ? most : nullptr);
}

std::size_t element_count(hid_t space) {
    if (H5Sget_simple_extent_type(space) == H5S_NULL) return 0;
    hsize_t lengths[32];
    const int rank = H5Sget_simple_extent_dims(space, lengths, nullptr);
    if (std::count(lengths, lengths + std::max(rank, 0), 0) > 0) return 0;
    std::size_t count = 1;
    for (int d = 0; d < rank; ++d)
        if (__builtin_mul_overflow(count, lengths[d], &count))
            return std::numeric_limits<std::size_t>::max();
    return count;
}

hid_t some_type(Choices& choices) {
    const hid_t plain[] = {H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_STD_I32LE, H5T_STD_I64LE,
                           H5T_STD_U8LE,   H5T_STD_U16LE,  H5T_STD_U32LE, H5T_STD_U64LE,
                           H5T_IEEE_F32BE, H5T_STD_I64BE,  H5T_STD_B32LE, H5T_STD_REF_OBJ};
    const unsigned kind = choices.below(22);
    if (kind < 12) return H5Tcopy(plain[kind]);
    hid_t type = -1;
    switch (kind) {
        case 12:
        case 13:
        case 14:
            type = H5Tcopy(H5T_C_S1);
            H5Tset_size(type, kind == 12 ? H5T_VARIABLE : 1 + choices.byte());
            H5Tset_cset(type, kind == 14 ? H5T_CSET_ASCII : H5T_CSET_UTF8);
            H5Tset_strpad(type, kind == 14 ? H5T_STR_NULLPAD : H5T_STR_NULLTERM);
            return type;
        case 15:
            type = H5Tcreate(H5T_COMPOUND, 16);
            H5Tinsert(type, "a", 0, H5T_STD_I64LE);
            H5Tinsert(type, "b", 8, H5T_IEEE_F32LE);
            return type;
        case 16:
            return H5Tvlen_create(H5T_STD_I32LE);
        case 17:
            return H5Tenum_create(H5T_STD_I32LE);
        case 18:
            return H5Tcreate(H5T_OPAQUE, 4);
        case 19: {
            const hsize_t length = 2;
            return H5Tarray_create2(H5T_IEEE_F32LE, 1, &length);
        }
        case 20:  // 24 bits in 32
            type = H5Tcopy(H5T_STD_I32LE);
            H5Tset_precision(type, 24);
            H5Tset_offset(type, 4);
            return type;
        default:  // half precision
            type = H5Tcopy(H5T_IEEE_F32LE);
            H5Tset_fields(type, 15, 10, 5, 0, 10);
            H5Tset_size(type, 2);
            return type;
    }
}

hid_t some_storage(Choices& choices, hid_t space) {
    const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t lengths[32] = {}, chunk[32];
    const int rank = std::max(H5Sget_simple_extent_ndims(space), 0);
    H5Sget_simple_extent_dims(space, lengths, nullptr);
    switch (choices.below(8)) {
        case 0:
        case 1:
            H5Pset_layout(list, H5D_CONTIGUOUS);
            H5Pset_alloc_time(list, H5D_ALLOC_TIME_LATE);
            break;
        case 2:
            H5Pset_layout(list, H5D_COMPACT);
            break;
        case 3:
            H5Pset_external(list, Hdf5Image::forbidden_file, 0, H5F_UNLIMITED);
            break;
        case 4:
            H5Pset_virtual(list, space, Hdf5Image::forbidden_file, "/tokens", space);
            break;
        default: {
            if (rank == 0) break;
            const hsize_t most = choices.below(4) == 0 ? hsize_t{1} << 30 : 64;
            for (int d = 0; d < rank; ++d)
                chunk[d] = std::clamp<hsize_t>(lengths[d], 1, d == 0 ? most : 2);
            H5Pset_chunk(list, rank, chunk);
            if (choices.below(2) == 1) H5Pset_deflate(list, 9);
            if (choices.below(4) == 1) H5Pset_fletcher32(list);
            // Not scale-offset, which readers refuse (hdf5_refusal): the library itself writes past
            // its memory when it stores or reads an edit with it.
            break;
        }
    }
    if (choices.below(2) == 1) {
        const double fill = 1.5;
        H5Pset_fill_value(list, H5T_NATIVE_DOUBLE, &fill);
    }
    return list;
}

void change_element(std::string& elements, std::size_t width, Choices& choices) {
    if (width == 0 || elements.size() < width) return;
    const std::size_t count = elements.size() / width;
    const unsigned at = choices.byte();
    // Exactly for small datasets, spread out over large ones; the last one often matters.
    const std::size_t index = at == 255 ? count - 1 : count <= 255 ? at % count : at * count / 255;
    std::string value(width, '\0');
    switch (choices.below(8)) {
        case 0:
            break;
        case 1:
            value[0] = 1;
            break;
        case 2:
            value.assign(width, '\xFF');
            break;
        case 3:  // the largest signed
            value.assign(width, '\xFF');
            value.back() = '\x7F';
            break;
        case 4:  // the smallest signed, or -0
            value.back() = '\x80';
            break;
        case 5:  // infinity, as float or double
            if (width >= 4) value.replace(width - 2, 2, width == 4 ? "\x80\x7F" : "\xF0\x7F");
            break;
        case 6:
            value = elements.substr(index * width, width);
            value[choices.below(static_cast<unsigned>(width))] ^=
                static_cast<char>(1U << choices.below(8));
            break;
        default:
            for (char& byte : value) byte = static_cast<char>(choices.byte());
    }
    elements.replace(index * width, width, value);
}

void change_text(std::string& text, Choices& choices) {
    static constexpr const char* values[] = {
        "-1",   "0",    "1",        "2",       "3",          "256",    "257",
        "1e9",  "4096", "65536",    "70000",   "2147483647", "1e400",  "9223372036854775807",
        "null", "true", "\"byte\"", "\"ids\"", "{}",         "[1, 2]", "18446744073709551616"};
    const unsigned at = choices.byte();
    switch (choices.below(4)) {
        case 0:
            text = choices.take(choices.below(64));
            break;
        case 1:
            if (!text.empty()) text.erase(at % text.size(), 1 + choices.below(32));
            break;
        case 2:
            text.insert(text.empty() ? 0 : at % text.size(), choices.take(1 + choices.below(8)));
            break;
        default: {  // one of its numbers
            constexpr std::string_view digits = "0123456789.-";
            std::vector<std::pair<std::size_t, std::size_t>> numbers;
            for (std::size_t begin = 0;
                 (begin = text.find_first_of(digits, begin)) != std::string::npos;) {
                const std::size_t end =
                    std::min(text.find_first_not_of(digits, begin), text.size());
                numbers.emplace_back(begin, end - begin);
                begin = end;
            }
            if (numbers.empty()) break;
            const auto& [begin, size] = numbers[at % numbers.size()];
            text.replace(begin, size, values[choices.below(std::size(values))]);
        }
    }
}

}  // namespace evengrad::fuzz
