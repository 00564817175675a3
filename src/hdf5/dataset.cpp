#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "base/narrow.hpp"
#include "base/pulse.hpp"
#include "base/text.hpp"
#include "hdf5/calls.hpp"

namespace evengrad::hdf5 {

namespace {

// The library holds one decompressed chunk in memory. Ours are 1 MiB; a hostile file may say 4 GiB.
constexpr std::uint64_t most_chunk_bytes = std::uint64_t{256} << 20;
// It also keeps some kilobytes for each chunk that it reads, even one that was never written.
constexpr std::uint64_t most_chunks = 16384;

/// Refuses filters but those that we and most programs write. Others may be a library that is
/// loaded to read the file; and HDF5 1.10's scale-offset writes past its memory when a chunk is
/// damaged.
void check_filters(const PropertyHandle& list, const Place& place) {
    const int count = check(H5Pget_nfilters(list.id()), "H5Pget_nfilters", place);
    for (int i = 0; i < count; ++i) {
        unsigned flags = 0, configuration = 0;
        std::size_t values = 0;
        char name[64] = "";
        const H5Z_filter_t filter =
            check(H5Pget_filter2(list.id(), static_cast<unsigned>(i), &flags, &values, nullptr,
                                 sizeof name, name, &configuration),
                  "H5Pget_filter2", place);
        if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE &&
            filter != H5Z_FILTER_FLETCHER32)
            throw Error(fmt::format("{}: is stored through the filter {} ({}); refused",
                                    describe(place), static_cast<int>(filter), printable(name)),
                        "store it with gzip, or uncompressed: h5repack -f GZIP=1");
    }
}

/// Refuses what would read other files, or far more memory than the dataset has.
void check_layout(hid_t dataset, const TypeHandle& type, const Place& place) {
    const PropertyHandle list(check(H5Dget_create_plist(dataset), "H5Dget_create_plist", place));
    const H5D_layout_t layout = check(H5Pget_layout(list.id()), "H5Pget_layout", place);
    if (layout == H5D_VIRTUAL)
        throw Error(fmt::format("{}: is a virtual dataset, which would read other files; refused",
                                describe(place)),
                    "copy its data into the file itself");
    if (check(H5Pget_external_count(list.id()), "H5Pget_external_count", place) > 0)
        throw Error(fmt::format("{}: keeps its data in another file (external storage); refused",
                                describe(place)),
                    "copy its data into the file itself");
    check_filters(list, place);
    if (layout == H5D_CHUNKED) {
        hsize_t lengths[H5S_MAX_RANK];
        const int rank =
            check(H5Pget_chunk(list.id(), H5S_MAX_RANK, lengths), "H5Pget_chunk", place);
        const Shape chunk(lengths, lengths + rank);
        if (element_count(chunk) > most_chunk_bytes / H5Tget_size(type.id()))
            throw Error(
                fmt::format("{}: its chunks {} are too large", describe(place), to_string(chunk)));
        const SpaceHandle space(check(H5Dget_space(dataset), "H5Dget_space", place));
        const Shape shape = shape_of(space.id(), place);
        Shape count = shape;
        for (std::size_t d = 0; d < std::min(count.size(), chunk.size()); ++d)
            if (chunk[d] > 0) count[d] = shape[d] / chunk[d] + (shape[d] % chunk[d] != 0 ? 1 : 0);
        if (element_count(count) > most_chunks)
            throw Error(fmt::format("{}: has the shape {} in too many chunks {}", describe(place),
                                    to_string(shape), to_string(chunk)));
    }
}

/// Calls `use(file space, memory space, offset)` for the boxes that make up the elements
/// [begin, begin + count) in row-major order: at most 2 * rank - 1 of them.
template <class Use>
void for_each_box(const Shape& shape, std::uint64_t begin, std::uint64_t count, const Place& place,
                  Use use) {
    const std::size_t rank = shape.size();
    const SpaceHandle space = make_space(shape, place);
    std::vector<hsize_t> start(rank), box(rank);
    std::uint64_t done = 0;
    while (done < count) {
        // The coordinates of the first element, and the outermost dimension along which whole
        // slices lie ahead: everything inside starts at zero and fits.
        std::uint64_t rest = begin + done;
        std::uint64_t slice = 1;
        std::uint64_t taken = 1;
        std::fill(box.begin(), box.end(), hsize_t{1});
        bool aligned = true;
        for (std::size_t d = rank; d-- > 0;) {
            start[d] = rest % shape[d];
            rest /= shape[d];
            if (aligned && slice <= count - done) {
                for (std::size_t inner = d + 1; inner < rank; ++inner) box[inner] = shape[inner];
                box[d] = std::min<std::uint64_t>(shape[d] - start[d], (count - done) / slice);
                taken = box[d] * slice;
                aligned = start[d] == 0;
            } else {
                aligned = false;
            }
            slice *= shape[d];
        }
        if (rank > 0)
            check(H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, start.data(), nullptr, box.data(),
                                      nullptr),
                  "H5Sselect_hyperslab", place);
        const SpaceHandle memory = make_space({taken}, place);
        use(space.id(), memory.id(), done);
        done += taken;
    }
}

