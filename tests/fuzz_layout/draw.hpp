// Random choices that are a function of their seed alone, so that a case can be drawn again.
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>

namespace evengrad::fuzz {

class Draw {
  public:
    /// Streams of one seed have nothing to do with each other.
    Draw(std::uint64_t seed, std::int64_t stream) {
        std::seed_seq words{static_cast<std::uint32_t>(seed),
                            static_cast<std::uint32_t>(seed >> 32),
                            static_cast<std::uint32_t>(stream)};
        random_.seed(words);
    }

    std::uint64_t bits() { return random_(); }
    double uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
    bool chance(double probability) { return uniform() < probability; }
    std::int64_t between(std::int64_t least, std::int64_t most) {
        return least +
               static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(most - least + 1));
    }
    /// Mostly small: its logarithm is uniform. 1 <= least.
    std::int64_t skewed(std::int64_t least, std::int64_t most) {
        const double ratio = static_cast<double>(most + 1) / static_cast<double>(least);
        const auto drawn =
            static_cast<std::int64_t>(static_cast<double>(least) * std::pow(ratio, uniform()));
        return std::min(drawn, most);
    }
    template <class T>
    T one_of(std::initializer_list<T> values) {
        return values.begin()[random_() % values.size()];
    }

  private:
    std::mt19937_64 random_;
};

}  // namespace evengrad::fuzz
