#include "base/digest.hpp"

#include <cstring>

#ifdef __SSE4_2__
#include <nmmintrin.h>
#else
#include <boost/crc.hpp>
#endif
#include <fmt/format.h>
#include <xxhash.h>

#include <evengrad/error.hpp>

namespace evengrad {

struct Digest::State {
    XXH3_state_t* xxh = XXH3_createState();
    State() {
        EVENGRAD_CHECK(xxh != nullptr, "no memory for a digest");
        XXH3_128bits_reset(xxh);
    }
    ~State() { XXH3_freeState(xxh); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
};

Digest::Digest() : state_(std::make_unique<State>()) {}
Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;

void Digest::add_bytes(std::span<const std::byte> bytes) {
    XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

void Digest::add(std::string_view text) {
    add(static_cast<std::uint64_t>(text.size()));
    add_bytes(std::as_bytes(std::span(text)));
}

std::string Digest::hex() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::uint64_t hash_of(std::span<const std::byte> bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

#ifdef __SSE4_2__
// The processor has an instruction for just this polynomial: some 10 times as fast as a table, and
// checkpoints are read as a whole before they are trusted.
std::uint32_t crc32c(std::span<const std::byte> bytes) {
    std::uint64_t crc = 0xFFFFFFFF;
    std::size_t at = 0;
    for (; at + sizeof(std::uint64_t) <= bytes.size(); at += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, sizeof word);
        crc = _mm_crc32_u64(crc, word);
    }
    auto last = static_cast<std::uint32_t>(crc);
    for (; at < bytes.size(); ++at) last = _mm_crc32_u8(last, static_cast<std::uint8_t>(bytes[at]));
    return ~last;
}
#else
std::uint32_t crc32c(std::span<const std::byte> bytes) {
    boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
    crc.process_bytes(bytes.data(), bytes.size());
    return crc.checksum();
}
#endif

}  // namespace evengrad
