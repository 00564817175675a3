// Records of 64-bit words, each written by one rank, on every rank.
#pragma once

#include <cstring>
#include <type_traits>
#include <vector>

#include <evengrad/communicator.hpp>

namespace evengrad {

/// @collective Adds up over ranks, word by word: counts, or bits of what only one rank has and
/// others have 0. 0 + bits = bits, exactly, also for doubles.
template <class T>
void sum_words(const Communicator& world, std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(std::uint64_t) == 0,
                  "a record is 64-bit words");
    std::vector<std::uint64_t> words(values.size() * sizeof(T) / sizeof(std::uint64_t));
    if (words.empty()) return;
    std::memcpy(words.data(), values.data(), words.size() * sizeof(std::uint64_t));
    world.sum(words);
    std::memcpy(static_cast<void*>(values.data()), words.data(),
                words.size() * sizeof(std::uint64_t));
}

}  // namespace evengrad
