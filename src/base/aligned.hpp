// Memory whose address never changes a result: every buffer starts at a multiple of 64 bytes.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

#include <Eigen/Core>

#include <evengrad/error.hpp>

namespace evengrad {

using Index = Eigen::Index;

inline constexpr std::size_t cache_line = 64;

/// `size` rounded up to a multiple of `unit`.
template <class T>
constexpr T round_up(T size, T unit) {
    return (size + unit - 1) / unit * unit;
}

/// A fixed number of plain values, zeroed, 64-byte aligned. Move-only.
template <class T>
class AlignedBuffer {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(Index size) : size_(size) {
        if (size <= 0) return;
        const auto bytes = static_cast<std::size_t>(size) * sizeof(T);
        void* memory = ::operator new(bytes, std::align_val_t(cache_line));
        std::memset(memory, 0, bytes);
        data_.reset(static_cast<T*>(memory));
    }

    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    Index size() const { return size_; }
    std::span<T> span() { return {data_.get(), static_cast<std::size_t>(size_)}; }
    std::span<const T> span() const { return {data_.get(), static_cast<std::size_t>(size_)}; }
    T& operator[](Index i) { return data_.get()[i]; }
    const T& operator[](Index i) const { return data_.get()[i]; }

  private:
    struct Free {
        void operator()(T* memory) const {
            ::operator delete(memory, std::align_val_t(cache_line));
        }
    };
    std::unique_ptr<T, Free> data_;
    Index size_ = 0;
};

/// Scratch for one micro-batch: a stack of 64-byte aligned pieces out of one allocation.
///
/// The space is asked for once (constructor), taken piece by piece (`take`), and given back as a
/// whole when the `Frame` around the use ends; nothing is allocated while a micro-batch runs.
class Arena {
  public:
    explicit Arena(std::size_t bytes = 0) : memory_(static_cast<Index>(bytes)) {}

    std::size_t capacity() const { return static_cast<std::size_t>(memory_.size()); }
    /// Largest use so far, bytes.
    std::size_t peak() const { return peak_; }

    /// Uninitialized room for `count` values.
    template <class T>
    T* take(Index count) {
        const std::size_t bytes = round_up(static_cast<std::size_t>(count) * sizeof(T), cache_line);
        EVENGRAD_CHECK(count >= 0 && static_cast<std::size_t>(count) <= capacity() / sizeof(T) &&
                           used_ + bytes <= capacity(),
                       "scratch of {} bytes is full, {} more values asked for", capacity(), count);
        T* piece = reinterpret_cast<T*>(memory_.data() + used_);
        used_ += bytes;
        if (used_ > peak_) peak_ = used_;
        return piece;
    }

    class Frame {
      public:
        explicit Frame(Arena& arena) : arena_(arena), used_(arena.used_) {}
        ~Frame() { arena_.used_ = used_; }
        Frame(const Frame&) = delete;
        Frame& operator=(const Frame&) = delete;

      private:
        Arena& arena_;
        std::size_t used_;
    };

  private:
    AlignedBuffer<std::byte> memory_;
    std::size_t used_ = 0;
    std::size_t peak_ = 0;
};

/// Bytes that `count` values take in an Arena.
template <class T>
constexpr std::size_t arena_bytes(Index count) {
    return round_up(static_cast<std::size_t>(count) * sizeof(T), cache_line);
}

}  // namespace evengrad
