// Digests: equal exactly when the bytes are equal, for all that matters here (XXH3, 128 bits).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace evengrad {

/// A running XXH3-128 digest. Not a defense against forgery; it finds differences.
class Digest {
  public:
    Digest();
    ~Digest();
    Digest(Digest&&) noexcept;
    Digest& operator=(Digest&&) noexcept;

    void add_bytes(std::span<const std::byte> bytes);
    /// Length first, so that "ab","c" and "a","bc" differ.
    void add(std::string_view text);

    template <class T>
    void add(std::span<const T> values) {
        add_bytes(std::as_bytes(values));
    }
    template <class T>
    requires std::is_arithmetic_v<T>
    void add(T value) { add_bytes(std::as_bytes(std::span<const T>(&value, 1))); }

    /// 32 hexadecimal digits of what was added so far.
    std::string hex() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// XXH3, 64 bits: for pieces that are compared with each other at once.
std::uint64_t hash_of(std::span<const std::byte> bytes);

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4) of bytes, as stored beside each weight tensor.
std::uint32_t crc32c(std::span<const std::byte> bytes);

}  // namespace evengrad
