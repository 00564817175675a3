// HDF5 files: groups, attributes and datasets, written by one process and read with suspicion.
//
// Reading trusts nothing: types and shapes are checked before anything is allocated, and a path
// only follows hard links. Soft, external and user-defined links, external storage and virtual
// datasets are refused, since a checkpoint could use them to read other files of its reader.
//
// All failures throw Error, which names the file, the object and what the HDF5 library says was the
// cause; --log-level debug has the library's whole story.
// Groups and datasets must be gone before their file is closed. HDF5 is not thread-safe.
// Everything here is @local; evengrad calls it on rank 0 only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "hdf5/handle.hpp"
#include <evengrad/error.hpp>

namespace evengrad::hdf5 {

/// Lengths of the dimensions, outermost first. Empty: a scalar.
using Shape = std::vector<std::uint64_t>;

/// "[3, 4]"
std::string to_string(const Shape& shape);
/// Number of elements. @throws Error when it does not fit 63 bits.
std::uint64_t element_count(const Shape& shape);

/// Element types. `text` is a variable-length string; `other` is what evengrad does not read.
enum class Type { f32, f64, i32, i64, u8, u16, u32, u64, text, other };

std::string_view to_string(Type type);

namespace detail {
template <class T>
constexpr Type type_of() {
    if constexpr (std::is_same_v<T, float>) return Type::f32;
    if constexpr (std::is_same_v<T, double>) return Type::f64;
    if constexpr (std::is_same_v<T, std::int32_t>) return Type::i32;
    if constexpr (std::is_same_v<T, std::int64_t>) return Type::i64;
    if constexpr (std::is_same_v<T, std::uint8_t>) return Type::u8;
    if constexpr (std::is_same_v<T, std::uint16_t>) return Type::u16;
    if constexpr (std::is_same_v<T, std::uint32_t>) return Type::u32;
    if constexpr (std::is_same_v<T, std::uint64_t>) return Type::u64;
    return Type::other;
}
}  // namespace detail

/// The number types that datasets hold.
template <class T>
concept Number = detail::type_of<T>()
!= Type::other;

/// std::vector, std::span, std::array ... of numbers.
template <class Range>
concept Numbers = std::ranges::contiguous_range<Range> && Number<std::ranges::range_value_t<Range>>;

/// What attributes hold. Text is a scalar, variable-length UTF-8 string (viewers want no other).
using AttributeValue =
    std::variant<std::string, std::int64_t, double, std::uint32_t, std::vector<std::string>>;
using Attributes = std::vector<std::pair<std::string, AttributeValue>>;

/// How the elements lie in the file.
enum class Storage {
    plain,       ///< contiguous, allocated at once, no fill, no compression: parameters
    compressed,  ///< chunked, shuffle + gzip 4 + fletcher32 (a flipped bit is noticed): statistics
};

/// What groups and datasets have in common: attributes.
class Object {
  public:
    std::string path() const;  ///< in the file, e.g. "/training/loss"
    /// "FILE: /path", for messages of the caller.
    std::string where() const;

    /// Writes an attribute, in place of an earlier one of this name.
    void set(const std::string& name, const AttributeValue& value);
    void set(const Attributes& attributes);
    bool has(const std::string& name) const;
    /// The value of an attribute that must be there and be of exactly this type (one of those in
    /// AttributeValue; lists of strings up to 4096 entries).
    template <class T>
    T get(const std::string& name) const;

    std::int64_t id() const noexcept { return handle_.id(); }

  protected:
    explicit Object(ObjectHandle handle) noexcept : handle_(std::move(handle)) {}
    ObjectHandle handle_;
};

/// An open dataset. Its type and shape are known from the start.
class Dataset : public Object {
  public:
    Type type() const noexcept { return type_; }
    const Shape& shape() const noexcept { return shape_; }
    std::uint64_t size() const noexcept { return size_; }  ///< number of elements

    /// @throws Error unless type (and shape) are exactly these.
    void expect(Type type) const;
    void expect(Type type, const Shape& shape) const;

    /// Where in the file the elements lie, one after another, in this machine's own format, so that
    /// they can be read without the library; nothing when they don't (chunked, other byte order,
    /// never written). Whether the file is that long isn't checked.
    std::optional<std::uint64_t> contiguous_offset() const;

    /// Writes the elements [begin, begin + values.size()), counted in row-major order, so that a
    /// large tensor can be written piece by piece. Fails outside the shape and for another type.
    template <Numbers Range>
    void write(const Range& values, std::uint64_t begin = 0) {
        write_numbers(detail::type_of<std::ranges::range_value_t<Range>>(),
                      std::ranges::data(values), std::ranges::size(values), begin);
    }
    /// Reads the elements [begin, begin + values.size()) in row-major order.
    template <Number T>
    void read(std::span<T> values, std::uint64_t begin = 0) const {
        read_numbers(detail::type_of<T>(), values.data(), values.size(), begin);
    }