/// Where the library puts the strings it reads. A small file can name one long text many times
/// over, and says how long it is only while it is read.
struct TextMemory {
    explicit TextMemory(std::uint64_t byte_limit) : bytes_left(byte_limit) {}
    std::uint64_t bytes_left;
    bool is_full = false;
    std::vector<std::unique_ptr<char[]>> pieces;
};

extern "C" void* allocate_text(std::size_t bytes, void* info) noexcept {
    auto& memory = *static_cast<TextMemory*>(info);
    if (bytes > memory.bytes_left) {
        memory.is_full = true;
        return nullptr;
    }
    try {
        memory.pieces.push_back(std::make_unique<char[]>(bytes));
        memory.bytes_left -= bytes;
        return memory.pieces.back().get();
    } catch (...) {
        return nullptr;
    }
}

extern "C" void free_text(void*, void*) noexcept {}  // TextMemory keeps all to the end

}  // namespace

Dataset::Dataset(ObjectHandle handle) : Object(std::move(handle)) {
    const Place place{id(), {}};
    const TypeHandle type(check(H5Dget_type(id()), "H5Dget_type", place));
    check_layout(id(), type, place);
    const SpaceHandle space(check(H5Dget_space(id()), "H5Dget_space", place));
    type_ = classify(type.id(), place);
    shape_ = shape_of(space.id(), place);
    size_ = element_count(shape_);
}

void Dataset::expect(Type type) const {
    if (type_ != type)
        throw Error(
            fmt::format("{}: is {}, expected {}", where(), to_string(type_), to_string(type)));
}

void Dataset::expect(Type type, const Shape& shape) const {
    expect(type);
    if (shape_ != shape)
        throw Error(fmt::format("{}: has the shape {}, expected {}", where(), to_string(shape_),
                                to_string(shape)));
}

std::optional<std::uint64_t> Dataset::contiguous_offset() const {
    const Place place{id(), {}};
    const PropertyHandle list(check(H5Dget_create_plist(id()), "H5Dget_create_plist", place));
    if (check(H5Pget_layout(list.id()), "H5Pget_layout", place) != H5D_CONTIGUOUS) return {};
    if (type_ == Type::text || type_ == Type::other) return {};
    const TypeHandle type(check(H5Dget_type(id()), "H5Dget_type", place));
    if (check(H5Tequal(type.id(), memory_type(type_)), "H5Tequal", place) == 0) return {};
    const haddr_t offset = H5Dget_offset(id());
    if (offset == HADDR_UNDEF) return {};
    return offset;
}

void Dataset::write_numbers(Type type, const void* values, std::uint64_t count,
                            std::uint64_t begin) {
    expect(type);
    EVENGRAD_CHECK(begin <= size_ && count <= size_ - begin, "{}: elements {}+{} of {}", where(),
                   begin, count, size_);
    const Place place{id(), {}};
    const std::size_t width = H5Tget_size(memory_type(type));
    for_each_box(shape_, begin, count, place, [&](hid_t file, hid_t memory, std::uint64_t offset) {
        check(H5Dwrite(id(), memory_type(type), memory, file, H5P_DEFAULT,
                       static_cast<const std::byte*>(values) + offset * width),
              "H5Dwrite", place);
        pulse.beat();
    });
}

void Dataset::read_numbers(Type type, void* values, std::uint64_t count,
                           std::uint64_t begin) const {
    expect(type);
    EVENGRAD_CHECK(begin <= size_ && count <= size_ - begin, "{}: elements {}+{} of {}", where(),
                   begin, count, size_);
    const Place place{id(), {}};
    const std::size_t width = H5Tget_size(memory_type(type));
    for_each_box(shape_, begin, count, place, [&](hid_t file, hid_t memory, std::uint64_t offset) {
        check(H5Dread(id(), memory_type(type), memory, file, H5P_DEFAULT,
                      static_cast<std::byte*>(values) + offset * width),
              "H5Dread", place);
    });
}

void Dataset::write_texts(std::span<const std::string> values) {
    if (values.empty()) return;
    const Place place{id(), {}};
    const TypeHandle type = string_type();
    const std::vector<const char*> pointers = pointers_to(values, place);
    check(H5Dwrite(id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()), "H5Dwrite",
          place);
}

std::vector<std::string> Dataset::read_texts(std::uint64_t byte_limit) const {
    if (size_ == 0) return {};
    const Place place{id(), {}};
    const TypeHandle in_file(check(H5Dget_type(id()), "H5Dget_type", place));
    const TypeHandle type = string_type(check(H5Tget_cset(in_file.id()), "H5Tget_cset", place));
    const PropertyHandle transfer(check(H5Pcreate(H5P_DATASET_XFER), "H5Pcreate", place));
    TextMemory memory(byte_limit);
    check(H5Pset_vlen_mem_manager(transfer.id(), allocate_text, &memory, free_text, &memory),
          "H5Pset_vlen_mem_manager", place);
    std::vector<const char*> pointers(narrow<std::size_t>(size_));
    const herr_t result =
        H5Dread(id(), type.id(), H5S_ALL, H5S_ALL, transfer.id(), pointers.data());
    if (memory.is_full)
        throw Error(
            fmt::format("{}: has more text than the {} bytes expected", where(), byte_limit));
    check(result, "H5Dread", place);
    std::vector<std::string> texts;
    texts.reserve(pointers.size());
    for (const char* text : pointers) texts.emplace_back(text ? text : "");
    return texts;
}

}  // namespace evengrad::hdf5
