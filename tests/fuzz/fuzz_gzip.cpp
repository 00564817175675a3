// Compressed files. What is read of one must be what zlib's own file reader gives; and a text that
// was compressed, in one member or several, must come back whole, unless a byte was changed.
#include <zlib.h>

#include "data/byte_stream.hpp"
#include "fuzz.hpp"

namespace evengrad::fuzz {
namespace {

// A small case may inflate a thousandfold; this much of it is enough.
constexpr std::size_t most_bytes = std::size_t{1} << 19;

std::string member_of(std::string_view bytes, int level) {
    z_stream stream{};
    FUZZ_CHECK(deflateInit2(&stream, level, Z_DEFLATED, MAX_WBITS + 16, 1, Z_DEFAULT_STRATEGY) ==
               Z_OK);
    std::string out(deflateBound(&stream, bytes.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    FUZZ_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(out.size() - stream.avail_out);
    deflateEnd(&stream);
    return out;
}

/// The whole file, as far as it is to be looked at.
std::string inflated(const std::filesystem::path& path) {
    ByteStream in(path);
    std::string text;
    do {
        text += in.bytes();
        in.consume(in.bytes().size());
    } while (text.size() < most_bytes && in.more());
    return text;
}

std::string inflated_by_zlib(const std::filesystem::path& path, std::size_t size) {
    std::string text(size, '\0');
    gzFile file = gzopen(path.c_str(), "rb");
    FUZZ_CHECK(file != nullptr);
    const int got = gzread(file, text.data(), static_cast<unsigned>(size));
    FUZZ_CHECK(got >= 0 && static_cast<std::size_t>(got) == size);
    gzclose(file);
    return text;
}

void check(Choices choices) {
    static const CaseFile file(".gz");
    constexpr std::size_t read_sizes[] = {0, 1, 2, 3, 5, 16};
    set_read_size(read_sizes[choices.below(6)]);
    std::string bytes, text;
    const unsigned members = choices.below(4);
    bool intact = members > 0;
    if (intact) {
        const unsigned damage_at = choices.byte(), damage = choices.byte();
        text = choices.rest();
        for (unsigned m = 0; m < members; ++m) {
            const std::size_t begin = text.size() * m / members;
            const std::size_t end = text.size() * (m + 1) / members;
            bytes += member_of(std::string_view(text).substr(begin, end - begin),
                               static_cast<int>(m) * 3);
        }
        if (damage != 0) {
            bytes[damage_at * bytes.size() / 256] ^= static_cast<char>(damage);
            intact = false;
        }
    } else {
        bytes = choices.rest();
    }
    const auto& path = file.write(bytes);
    std::string found;
    if (refused([&] { found = inflated(path); })) {
        FUZZ_CHECK(!intact);
        return;
    }
    if (intact) FUZZ_CHECK(found == text);
    FUZZ_CHECK(found == inflated_by_zlib(path, found.size()));
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({data, size});
    return 0;
}
