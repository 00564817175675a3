// Conversions between integer types that must not lose a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <evengrad/error.hpp>

namespace evengrad {

/// The value as another integer type. @throws Error when it does not fit.
template <class To, class From>
constexpr To narrow(From value) {
    if (!std::in_range<To>(value))
        throw Error(fmt::format("the number {} is too large for its place", value));
    return static_cast<To>(value);
}

/// A position that is known to be none below zero, as containers want it.
constexpr std::size_t at(std::int64_t position) {
    return static_cast<std::size_t>(position);
}

}  // namespace evengrad