  private:
    friend class Group;
    explicit Dataset(ObjectHandle handle);  ///< checks layout, storage, type and shape
    void write_numbers(Type type, const void* values, std::uint64_t count, std::uint64_t begin);
    void read_numbers(Type type, void* values, std::uint64_t count, std::uint64_t begin) const;
    void write_texts(std::span<const std::string> values);
    std::vector<std::string> read_texts(std::uint64_t byte_limit) const;

    Type type_ = Type::other;
    Shape shape_;
    std::uint64_t size_ = 0;
};

/// What a path leads to.
enum class Kind { none, group, dataset, other };

/// An open group. Paths are relative to it ("blocks/0/attn/qkv/weight"), without "." or "//".
class Group : public Object {
  public:
    // --- writing. Groups on the way are created as NXcollection.

    /// A new group with this NX_class.
    Group create_group(const std::string& path, const std::string& nx_class = "NXcollection");
    /// A new dataset whose elements are to be written through the Dataset returned. Those of plain
    /// storage that never are have no defined value.
    Dataset create_dataset(const std::string& path, Type type, const Shape& shape,
                           const Attributes& attributes = {}, Storage storage = Storage::plain);
    /// A new dataset with all its elements.
    template <Numbers Range>
    Dataset write(const std::string& path, const Range& values, const Shape& shape,
                  const Attributes& attributes = {}, Storage storage = Storage::plain) {
        check_count(path, std::ranges::size(values), shape);
        Dataset dataset = create_dataset(path, detail::type_of<std::ranges::range_value_t<Range>>(),
                                         shape, attributes, storage);
        dataset.write(values);
        return dataset;
    }
    /// A new scalar dataset.
    template <Number T>
    Dataset write_scalar(const std::string& path, T value, const Attributes& attributes = {}) {
        return write(path, std::span<const T>(&value, 1), {}, attributes);
    }
    /// A new dataset of one string, or of a list of strings [n] (variable-length UTF-8).
    Dataset write_text(const std::string& path, const std::string& text,
                       const Attributes& attributes = {});
    Dataset write_texts(const std::string& path, std::span<const std::string> texts,
                        const Attributes& attributes = {});

    // --- reading

    /// What is there. @throws Error when a link on the way is not a hard link.
    Kind kind(const std::string& path) const;
    bool exists(const std::string& path) const { return kind(path) != Kind::none; }
    /// Names in byte order (of links of any kind). A hostile file may contain itself.
    std::vector<std::string> children() const;

    Group open_group(const std::string& path) const;
    Dataset open_dataset(const std::string& path) const;

    /// Reads a dataset that must have this shape, whole, into the caller's memory.
    template <Number T>
    void read(const std::string& path, const Shape& shape, std::span<T> values) const {
        const Dataset dataset = open_dataset(path);
        dataset.expect(detail::type_of<T>(), shape);
        check_count(path, values.size(), shape);
        dataset.read(values);
    }
    /// Reads a dataset of any shape whole, row-major; refused above `limit` elements, and when the
    /// file has too few bytes for them.
    template <Number T>
    std::vector<T> read(const std::string& path, std::uint64_t limit) const {
        const Dataset dataset = open_dataset(path);
        dataset.expect(detail::type_of<T>());
        check_limit(dataset, limit);
        std::vector<T> values(static_cast<std::size_t>(dataset.size()));
        dataset.read(std::span<T>(values));
        return values;
    }
    template <Number T>
    T read_scalar(const std::string& path) const {
        T value{};
        read(path, {}, std::span<T>(&value, 1));
        return value;
    }
    /// Refused above this many bytes, an end mark for each string included.
    std::string read_text(const std::string& path, std::uint64_t byte_limit) const;
    /// Refused above this many strings or bytes (of all of them).
    std::vector<std::string> read_texts(const std::string& path, std::uint64_t limit,
                                        std::uint64_t byte_limit) const;

  private:
    friend class File;
    explicit Group(ObjectHandle handle) noexcept : Object(std::move(handle)) {}
    Group parent_for(const std::string& path, std::string& last_name);
    ObjectHandle find(const std::string& path) const;
    void check_count(const std::string& path, std::uint64_t given, const Shape& shape) const;
    static void check_limit(const Dataset& dataset, std::uint64_t limit);
};

/// An open file. Move-only.
class File {
  public:
    /// A new file in place of any earlier one (see PublishedFile for how to do this safely).
    static File create(const std::filesystem::path& path);
    /// An existing file, for reading. @throws Error for what is missing, unreadable, not HDF5, cut
    /// off or damaged.
    static File open(const std::filesystem::path& path);

    const std::filesystem::path& path() const noexcept { return path_; }
    Group root() const;

    /// Writes out and closes. Groups and datasets of this file must be gone.
    void close();

  private:
    File(std::filesystem::path path, FileHandle handle)
        : path_(std::move(path)), handle_(std::move(handle)) {}
    std::filesystem::path path_;
    FileHandle handle_;
};

}  // namespace evengrad::hdf5
